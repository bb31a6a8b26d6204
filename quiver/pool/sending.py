"""What goes out besides header sections: bodies, stream data and datagrams, as there is room."""

from __future__ import annotations

from typing import Final

from quiver.h3.headers import trailer_fields
from quiver.h3.session import Session
from quiver.pool.callers import Held
from quiver.pool.exchange import Mode
from quiver.upload import FULL, Outlet

__all__ = ["drop_unsent", "send_datagrams", "send_stream"]

LOW: Final = FULL // 2  # bytes in an outlet below which its filler is asked for more


def send_stream(session: Session, held: Held, buffer: int) -> bool:
    """Hand on what the outlet holds, until `buffer` bytes wait to be acknowledged.

    Returns:
        Whether the body goes on from our side: something was handed on, or there is nothing yet.
        Else it is for the server to take what waits. Of a channel the server owes its response,
        whatever our side does.
    """
    outlet = held.outlet
    assert outlet is not None
    moved = _move(session, held.stream_id, outlet, buffer)
    if outlet.drained:
        held.sent = True
        _end(session, held.stream_id, outlet)
    elif held.upload is not None and outlet.waiting < LOW and not held.upload.filling:
        held.upload.filling = True
        # Who waits for a streamed response wants it before the body is through.
        held.upload.start(held.errands, apart=held.mode is Mode.STREAMED)
    return held.post is None and (bool(moved) or not outlet.waiting)


def _move(session: Session, stream_id: int, outlet: Outlet, buffer: int) -> int:
    moved = 0
    room = buffer - session.unacknowledged(stream_id)
    while room > 0 and (piece := outlet.take(room)):
        session.send_body(stream_id, bytes(piece), False)
        room -= len(piece)
        moved += len(piece)
    return moved


def _end(session: Session, stream_id: int, outlet: Outlet) -> None:
    if outlet.trailers:
        session.send_trailers(stream_id, trailer_fields(outlet.trailers))
    else:
        session.send_body(stream_id, b"", True)


def send_datagrams(session: Session, held: Held) -> int:
    """Hand on the channel's datagrams; how many had to be dropped."""
    dropped = 0
    unsent = held.post.unsent if held.post is not None else ()
    while unsent:
        dropped += not session.send_datagram(held.stream_id, unsent.popleft())
    return dropped


def drop_unsent(session: Session, held: Held, code: int) -> None:
    """The exchange is over: end the request's half of the stream.

    In order if it is a channel, unless bytes that were written to it are dropped by that.
    """
    if held.outlet is None:
        return
    if held.post is not None and not held.outlet.waiting:
        session.send_body(held.stream_id, b"", True)
    else:
        session.abort_body(held.stream_id, code)
