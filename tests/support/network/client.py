"""A program with a client of its own, to be run in a namespace: orders in, outcomes out.

`python -m tests.support.network.client OPTIONS` reads an order a line, in JSON, and answers each by
a line; it ends with its input. What there is to order is each method of `Client` without a "_";
`Caller` is the same seen from the test.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import quiver
import quiver.pool.liveness
from quiver.testing.options import pattern

__all__ = ["Client"]

EVENTS: Final = tuple(name for name in quiver.telemetry.EVENTS if name.startswith("connection."))


class Client:
    """Threads that ask for what is ordered, and what has become of it."""

    def __init__(self, *, least: float | None, **options: Any) -> None:
        if least is not None:
            setattr(quiver.pool.liveness, "LEAST", least)  # noqa: B010 - it is another's name
        self._client = quiver.Client(pools={"default": options}, protocols=("h3",))
        self._threads: list[threading.Thread] = []
        self._outcomes: list[dict[str, Any]] = []
        self._events: list[tuple[str, str]] = []
        self._locals: list[tuple[str, int]] = []
        self._ending = threading.Event()
        self._received = 0
        quiver.telemetry.attach("client", EVENTS, self._heard)

    def begin(self, threads: int, url: str, sizes: list[int], timeout: float) -> None:
        """Let each thread post bodies of these sizes, one after the other."""
        self._start(threads, lambda number: self._post(number, url, sizes, timeout))

    def begin_asking(self, threads: int, url: str, timeout: float) -> None:
        """Let each thread post small bodies until `finish`."""
        self._start(threads, lambda number: self._post_on(number, url, timeout))

    def begin_fetching(self, threads: int, url: str, size: int, timeout: float) -> None:
        """Let each thread read a streamed body of this size."""
        self._start(threads, lambda _: self._fetch(f"{url}/bytes/{size}", size, timeout))

    def received(self) -> int:
        """How many bytes have come of what is fetched."""
        return self._received

    def finish(self) -> list[dict[str, Any]]:
        """What has become of all that was begun."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._ending.clear()
        self._threads.clear()
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def outcomes(self) -> int:
        """How many asks have ended so far."""
        return len(self._outcomes)

    def events(self) -> list[tuple[str, str]]:
        """What telemetry has told of connections so far, and the reason if there was one."""
        return list(self._events)

    def sockets(self) -> list[tuple[str, int]]:
        """The local ends of all connections so far."""
        return list(self._locals)

    def close(self) -> None:
        """End, with all that was begun."""
        self._ending.set()
        self._client.close()

    def _start(self, threads: int, job: Any) -> None:
        self._threads = [threading.Thread(target=job, args=(n,)) for n in range(threads)]
        for thread in self._threads:
            thread.start()

    def _post(self, number: int, url: str, sizes: list[int], timeout: float) -> None:
        for size in sizes:
            self._ask(bytes([number]) * size, url, timeout)

    def _post_on(self, number: int, url: str, timeout: float) -> None:
        while not self._ending.is_set():
            if self._ask(bytes([number]) * 100, url, timeout) is not None:
                self._ending.wait(0.02)  # what fails may fail at once: do not spin

    def _ask(self, body: bytes, url: str, timeout: float) -> str | None:
        """Post it, and take the account; the name of the error it ended with."""

        def post() -> tuple[int, bool]:
            answer = self._client.request("POST", url, body=body, timeout=timeout)
            arrived = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
            return answer.status, answer.status == 200 and answer.json() == arrived

        return self._account_for(post)

    def _fetch(self, url: str, size: int, timeout: float) -> None:
        def fetch() -> tuple[int, bool]:
            with self._client.stream("GET", url, timeout=timeout) as response:
                came = bytearray()
                for piece in response:
                    came += piece
                    self._received += len(piece)
                return response.status, came == pattern(size)

        self._account_for(fetch)

    def _account_for(self, request: Callable[[], tuple[int, bool]]) -> str | None:
        """Make one request, which returns its status and whether all of the answer is right."""
        began = time.monotonic()
        outcome: dict[str, Any] = {"status": None, "error": None, "said": "", "unprocessed": None}
        try:
            status, whole = request()
            outcome.update(status=status, whole=whole)
        except BaseException as error:  # noqa: BLE001 - the test judges it
            unprocessed = getattr(error, "unprocessed", None)
            name = type(error).__name__
            outcome.update(error=name, said=str(error), unprocessed=unprocessed)
        outcome["seconds"] = time.monotonic() - began
        self._outcomes.append(outcome)
        failed: str | None = outcome["error"]
        return failed

    def _heard(self, event: str, _: dict[str, Any], about: dict[str, Any]) -> None:
        self._events.append((event.removeprefix("connection."), _reason(about)))
        if "local" in about:
            self._locals.append(about["local"])


def _reason(about: dict[str, Any]) -> str:
    return str(about.get("reason") or about.get("failure") or about.get("error") or "")


def _orders() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def main(options: str) -> None:
    """Obey until the input ends."""
    client = Client(**json.loads(options))
    print(json.dumps("ready"), flush=True)
    for order in _orders():
        print(json.dumps(getattr(client, order.pop("do"))(**order)), flush=True)
    client.close()


if __name__ == "__main__":
    main(sys.argv[1])
