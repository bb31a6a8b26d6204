"""Channel: the caller's side of a stream that carries data and datagrams both ways (RFC 9297)."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Generic, Literal, Self, TypeVar

import attrs

from quiver.errors import (
    DatagramsDisabled,
    DatagramTooLarge,
    GoAway,
    InvalidRequest,
    QuiverError,
    ReceiveTimeout,
    StreamClosed,
    StreamReset,
)
from quiver.fields import Pairs
from quiver.models import Response
from quiver.redaction import names_of
from quiver.streams.receive_buffer import Reader, ReceiveBuffer
from quiver.streams.send_buffer import SendBuffer

__all__ = [
    "Channel",
    "ChannelEvent",
    "ChannelHandler",
    "Closed",
    "Cont",
    "Datagram",
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

    headers: Pairs = attrs.field(repr=names_of)


@attrs.frozen
class Closed:
    """The last event of a channel, with the reason why it is over.

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
        """Give the reason that `error`, which ended the channel, stands for."""
        match error:
            case StreamReset():
                return cls("reset", code=error.code, error=error)
            case GoAway():
                return cls("goaway", id=error.id, error=error)
            case StreamClosed():
                return cls("closed", error=error)
            case _:
                return cls("lost", error=error)


ChannelEvent = Response | Datagram | StreamData | Trailers | Closed
"""What iterating over a channel yields. The Response is the server's, with an empty body."""


class _Arrived:
    """A stand-in in the receive buffer for one datagram, the oldest that is still held.

    So the reader waits at one queue for stream data and datagrams, and the oldest datagram can be
    dropped without a search for it there.
    """


_ARRIVED: Final = _Arrived()

ReceivedItem = Response | StreamData | Trailers | _Arrived


class Channel(Reader[ReceivedItem]):
    """An open stream. Its events are read by one thread or greenlet; anyone may send and write.

    It holds one stream of its connection until it is over or closed. Leaving a `with` closes it,
    and so does the garbage collector when nobody holds it any more.

    Attributes:
        receive_timeout: seconds that a reader waits for an event; None waits as long as it takes.
            It may be set anew between two of them.
    """

    def __init__(
        self,
        receive_buffer: ReceiveBuffer[ReceivedItem],
        buffers: ChannelBuffers,
        receive_timeout: float | None = None,
    ) -> None:
        super().__init__(receive_buffer)
        self.receive_timeout = receive_timeout
        self._buffers = buffers
        self._over = False

    def __repr__(self) -> str:
        closed = "closed" if self.receive_buffer.closed else "open"
        return f"<Channel of {self.receive_buffer.origin}, {'over' if self._over else closed}>"

    @property
    def receive_timeout(self) -> float | None:
        return self._receive_timeout

    @receive_timeout.setter
    def receive_timeout(self, seconds: float | None) -> None:
        number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if seconds is not None and not (number and 0 < seconds <= sys.float_info.max):
            raise InvalidRequest(f"receive_timeout={seconds!r} is not a number of seconds above 0")
        self._receive_timeout = seconds

    @property
    def status(self) -> int | None:
        """The final status of the server's response; None until that has come."""
        response = self.receive_buffer.response
        return None if response is None else response.status

    @property
    def max_datagram_size(self) -> int:
        """The bytes that one datagram may have now; 0 when there are none."""
        return self._buffers.max_datagram_size

    # sending --------------------------------------------------------------------------------

    def send(self, payload: bytes) -> None:
        """Send one datagram. It may be lost, and is dropped when too many wait to be sent.

        Raises:
            DatagramTooLarge: it has more than `max_datagram_size` bytes.
            DatagramsDisabled: there are no datagrams on this channel.
            InvalidRequest: it is not bytes.
            QuiverError: what ended the channel; StreamClosed after `close()` or `finish()`, since
                datagrams need this side open (RFC 9297 2.1).
        """
        self._check_open()
        limit = self.max_datagram_size
        if not limit:
            raise DatagramsDisabled(
                "no datagrams here: the server takes none, or the pool has datagrams=False",
                origin=self.receive_buffer.origin,
            )
        payload = _copied(payload, "a datagram")
        if len(payload) > limit:
            raise DatagramTooLarge(
                f"a datagram of {len(payload)} bytes exceeds max_datagram_size={limit} bytes",
                limit=limit,
                origin=self.receive_buffer.origin,
            )
        self._buffers.send(payload)

    def write(self, content: bytes) -> None:
        """Send bytes on the stream; wait while the server takes no more.

        Raises:
            QuiverError: what ended the channel; StreamClosed after `close()` or `finish()`.
            InvalidRequest: it is not bytes.
        """
        self._check_open()
        send_buffer = self._buffers.send_buffer
        send_buffer.wait_for_room()
        send_buffer.put(_copied(content, "what is written"))

    def finish(self) -> None:
        """End this side of the stream, if it has not ended. Events go on until the server's has.

        Errors as of `write`.
        """
        if not self._buffers.send_buffer.ended:
            self._check_open()
            self._buffers.send_buffer.end()

    def _check_open(self) -> None:
        """Raise StreamClosed after `close()`, of which the connection hears a little later."""
        if self.receive_buffer.closed:
            raise StreamClosed("the channel was closed here", origin=self.receive_buffer.origin)

    # receiving ------------------------------------------------------------------------------

    def __iter__(self) -> Self:
        """Yield events as they come; Closed is the last."""
        return self

    def __next__(self) -> ChannelEvent:
        """Wait for the next event and return it.

        Raises:
            ReceiveTimeout: none came within `receive_timeout`; the channel stays as it is, and may
                be read on.
            StopIteration: Closed was the last.
        """
        if self._over:
            raise StopIteration
        while True:
            if not self.receive_buffer.wait(self.receive_timeout):
                said = f"no event came within receive_timeout={self.receive_timeout} seconds"
                raise ReceiveTimeout(said, origin=self.receive_buffer.origin)
            try:
                item = self.receive_buffer.take()
            except QuiverError as error:
                self._over = True
                return Closed.because_of(error)
            if item is None:
                self._over = True
                return Closed("peer")
            if not isinstance(item, _Arrived):
                return item
            if self._buffers.arrived:
                return Datagram(self._buffers.arrived.popleft())


class ChannelBuffers:
    """What a channel and its connection share: the send buffer, and datagrams both ways.

    Args:
        send_buffer: for stream data; it notifies the connection of datagrams too.
        held: datagrams that wait for the reader; beyond that the oldest is dropped.
    """

    def __init__(self, send_buffer: SendBuffer, held: int) -> None:
        self.send_buffer = send_buffer
        self.max_datagram_size = 0
        self.arrived: deque[bytes] = deque()
        self.unsent: deque[bytes] = deque(maxlen=UNSENT)
        self._held = held

    def send(self, payload: bytes) -> None:
        """Queue a datagram to be sent; the oldest is dropped when too many wait."""
        self.send_buffer.check_open()
        self.unsent.append(payload)
        self.send_buffer.notify()

    def receive(self, receive_buffer: ReceiveBuffer[ReceivedItem], payload: bytes) -> bool:
        """Hold a datagram for the reader; return False when the oldest was dropped for it."""
        # Appended before the oldest goes: for each datagram held there is one stand-in in the
        # receive buffer, whatever the reader takes meanwhile: the new one has the oldest's.
        self.arrived.append(payload)
        if len(self.arrived) > self._held:
            self.arrived.popleft()
            return False
        receive_buffer.put(_ARRIVED, 0)
        return True


def _copied(given: bytes, what: str) -> bytes:
    try:
        return memoryview(given).tobytes()
    except TypeError:
        raise InvalidRequest(f"{what} is a {type(given).__name__}, not bytes") from None


# A loop over a channel's events ---------------------------------------------------------------


@attrs.frozen
class Cont(Generic[T]):
    """A handler's result that goes on, with this accumulator."""

    acc: T


@attrs.frozen
class Halt(Generic[T]):
    """A handler's result that closes the channel; its value is the loop's."""

    value: T


def cont(acc: T) -> Cont[T]:
    """Make what a channel's handler returns to go on with `acc`."""
    return Cont(acc)


def halt(value: T) -> Halt[T]:
    """Make what a channel's handler returns to close the channel, with `value` as the result."""
    return Halt(value)


ChannelHandler = Callable[[ChannelEvent, Channel, Any], Cont[Any] | Halt[Any]]
"""Called with an event, its channel and the accumulator; returns `cont(acc)` or `halt(value)`."""


def run(channel: Channel, handler: ChannelHandler, initial: object) -> Any:
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
