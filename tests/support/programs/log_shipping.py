"""A program whose root logger, at DEBUG, has a handler that sends all records over its own client.

Its arguments: the URL and the cafile of an origin, and what the handler does more:
`sends` nothing, `blocks` for a while at each record, `logs` about itself.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from typing import Any

import quiver

REQUESTS = 20


class Shipper(logging.Handler):
    """As programs have them: one record at a time, guarded against its own thread's recursion."""

    busy = threading.local()

    def __init__(self, client: quiver.Client, url: str, kind: str) -> None:
        super().__init__()
        self._client, self._url, self._kind = client, url, kind
        self.shipped: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(self.busy, "now", False):
            return
        self.busy.now = True
        try:
            if self._kind == "blocks":
                time.sleep(0.02)
            if self._kind == "logs":
                logging.getLogger("shipper").info("about to ship")
            body = record.getMessage().encode()
            assert self._client.post(self._url + "/echo", body=body, timeout=5).body == body
            self.shipped.append(record.name)
        finally:
            self.busy.now = False


def main() -> None:
    url, cafile, kind = sys.argv[1:]
    pools: Any = {"default": {"cafile": cafile}}
    client = quiver.Client(pools=pools)
    shipper = Shipper(client, url, kind)
    logging.basicConfig(level=logging.DEBUG, handlers=[shipper])
    answers: list[int] = []

    def ask() -> None:
        for _ in range(REQUESTS):
            answers.append(client.get(url + "/ok", timeout=5).status)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == [200] * REQUESTS * 4, answers
    due = time.monotonic() + 10
    while {"pykka", "quic", "quiver.pool"} - set(shipper.shipped) and time.monotonic() < due:
        time.sleep(0.01)
    print(*sorted({"pykka", "quic", "quiver.pool"} & set(shipper.shipped)))


if __name__ == "__main__":
    main()
