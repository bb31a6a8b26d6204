"""Routes whose answer takes its time: bodies written as they drain, dripped, cut short.

/bytes/N                          N bytes of `pattern`, in bounded memory
/drip/COUNT/SECONDS?size=B        COUNT pieces of B bytes, one each SECONDS
/stall-after/N  /reset-after/N/CODE   N bytes, then silence or RESET_STREAM
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from quiver.testing.options import pattern
from quiver.testing.routes.request import BYTES, Asked, RequestStream, Route, size_of

__all__ = ["BODIES"]

_PIECE: Final = 251 * 256  # whole periods of the pattern
_MORE: Final = 1000  # bytes declared beyond those that are sent


def _pieces(size: int) -> Iterator[bytes]:
    whole, rest = divmod(size, _PIECE)
    piece = pattern(_PIECE) if whole else b""
    for _ in range(whole):
        yield piece
    if rest:
        yield pattern(rest)


def _begin(stream: RequestStream, length: int) -> None:
    stream.send_headers([(b":status", b"200"), BYTES, (b"content-length", b"%d" % length)])


def _bytes(asked: Asked, stream: RequestStream, argument: str) -> None:
    size = size_of(argument)
    if size <= _PIECE:
        stream.answer(200, [BYTES], pattern(size))
        return
    length = (b"content-length", b"%d" % size)
    head = asked.method == "HEAD"
    stream.send_headers([(b":status", b"200"), BYTES, length], ended=head)
    if not head:
        stream.pour(_pieces(size))


def _drip(asked: Asked, stream: RequestStream, argument: str) -> None:
    count, _, seconds = argument.partition("/")
    left, pause = size_of(count), float(seconds)
    piece = pattern(size_of(asked.arguments.get("size", "1")))
    stream.send_headers([(b":status", b"200"), BYTES])

    def drop() -> None:
        nonlocal left
        left -= 1
        stream.send_body(piece, ended=left <= 0)
        if left > 0:
            stream.later(pause, drop)

    stream.later(pause, drop)


def _stall_after(asked: Asked, stream: RequestStream, argument: str) -> None:
    size = size_of(argument)
    _begin(stream, size + _MORE)
    stream.pour(_pieces(size), lambda: None)


def _reset_after(asked: Asked, stream: RequestStream, argument: str) -> None:
    count, _, code = argument.partition("/")
    size, number = size_of(count), int(code, 0)
    _begin(stream, size + _MORE)
    # Reset only what has arrived: a reset takes back what was not yet sent.
    stream.pour(_pieces(size), lambda: stream.reset(number))


BODIES: Final[dict[str, Route]] = {
    "bytes": _bytes,
    "drip": _drip,
    "stall-after": _stall_after,
    "reset-after": _reset_after,
}
