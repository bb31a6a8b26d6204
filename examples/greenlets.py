"""A monkey-patched gevent program: the pool's actors are greenlets beside its own.

    python examples/greenlets.py [https://host:port]

Without an argument it starts a server of its own to ask.
"""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402
from contextlib import ExitStack  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from gevent.pool import Pool  # noqa: E402

import quiver  # noqa: E402


def main(origin: str, **options: Any) -> None:
    with quiver.Client(pools={"default": options}) as client:
        greenlets = Pool(50)
        statuses = greenlets.map(
            lambda number: client.get(f"{origin}/items/{number}").status, range(500)
        )
        print(f"{statuses.count(200)} of {len(statuses)} items found")
        try:
            with gevent.Timeout(0.1):
                client.get(f"{origin}/delay/5")
        except gevent.Timeout:
            print("gave up on the slow one after 0.1 seconds;", client.stats(origin))


if __name__ == "__main__":
    with ExitStack() as stack:
        if len(sys.argv) > 1:
            main(sys.argv[1])
        else:
            from quiver.testing import Origin

            server = stack.enter_context(Origin())
            main(server.url, cafile=server.cafile)
