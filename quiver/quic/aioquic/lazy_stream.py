"""LazyStream: aioquic's state of a stream, for a request that is small and goes out whole.

Of the two halves of a stream, such a one never needs most: no bytes wait, and no ranges of them are
lost, or come out of their order. All of that costs twice, to be made, and for the collector of
cycles, which has to look at each piece. So here it is made when it is first looked at.
"""

from __future__ import annotations

from typing import Any, Final

from aioquic.quic.stream import QuicStream, QuicStreamReceiver, QuicStreamSender

__all__ = ["LazyStream"]

_Half = QuicStreamSender | QuicStreamReceiver
_PLAIN: Final = bool | int | None


def _made_late(fresh: object) -> type[Any]:
    """A class like that of `fresh`: each of its own begins as that one, but for its stream's id."""
    plain = {name: value for name, value in vars(fresh).items() if isinstance(value, _PLAIN)}
    late = {name: type(value) for name, value in vars(fresh).items() if name not in plain}

    def begin(half: _Half, stream_id: int) -> None:
        half._stream_id = stream_id

    def make(half: _Half, name: str) -> Any:  # which it has not yet
        if name not in late:
            raise AttributeError(f"{type(half).__name__!r} object has no attribute {name!r}")
        made = late[name]()
        setattr(half, name, made)
        return made

    kind = type(fresh)
    body = {**plain, "__init__": begin, "__getattr__": make, "__module__": __name__}
    made: type[Any] = type(kind.__name__, (kind,), body)
    first = made(0)
    for name, value in plain.items():  # attributes that a class has seen early take no dict later
        setattr(first, name, value)
    return made


_fresh: Final = QuicStream(0)
_Sender: Final = _made_late(_fresh.sender)
_Receiver: Final = _made_late(_fresh.receiver)


class LazyStream(QuicStream):
    """A QuicStream both ways, whose halves are made as they are needed."""

    is_blocked = False

    def __init__(self, stream_id: int, limit: int, credit: int) -> None:
        """`limit`, `credit`: bytes that the peer may send on it, and that we may."""
        self.stream_id = stream_id
        self.max_stream_data_local = self.max_stream_data_local_sent = limit
        self.max_stream_data_remote = credit
        self.receiver = _Receiver(stream_id)
        self.sender = _Sender(stream_id)
