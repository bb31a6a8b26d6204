"""A sampling profiler that counts the CPU time of a request by the parts of the library.

A timer of the program's own CPU time interrupts it every millisecond; what runs then is counted
for its room. A frame of the standard library counts for who called it.
"""

from __future__ import annotations

import re
import signal
from collections import Counter
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final, Self

import quiver

__all__ = ["ROOMS", "Sampler", "room_of"]

_EVERY: Final = 0.001  # seconds of CPU time
_HERE: Final = str(Path(quiver.__file__).resolve().parents[1])
_GENERATED: Final = re.compile(r"<attrs generated \w+ ([\w.]+)\.\w+>")

# The first that matches counts.
_PLACES: Final = (
    ("sockets", r"quiver/pool/(udp|udp_transport|dialer)\.py|tests/support/clients/bare\.py"),
    ("QUIC", r"aioquic/(?!h3/)|quiver/quic/"),
    ("HTTP/3", r"aioquic/h3/|quiver/h3/"),
    ("coordinator", r"quiver/pool/(coordinator|routing|waiting_queue|checkout|backoff)\.py"),
    ("connection", r"quiver/pool/(?!ref|manager)"),
    ("actors", r"(^|/)actors/|pykka/"),
    ("gevent", r"gevent/|greenlet/"),
    ("caller", r"quiver/"),
    ("benchmark", r"benchmarks/"),
)
_REST: Final = "rest"
ROOMS: Final = (*(name for name, _ in _PLACES), _REST)


def room_of(filename: str) -> str | None:
    """Return the part that a file belongs to; None for the standard library and the like."""
    generated = _GENERATED.match(filename)
    path = f"{generated[1].replace('.', '/')}.py" if generated else filename
    path = path.rpartition("site-packages/")[2].removeprefix(_HERE)
    return next((name for name, where in _PLACES if re.search(where, path)), None)


class Sampler:
    """Counts, from `with` until its end, which part of the library the main thread is in."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._known: dict[str, str | None] = {}

    def __enter__(self) -> Self:
        signal.signal(signal.SIGPROF, self._take)
        signal.setitimer(signal.ITIMER_PROF, _EVERY, _EVERY)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0.0)

    def shares(self) -> dict[str, float]:
        """Return the share of each part; they add up to 1."""
        total = self._counts.total() or 1
        return {room: self._counts[room] / total for room in ROOMS}

    def _take(self, _: int, frame: FrameType | None) -> None:
        while frame is not None:
            filename = frame.f_code.co_filename
            if filename not in self._known:
                self._known[filename] = room_of(filename)
            room = self._known[filename]
            if room is not None:
                self._counts[room] += 1
                return
            frame = frame.f_back
        self._counts[_REST] += 1
