"""Frames of any kind, in any order and pieces: what a client makes of them holds together."""

from __future__ import annotations

from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from quiver.errors import ConnectionLost, ProtocolViolation
from quiver.h3 import events
from tests.support.engines.http2_wire import GET, OK, POST, Http2Wire

HEADERS, CONTINUATION = 1, 9
BLOCKS = [
    Encoder().encode(fields)
    for fields in (OK, [(b":status", b"103")], [(b"x-trailer", b"1")], [], [*OK, *OK], GET)
]
contents = (
    st.sampled_from(BLOCKS)
    | st.sampled_from([bytes(4), bytes(5), bytes(8), b"\0\4\0\0\0\0", b"\0\3\0\0\0\1", b"\0\0\0\1"])
    | st.binary(max_size=30)
)
streams = st.sampled_from([0, 1, 1, 1, 3, 3, 2, 99])
flags = st.sampled_from([0, 1, 4, 4, 5, 5, 8, 0x20, 0xFF])


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Most of them make some sense by themselves."""
    kind = draw(st.sampled_from([0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xF0]))
    content = draw(st.sampled_from(BLOCKS) if kind in (HEADERS, CONTINUATION) else contents)
    head = bytes([0, 0, len(content), kind, draw(flags)])
    return head + draw(streams).to_bytes(4, "big") + content


@given(
    st.lists(frames(), max_size=12),
    st.lists(st.integers(1, 40), max_size=10),
    st.sampled_from([None, 1, 3]),
)
def test_whatever_comes_it_holds_together(
    sent: list[bytes], cuts: list[int], given_up: int | None
) -> None:
    """One outcome for each stream, in order; a named end of the connection, once and as the last;
    and nothing is raised."""
    wire = Http2Wire()
    assert (wire.open(), wire.open(POST, b"x" * 100_000, window=65_536)) == (1, 3)
    stream = b"".join(sent)
    for size in cuts:
        wire.give(stream[:size])
        stream = stream[size:]
    if given_up is not None:
        wire.client.cancel(given_up, 0x10C)
    wire.give(stream)
    wire.pass_on_what_can_be()
    for stream_id in (1, 3):
        check(wire.of(stream_id))
    ends = wire.told(events.ConnectionEnded)
    assert len(ends) == wire.client.closed
    if ends:
        assert wire.seen[-1:] == ends
        assert isinstance(ends[0].error, ProtocolViolation | ConnectionLost), ends
    wire.client.lost(None, wire.now)
    assert wire.client.closed


def check(happened: list[events.Event]) -> None:
    """`Informational*, Headers, Body*, TrailersReceived?`, or where it breaks off."""
    headed = ended = False
    for event in happened:
        assert not ended, happened
        match event:
            case events.Informational():
                assert not headed, happened
            case events.Headers():
                assert not headed, happened
                headed, ended = True, event.ended
            case events.Body():
                assert headed, happened
                ended = event.ended
            case events.TrailersReceived():
                assert headed, happened
                ended = True
            case _:  # reset, malformed or too large
                ended = True
