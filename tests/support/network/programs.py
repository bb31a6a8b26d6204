"""Programs in a namespace, held from the test: an origin, and a client."""

from __future__ import annotations

import json
import threading
from types import TracebackType
from typing import Any, Final, Self

import attrs

from quiver.testing import Authority, Origin
from tests.support.network.topology import Host

__all__ = ["Caller", "HostedOrigin", "Outcome"]

_PATIENCE: Final = 50.0  # seconds for an order: those that have time limits end them themselves


class HostedOrigin(Origin):
    """The test origin, in a namespace. Its process is there, its pipes are here."""

    def __init__(self, host: Host, *, authority: Authority, **options: Any) -> None:
        self._host = host
        super().__init__(authority=authority, **options)

    def _command(self) -> list[str]:
        return [*self._host.namespace.entering, *super()._command()]


@attrs.frozen(kw_only=True)
class Outcome:
    """How one ask ended.

    `whole`: the answer is about the body that was sent.
    """

    status: int | None
    error: str | None
    said: str
    unprocessed: bool | None
    seconds: float
    whole: bool = False


class Caller:
    """A client program in a namespace, with the options of a pool. A `with` starts and ends it.

    `least`: seconds that a suspected server has at least, where a slow machine must not matter.
    """

    def __init__(self, host: Host, *, least: float | None = None, **options: Any) -> None:
        self._host = host
        self._options = json.dumps({"least": least, **options})

    def __enter__(self) -> Self:
        module = "tests.support.network.client"
        self._process = self._host.namespace.python(module, self._options)
        assert self._answer() == "ready"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10.0)
        finally:
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
        assert error is not None or self._process.returncode == 0

    def begin(self, url: str, sizes: list[int], *, threads: int = 20, timeout: float = 40) -> None:
        """Let each thread post bodies of these sizes, one after the other."""
        self._order("begin", threads=threads, url=url, sizes=sizes, timeout=timeout)

    def begin_asking(self, url: str, *, threads: int = 20, timeout: float = 20.0) -> None:
        """Let each thread post small bodies until `finish`."""
        self._order("begin_asking", threads=threads, url=url, timeout=timeout)

    def begin_fetching(
        self, url: str, size: int, *, threads: int = 1, timeout: float = 40.0
    ) -> None:
        """Let each thread read a streamed body of this size."""
        self._order("begin_fetching", threads=threads, url=url, size=size, timeout=timeout)

    def received(self) -> int:
        """How many bytes have come of what is fetched."""
        return int(self._order("received"))

    def finish(self) -> list[Outcome]:
        """What has become of all that was begun."""
        return [Outcome(**each) for each in self._order("finish")]

    def outcomes(self) -> int:
        """How many asks have ended so far."""
        return int(self._order("outcomes"))

    def events(self) -> list[str]:
        """The names of what telemetry has told of connections so far."""
        return [name for name, _ in self._order("events")]

    def reasons(self) -> list[str]:
        """Those of the events that have one."""
        return [reason for _, reason in self._order("events") if reason]

    def sockets(self) -> list[tuple[str, int]]:
        """The local ends of all connections so far."""
        return [(host, port) for host, port in self._order("sockets")]

    def _order(self, do: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        """The next line; a program that does not answer is killed, which ends the wait."""
        assert self._process.stdout is not None
        alarm = threading.Timer(_PATIENCE, self._process.kill)
        alarm.start()
        try:
            line = self._process.stdout.readline()
        finally:
            alarm.cancel()
        assert line, "the client program does not answer"
        return json.loads(line)
