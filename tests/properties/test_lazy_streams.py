"""A stream whose state is made as it is needed says what aioquic's own says, whatever happens."""

from __future__ import annotations

from typing import Any

from aioquic.quic.packet import QuicStreamFrame
from aioquic.quic.packet_builder import QuicDeliveryState
from aioquic.quic.stream import QuicStream
from hypothesis import given
from hypothesis import strategies as st

from quiver.quic.aioquic.lazy_stream import LazyStream

_DELIVERIES = st.sampled_from([QuicDeliveryState.ACKED, QuicDeliveryState.LOST])
_OFFSETS = st.integers(0, 40)
_DATA = st.binary(max_size=20)

_STEPS = st.one_of(
    st.tuples(st.just("write"), _DATA, st.booleans()),
    st.tuples(st.just("get_frame"), st.integers(-1, 30), st.none() | _OFFSETS),
    st.tuples(st.just("delivered"), _DELIVERIES),
    st.tuples(st.just("reset"), st.integers(0, 9)),
    st.tuples(st.just("reset_delivered"), _DELIVERIES),
    st.tuples(st.just("receive"), _OFFSETS, _DATA, st.booleans()),
    st.tuples(st.just("peer_reset"), _OFFSETS),
    st.tuples(st.just("stop"), st.integers(0, 9)),
)


class _Story:
    """What happens to one stream, and what it says."""

    def __init__(self, stream: QuicStream) -> None:
        self.stream = stream
        self._sent: list[tuple[int, int, bool]] = []

    def take(self, step: tuple[Any, ...]) -> object:
        try:
            said = getattr(self, step[0])(*step[1:])
        except Exception as error:  # noqa: BLE001 - whatever aioquic raises, the other is to raise
            said = type(error), str(error)
        return said, self.state()

    def state(self) -> object:
        stream = self.stream
        sender, receiver = stream.sender, stream.receiver
        return (
            stream.is_finished,
            stream.is_blocked,
            (sender.buffer_is_empty, sender.highest_offset, sender.is_finished),
            (sender.reset_pending, sender.next_offset, bytes(sender._buffer)),
            (receiver.highest_offset, receiver.is_finished, receiver.stop_pending),
            (receiver.starting_offset(), bytes(receiver._buffer)),
        )

    def write(self, data: bytes, ended: bool) -> None:
        self.stream.sender.write(data, ended)

    def get_frame(self, size: int, most: int | None) -> object:
        frame = self.stream.sender.get_frame(size, most)
        if frame is None:
            return None
        self._sent.append((frame.offset, frame.offset + len(frame.data), frame.fin))
        return frame.data, frame.fin, frame.offset

    def delivered(self, how: QuicDeliveryState) -> None:
        if self._sent:
            self.stream.sender.on_data_delivery(how, *self._sent.pop(0))

    def reset(self, code: int) -> None:
        self.stream.sender.reset(code)

    def reset_delivered(self, how: QuicDeliveryState) -> None:
        self.stream.sender.on_reset_delivery(how)

    def receive(self, offset: int, data: bytes, fin: bool) -> object:
        return self.stream.receiver.handle_frame(QuicStreamFrame(data=data, fin=fin, offset=offset))

    def peer_reset(self, size: int) -> object:
        return self.stream.receiver.handle_reset(final_size=size)

    def stop(self, code: int) -> None:
        self.stream.receiver.stop(code)


@given(st.lists(_STEPS, max_size=30))
def test_it_says_what_aioquics_own_says(steps: list[tuple[Any, ...]]) -> None:
    ours, theirs = _Story(LazyStream(4, 100, 50)), _Story(QuicStream(4, 100, 50))
    assert ours.state() == theirs.state()
    for step in steps:
        assert ours.take(step) == theirs.take(step)


def test_it_has_all_that_aioquics_own_has() -> None:
    ours, theirs = LazyStream(4, 100, 50), QuicStream(4, 100, 50)
    for name, value in vars(theirs).items():
        if name not in ("sender", "receiver"):
            assert getattr(ours, name) == value
    for half in ("sender", "receiver"):
        for name, value in vars(getattr(theirs, half)).items():
            made = getattr(getattr(ours, half), name)
            assert type(made) is type(value)
            assert list(made) == [] if hasattr(made, "__iter__") else made == value
            assert getattr(getattr(ours, half), name) is made, "it is made once"


def test_what_no_stream_has_is_missed() -> None:
    assert not hasattr(LazyStream(0, 1, 1).sender, "_no_such_thing")
