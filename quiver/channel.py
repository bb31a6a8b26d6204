"""Channel: the caller's side of a stream that carries data and datagrams both ways (RFC 9297)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, Literal, TypeVar

import attrs

from quiver.errors import (
    DatagramsDisabled,
    DatagramTooLarge,
    GoAway,
    QuiverError,
    StreamClosed,
    StreamReset,
)
from quiver.inlet import Inlet, Reader
from quiver.models import Response
from quiver.upload import Outlet

__all__ = [
    "Channel",
    "Closed",
    "Cont",
    "Datagram",
    "Event",
    "Halt",
    "StreamData",
    "Trailers",
    "cont",
    "halt",
    "run",
]

T = TypeVar("T")

UNSENT: Final = 256  # datagrams that wait to be sent; more are dropped


@attrs.frozen
class Datagram:
    """One HTTP datagram's payload. Some may be lost on their way, or come in another order."""

    payload: bytes


@attrs.frozen
class StreamData:
    """Bytes of the stream, in order and complete."""

    content: bytes


@attrs.frozen
class Trailers:
    """The fields that came after the stream's last byte."""

    headers: list[tuple[str, str]]


@attrs.frozen
class Closed:
    """The channel is over; this is its last event.

    Attributes:
        reason: "peer" ended it in order; "reset" or "goaway" by the server; "lost" with its
            connection, its pool or its time; "closed" by `close()` here.
        code: the error code of a reset (RFC 9114 8.1).
        id: the stream id of the GOAWAY.
        error: what ended it, unless it ended in order.
    """

    reason: Literal["peer", "reset", "goaway", "lost", "closed"]
    code: int | None = None
    id: int | None = None
    error: QuiverError | None = None

    @classmethod
    def because_of(cls, error: QuiverError) -> Closed:
        match error:
            case StreamReset():
                return cls("reset", code=error.code, error=error)
            case GoAway():
                return cls("goaway", id=error.id, error=error)
            case StreamClosed():
                return cls("closed", error=error)
            case _:
                return cls("lost", error=error)


Event = Response | Datagram | StreamData | Trailers | Closed
"""What iterating over a channel yields. The Response is the server's, with an empty body."""


class _Arrived:
    """Stands in the inlet for one datagram: the oldest that is still held."""


_ARRIVED: Final = _Arrived()

Inward = Response | StreamData | Trailers | _Arrived
Inbound = Inlet[Inward]


class Channel(Reader[Inward]):
    """An open stream. Its events are read by one thread or greenlet; anyone may send and write.

    It holds one stream of its connection until it is over or closed. Leaving a `with` closes it,
    and so does the garbage collector when nobody holds it any more.

    Attributes:
        max_datagram_size: bytes that one datagram may have now; 0 when there are none.
    """

    def __init__(self, inlet: Inbound, post: ChannelPost) -> None:
        super().__init__(inlet)
        self._post = post
        self._over = False

    @property
    def max_datagram_size(self) -> int:
        return self._post.max_datagram_size

    # sending --------------------------------------------------------------------------------

    def send(self, payload: bytes) -> None:
        """Send one datagram. It may be lost, and is dropped when too many wait to be sent.

        Raises:
            DatagramTooLarge: it has more than `max_datagram_size` bytes.
            DatagramsDisabled: there are no datagrams on this channel.
            QuiverError: what ended the channel; StreamClosed after `close()` or `finish()`, since
                datagrams need this side open (RFC 9297 2.1).
        """
        self._check_open()
        limit = self.max_datagram_size
        if not limit:
            raise DatagramsDisabled("the server takes no datagrams here", origin=self._inlet.origin)
        if len(payload) > limit:
            raise DatagramTooLarge(
                f"a datagram of {len(payload)} bytes exceeds max_datagram_size={limit} bytes",
                limit=limit,
                origin=self._inlet.origin,
            )
        self._post.send(bytes(payload))

    def write(self, content: bytes) -> None:
        """Send bytes on the stream. Waits while the server takes no more.

        Raises:
            QuiverError: what ended the channel; StreamClosed after `close()` or `finish()`.
        """
        self._check_open()
        outlet = self._post.outlet
        outlet.wait_for_room()
        outlet.put(bytes(content))

    def finish(self) -> None:
        """End this side of the stream. Events go on until the server ends its own.

        Errors as of `write`.
        """
        self._check_open()
        self._post.outlet.end()

    def _check_open(self) -> None:
        """At once after `close()`, which the connection hears of a little later."""
        if self._inlet.closed:
            raise StreamClosed("the channel was closed here", origin=self._inlet.origin)

    # receiving ------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Event]:
        """Events as they come; Closed is the last."""
        while not self._over:
            yield self._next()

    def _next(self) -> Event:
        while True:
            try:
                item = self._inlet.take()
            except QuiverError as error:
                self._over = True
                return Closed.because_of(error)
            if item is None:
                self._over = True
                return Closed("peer")
            if not isinstance(item, _Arrived):
                return item
            if self._post.arrived:
                return Datagram(self._post.arrived.popleft())


class ChannelPost:
    """What a channel and its connection have in common: both ends' boxes.

    Args:
        outlet: for stream data. Its connection is told through it of datagrams too.
        held: datagrams that wait for the reader; beyond that the oldest is dropped.
    """

    def __init__(self, outlet: Outlet, held: int) -> None:
        self.outlet = outlet
        self.max_datagram_size = 0
        self.arrived: deque[bytes] = deque()
        self.unsent: deque[bytes] = deque(maxlen=UNSENT)
        self._held = held

    def send(self, payload: bytes) -> None:
        self.outlet.check_open()
        self.unsent.append(payload)
        self.outlet.tell()

    def receive(self, inlet: Inbound, payload: bytes) -> bool:
        """Hold a datagram for the reader; False when the oldest was dropped for it.

        For each one held there is a stand-in in the inlet, whatever the reader takes meanwhile:
        the new one comes before the oldest goes, and then has its stand-in.
        """
        self.arrived.append(payload)
        if len(self.arrived) > self._held:
            self.arrived.popleft()
            return False
        inlet.put(_ARRIVED, 0)
        return True


# A loop over a channel's events ---------------------------------------------------------------


@attrs.frozen
class Cont(Generic[T]):
    """Go on, with this accumulator."""

    acc: T


@attrs.frozen
class Halt(Generic[T]):
    """Close the channel; this is the value of the loop."""

    value: T


def cont(acc: T) -> Cont[T]:
    """What a channel's handler returns to go on with `acc`."""
    return Cont(acc)


def halt(value: T) -> Halt[T]:
    """What a channel's handler returns to close the channel with `value` as the result."""
    return Halt(value)


def run(channel: Channel, handler: Callable[[Event, Channel, Any], Any], initial: Any) -> Any:
    """Call `handler(event, channel, acc)` for each event, the first time with `initial`.

    Returns:
        The value given to `halt`, or the last accumulator when the channel is over.

    Raises:
        TypeError: the handler returned neither `cont(acc)` nor `halt(value)`.
    """
    acc = initial
    with channel:
        for event in channel:
            match handler(event, channel, acc):
                case Cont(acc):
                    pass
                case Halt(value):
                    return value
                case other:
                    raise TypeError(f"handler returned {other!r}: use cont(acc) or halt(value)")
    return acc
