"""What QUIC reports, joined: by stream, in order, and never across another kind of event."""

from __future__ import annotations

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent, StreamDataReceived, StreamReset
from hypothesis import given
from hypothesis import strategies as st

from quiver.h3.quic import Quic


def data(content: bytes, stream_id: int, *, ended: bool = False) -> StreamDataReceived:
    return StreamDataReceived(data=content, end_stream=ended, stream_id=stream_id)


def happened(*events: QuicEvent) -> list[QuicEvent]:
    quic = Quic(configuration=QuicConfiguration())
    quic._events.extend(events)
    seen = list(quic.happened())
    assert list(quic.happened()) == []
    return seen


def test_one_event_stays_itself() -> None:
    event = data(b"a", 0)
    assert happened(event)[0] is event


def test_interleaved_streams_are_joined_each() -> None:
    events = [data(b"a", 0), data(b"1", 4), data(b"b", 0), data(b"2", 4, ended=True), data(b"c", 0)]
    assert happened(*events) == [data(b"abc", 0), data(b"12", 4, ended=True)]


def test_other_events_stay_where_they_are() -> None:
    reset = StreamReset(error_code=1, stream_id=0)
    control = data(b"settings", 3)
    events = [data(b"a", 0), data(b"b", 0), reset, data(b"1", 4), control, data(b"2", 4)]
    assert happened(*events) == [data(b"ab", 0), reset, data(b"1", 4), control, data(b"2", 4)]


pieces = st.builds(data, st.binary(max_size=3), st.sampled_from([0, 4, 8, 3, 7]))


@given(st.lists(pieces | st.builds(StreamReset, st.just(1), st.sampled_from([0, 4]))))
def test_nothing_is_lost_or_put_out_of_order(events: list[QuicEvent]) -> None:
    assert by_stream(happened(*events)) == by_stream(events)


def by_stream(events: list[QuicEvent]) -> dict[int, list[bytes | None]]:
    """Of each stream its bytes one by one, and None for a reset."""
    seen: dict[int, list[bytes | None]] = {}
    for event in events:
        assert isinstance(event, StreamDataReceived | StreamReset)
        stream = seen.setdefault(event.stream_id, [])
        if isinstance(event, StreamDataReceived):
            stream += [bytes([byte]) for byte in event.data]
        else:
            stream.append(None)
    return seen
