"""The server's unidirectional streams: what they are, which must stay, and what is held of them."""

from __future__ import annotations

from typing import Any

import pytest
from aioquic.buffer import encode_uint_var

from quiver.h3.codes import ErrorCode
from quiver.h3.events import GoAwayReceived
from quiver.h3.headers import Qpack
from quiver.h3.peer_streams import PeerStreams
from quiver.h3.protocol_error import ProtocolError
from quiver.h3.settings import ServerSettings
from tests.support.servers.frames import GREASE, frame, goaway, settings

SETTINGS = settings((1, 0))
SETTLED = ServerSettings({1: 0})
CONTROL, ENCODER, DECODER = b"\x00", b"\x02", b"\x03"


class Noted:
    """A trace that notes the types it is told."""

    def __init__(self) -> None:
        self.types: list[tuple[int, str]] = []

    def stream_type(self, stream_id: int, name: str) -> None:
        self.types.append((stream_id, name))


@pytest.fixture
def trace() -> Noted:
    return Noted()


@pytest.fixture
def streams(trace: Any) -> PeerStreams:
    return PeerStreams(Qpack(), trace)


def faulty(streams: PeerStreams, *fed: tuple[int, bytes, bool]) -> ErrorCode:
    """The code of the fault that the last of these is."""
    *before, last = fed
    for each in before:
        streams.receive(*each)
    with pytest.raises(ProtocolError) as fault:
        streams.receive(*last)
    assert fault.value.reason
    return fault.value.code


def test_the_control_stream_is_read(streams: PeerStreams, trace: Noted) -> None:
    assert streams.receive(3, CONTROL + SETTINGS, False) == [SETTLED]
    assert streams.receive(3, goaway(8), False) == [GoAwayReceived(8)]
    assert trace.types == [(3, "control")]


def test_a_type_in_a_long_form_counts(streams: PeerStreams) -> None:
    found = []
    for octet in b"\x80\x00\x00\x00" + SETTINGS + goaway(8):
        found += streams.receive(11, bytes([octet]), False)
    assert found == [SETTLED, GoAwayReceived(8)]


def test_other_streams_say_nothing(streams: PeerStreams, trace: Noted) -> None:
    assert streams.receive(7, ENCODER, False) == []
    assert streams.receive(3, CONTROL + SETTINGS, False) == [SETTLED]
    assert streams.receive(11, encode_uint_var(GREASE) + goaway(8), False) == []
    assert streams.receive(11, CONTROL + goaway(8), False) == []  # amid it, not its type
    assert streams.receive(15, DECODER, False) == []
    assert trace.types == [
        (7, "qpack_encoder"),
        (3, "control"),
        (11, "unknown"),
        (15, "qpack_decoder"),
    ]


@pytest.mark.parametrize("octets", [encode_uint_var(GREASE), b"\x40\x54\x00", b"\x04"])
def test_a_stream_without_meaning_is_no_error(streams: PeerStreams, octets: bytes) -> None:
    """RFC 9114 6.2: what comes of it is dropped."""
    for _ in range(3):
        assert streams.receive(7, octets + bytes(65_536), False) == []
        assert vars(streams)["_others"] == {7: None}
    streams.reset(7)
    assert vars(streams)["_others"] == {}


def test_streams_may_end_before_their_type_is_known(streams: PeerStreams) -> None:
    streams.receive(3, b"", True)
    streams.receive(7, b"\xc0\x00", True)
    streams.receive(11, b"\xc0\x00", False)
    streams.receive(11, b"", True)
    streams.receive(15, b"\xc0", False)
    streams.reset(15)
    streams.reset(19)
    streams.receive(23, encode_uint_var(GREASE), True)
    assert vars(streams)["_others"] == {}


@pytest.mark.parametrize("kind", [CONTROL, ENCODER, DECODER])
def test_each_of_the_critical_streams_comes_once(streams: PeerStreams, kind: bytes) -> None:
    code = faulty(streams, (3, kind, False), (7, kind, False))
    assert code is ErrorCode.H3_STREAM_CREATION_ERROR


@pytest.mark.parametrize("kind", [CONTROL, ENCODER, DECODER])
@pytest.mark.parametrize("later", [True, False])
def test_the_critical_streams_must_not_end(streams: PeerStreams, kind: bytes, later: bool) -> None:
    if later:
        streams.receive(3, kind, False)
    fed = (3, b"" if later else kind, True)
    assert faulty(streams, fed) is ErrorCode.H3_CLOSED_CRITICAL_STREAM


@pytest.mark.parametrize("kind", [CONTROL, ENCODER, DECODER])
def test_the_critical_streams_must_not_be_reset(streams: PeerStreams, kind: bytes) -> None:
    streams.receive(3, kind, False)
    with pytest.raises(ProtocolError) as fault:
        streams.reset(3)
    assert fault.value.code is ErrorCode.H3_CLOSED_CRITICAL_STREAM


def test_a_push_is_an_error(streams: PeerStreams) -> None:
    assert faulty(streams, (3, b"\x01", False)) is ErrorCode.H3_ID_ERROR


def test_what_is_wrong_on_one_of_them_is_told(streams: PeerStreams) -> None:
    code = faulty(streams, (3, CONTROL, False), (3, frame(GREASE), False))
    assert code is ErrorCode.H3_MISSING_SETTINGS
    assert faulty(streams, (7, ENCODER + b"\x3f\xe1\x1f", False)) is (
        ErrorCode.QPACK_ENCODER_STREAM_ERROR
    )
    assert faulty(streams, (11, DECODER + b"\x00", False)) is ErrorCode.QPACK_DECODER_STREAM_ERROR


@pytest.mark.parametrize("octets", [b"\x21", b"\xc0", b""])
def test_streams_of_no_use_are_counted(streams: PeerStreams, octets: bytes) -> None:
    fed = [(4 * number + 3, octets, False) for number in range(1025)]
    assert faulty(streams, *fed) is ErrorCode.H3_EXCESSIVE_LOAD


def test_streams_that_come_and_go_are_no_load(streams: PeerStreams) -> None:
    for number in range(5000):
        streams.receive(4 * number + 3, b"\x21", False)
        streams.reset(4 * number + 3)


def test_of_a_cut_type_no_more_is_held_than_it_has(streams: PeerStreams) -> None:
    for octet in b"\xc0\x00\x00\x00\x00\x00\x00":
        streams.receive(3, bytes([octet]), False)
    assert vars(streams)["_others"] == {3: b"\xc0\x00\x00\x00\x00\x00\x00"}
    assert streams.receive(3, b"\x00" + SETTINGS, False) == [SETTLED]
