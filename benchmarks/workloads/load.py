"""A load: what a client is asked to do, and what came of it."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from typing import Final, Literal, Protocol, Self

import attrs

__all__ = [
    "SESSIONS",
    "Adapter",
    "FirstRequest",
    "Load",
    "Sample",
    "Session",
    "Settings",
    "Stopwatch",
    "check",
    "drain",
]

Session = Literal["full", "resumed", "early"]
SESSIONS: Final[tuple[Session, ...]] = ("full", "resumed", "early")
"""How the session of a new connection begins: by a full handshake, resumed by a ticket, and that
with the request as early data."""


@functools.cache
def _content(size: int) -> bytes:
    """Bytes that were written once: of zeros the kernel maps each page as a client reads it."""
    return b"\x55" * size


@attrs.frozen
class Settings:
    """How a client is set up.

    Attributes:
        cafile: path of the root to trust.
        callers: how many will ask at once; a client that needs a connection for each makes room.
        connections: that a pool may open to one origin.
        origins: how many origins there are; a client that limits its pools makes room.
    """

    cafile: str
    callers: int = 1
    connections: int = 1
    origins: int = 1


@attrs.frozen
class Load:
    """Callers that ask one request after the other, each of its own origin in turn.

    Attributes:
        urls: caller number n asks `urls[n % len(urls)]`.
        callers: how many ask at once.
        seconds: no request begins after these; each caller makes one at least.
        expected: bytes of the body that must come back.
        upload: bytes of the body to POST; 0 is a GET.
    """

    urls: tuple[str, ...]
    callers: int = 1
    seconds: float = 0.0
    expected: int = 2
    upload: int = 0

    def url(self, caller: int) -> str:
        """What this caller asks for."""
        return self.urls[caller % len(self.urls)]

    @property
    def body(self) -> bytes | None:
        """What is uploaded with each request; the same bytes each time."""
        return _content(self.upload) if self.upload else None

    def briefly(self, seconds: float) -> Load:
        """Return the same load for another time."""
        return attrs.evolve(self, seconds=seconds)


@attrs.frozen
class Sample:
    """What came of a load: seconds of each request, wall-clock and CPU seconds of all."""

    latencies: list[float]
    seconds: float
    cpu: float


@attrs.frozen
class FirstRequest:
    """One of a new connection: seconds to its answer, and CPU seconds to that, and of its handshake
    alone, to the moment in which the client has it behind itself."""

    seconds: float
    cpu: float
    handshake: float


class Stopwatch:
    """Wall clock and CPU of this program, from `with` until its end."""

    def __enter__(self) -> Self:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self._wall, self._cpu = time.perf_counter() - self._wall, time.process_time() - self._cpu

    def sample(self, latencies: list[float]) -> Sample:
        """What was measured, once it is over."""
        return Sample(latencies, self._wall, self._cpu)


class Adapter(Protocol):
    """One client under one name: made with Settings, asked to run loads, closed."""

    def run(self, load: Load) -> Sample:
        """Run until the load is over. Raises what a request raised."""

    def close(self) -> None:
        """Close the connections."""


Make = Callable[[Settings], Adapter]


def check(load: Load, version: object, wanted: object, status: int, size: int) -> None:
    """Hold one response against what was asked for; the version is as the client names it."""
    if version != wanted:
        raise AssertionError(f"answered over HTTP version {version!r}, not {wanted!r}")
    if status != 200 or size != load.expected:
        raise AssertionError(f"status {status}, {size} bytes; not 200, {load.expected} bytes")


def drain(pieces: Iterable[bytes], began: float) -> tuple[float, int]:
    """Seconds from `began` to the first byte of a body, and the size of it all."""
    first, size = 0.0, 0
    for piece in pieces:
        if piece and not size:
            first = time.perf_counter() - began
        size += len(piece)
    return first, size
