"""A program of plain threads, with no event loop of its own.

    python examples/threaded.py [https://host:port]

Without an argument it starts a server of its own to ask.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import quiver


def main(origin: str, **options: Any) -> None:
    with (
        quiver.Client(pools={"default": {"max_connections": 2, **options}}) as client,
        ThreadPoolExecutor(max_workers=20) as executor,
    ):

        def look_up(number: int) -> int:
            try:
                return client.get(f"{origin}/items/{number}", timeout=5.0).status
            except quiver.TransientError as error:
                print(f"item {number}: {error}; once more")
                return client.get(f"{origin}/items/{number}", timeout=5.0).status

        statuses = list(executor.map(look_up, range(200)))
        print(f"{statuses.count(200)} of {len(statuses)} items found")
        print(client.stats(origin))


if __name__ == "__main__":
    with ExitStack() as stack:
        if len(sys.argv) > 1:
            main(sys.argv[1])
        else:
            from quiver.testing import Origin

            server = stack.enter_context(Origin())
            main(server.url, cafile=server.cafile)
