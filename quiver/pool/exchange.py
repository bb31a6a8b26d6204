"""One exchange: a request and its response on a stream, as the table of exchanges has it."""

from __future__ import annotations

import enum
import math
from typing import Final

import attrs

Pairs = list[tuple[str, str]]

_BODILESS: Final = frozenset({204, 304})


class Mode(enum.Enum):
    """How the response reaches its caller."""

    BUFFERED = "buffered"  # as a whole
    STREAMED = "streamed"  # its head, then its content as it comes
    CHANNEL = "channel"  # everything as events; the caller has it from the start


@attrs.define(eq=False)
class Limits:
    """How long an exchange may take, in seconds on the caller's clock; None is no limit.

    Attributes:
        deadline: when the whole request must be over.
        timeout: the seconds that `deadline` came from, for the error's message.
        receive_timeout: silence of the server to bear with.
        idle_timeout: how long content may lie unread.
        send_timeout: how long the request's body may wait to be taken; None is as silence.
    """

    deadline: float | None = None
    timeout: float | None = None
    receive_timeout: float | None = None
    idle_timeout: float | None = None
    send_timeout: float | None = None


@attrs.define(eq=False)
class Exchange:
    """What is known of one exchange. `begun`: its caller has a response or channel in hand."""

    stream_id: int
    ticket: int
    mode: Mode
    bodiless: bool  # no content may come: HEAD, 204, 304
    limits: Limits
    heard: float  # when the server last gave, or our side last took, a sign of life
    begun: bool = False
    status: int = 0  # until the final response's header section has come
    headers: Pairs = attrs.field(factory=list)
    expected: int | None = None  # content-length
    size: int = 0
    chunks: list[bytes] = attrs.field(factory=list)  # of a buffered body
    unread: int = 0  # bytes that wait for the reader
    read: float = 0.0  # when the reader last took some, or had nothing to take
    stuck: bool = False  # its body waits for the server to take some
    entry: float = math.inf  # when its entry in the heap comes due

    def respond(self, status: int, headers: Pairs, now: float) -> None:
        """Take the final response's head. ValueError: its content-length is none."""
        self.heard = now
        self.status, self.headers = status, headers
        if status in _BODILESS and self.mode is not Mode.CHANNEL:  # RFC 9110 9.3.6: any 2xx opens
            self.bodiless = True
        if not self.bodiless and self.mode is not Mode.CHANNEL:
            self.expected = _content_length(headers)

    def receive(self, size: int, now: float) -> None:
        """Content came."""
        self.heard = now
        self.size += size
        if self.mode is not Mode.BUFFERED:
            if not self.unread:
                self.read = now
            self.unread += size

    @property
    def too_long(self) -> bool:
        return self.expected is not None and self.size > self.expected

    @property
    def too_short(self) -> bool:
        return self.expected is not None and not self.bodiless and self.size < self.expected

    def due(self) -> float:
        """When it ends if nothing more happens; infinity for never."""
        deadline = math.inf if self.limits.deadline is None else self.limits.deadline
        return min(deadline, self._patience())

    @property
    def unheeded(self) -> bool:
        """Whether it waits for its reader, not for the server."""
        return self.unread > 0

    @property
    def untaken(self) -> bool:
        """Whether its body waits for the server, which has a time limit of its own for that."""
        return self.stuck and self.limits.send_timeout is not None

    def _patience(self) -> float:
        limits = self.limits
        if self.unheeded:
            return math.inf if limits.idle_timeout is None else self.read + limits.idle_timeout
        if self.untaken:
            return self.heard + (limits.send_timeout or 0.0)
        silence_is_golden = self.mode is Mode.CHANNEL and self.status
        if limits.receive_timeout is None or silence_is_golden:
            return math.inf
        return max(self.heard, self.read) + limits.receive_timeout


def _content_length(headers: Pairs) -> int | None:
    """The declared length (RFC 9110 8.6). ValueError when it is none, or there are several."""
    declared = {value for name, value in headers if name == "content-length"}
    if not declared:
        return None
    if len(declared) > 1:
        raise ValueError(f"content-length has several values: {sorted(declared)}")
    (value,) = declared
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"content-length is {value!r}")
    return int(value)
