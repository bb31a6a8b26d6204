"""What QUIC reports, joined: by stream, in order, and never across another kind of event."""

from __future__ import annotations

from typing import Any

from aioquic.quic import events as theirs
from hypothesis import given
from hypothesis import strategies as st

from quiver.quic.aioquic.certificates import Configuration
from quiver.quic.aioquic.engine import AioquicEngine
from quiver.quic.engine import Event, StreamDataReceived, StreamResetReceived


def data(content: bytes, stream_id: int, *, ended: bool = False) -> StreamDataReceived:
    return StreamDataReceived(stream_id, content, ended)


def happened(*events: Event, by_aioquic: bool = True) -> list[Event]:
    """Our events come from the fast path, and all others from aioquic."""
    engine = AioquicEngine(Configuration())
    for event in events:
        engine.connection._events.append(aioquics(event) if by_aioquic else event)  # type: ignore
    seen = list(engine.events())
    assert list(engine.events()) == []
    return seen


def aioquics(event: Event) -> Any:
    match event:
        case StreamDataReceived(stream_id=stream_id, data=content, ended=ended):
            return theirs.StreamDataReceived(content, ended, stream_id)
        case StreamResetReceived(stream_id=stream_id, code=code):
            return theirs.StreamReset(code, stream_id)


def test_one_event_stays_itself() -> None:
    event = data(b"a", 0)
    assert happened(event, by_aioquic=False)[0] is event
    assert happened(event) == [event]


def test_interleaved_streams_are_joined_each() -> None:
    events = [data(b"a", 0), data(b"1", 4), data(b"b", 0), data(b"2", 4, ended=True), data(b"c", 0)]
    assert happened(*events) == [data(b"abc", 0), data(b"12", 4, ended=True)]


def test_other_events_stay_where_they_are() -> None:
    reset = StreamResetReceived(0, 1)
    control = data(b"settings", 3)
    events: list[Event] = [
        data(b"a", 0),
        data(b"b", 0),
        reset,
        data(b"1", 4),
        control,
        data(b"2", 4),
    ]
    assert happened(*events) == [data(b"ab", 0), reset, data(b"1", 4), control, data(b"2", 4)]


pieces = st.builds(data, st.binary(max_size=3), st.sampled_from([0, 4, 8, 3, 7]))


@given(st.lists(pieces | st.builds(StreamResetReceived, st.sampled_from([0, 4]), st.just(1))))
def test_nothing_is_lost_or_put_out_of_order(events: list[Event]) -> None:
    assert by_stream(happened(*events)) == by_stream(events)
    mixed: list[Any] = [
        event if number % 2 and isinstance(event, StreamDataReceived) else aioquics(event)
        for number, event in enumerate(events)
    ]
    assert by_stream(happened(*mixed, by_aioquic=False)) == by_stream(events)


def by_stream(events: list[Event]) -> dict[int, list[bytes | None]]:
    """Of each stream its bytes one by one, and None for a reset."""
    seen: dict[int, list[bytes | None]] = {}
    for event in events:
        assert isinstance(event, StreamDataReceived | StreamResetReceived)
        stream = seen.setdefault(event.stream_id, [])
        if isinstance(event, StreamDataReceived):
            stream += [bytes([byte]) for byte in event.data]
        else:
            stream.append(None)
    return seen
