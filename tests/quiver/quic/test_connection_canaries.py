"""Private things of aioquic's connection that the engine stands on. A red one says what moved."""

from __future__ import annotations

import inspect

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection, QuicConnectionState
from aioquic.quic.logger import QuicLogger, QuicLoggerTrace
from aioquic.quic.packet import QuicStreamFrame
from aioquic.quic.stream import QuicStreamReceiver
from aioquic.tls import Context


def made() -> QuicConnection:
    return QuicConnection(configuration=QuicConfiguration())


@pytest.mark.parametrize(
    "name",
    [
        "_remote_max_streams_bidi",
        "_local_next_stream_id_bidi",
        "_remote_max_idle_timeout",
        "_remote_max_datagram_frame_size",
        "_close_event",
        "_state",
    ],
)
def test_quic_has_the_attribute(name: str) -> None:
    assert name in vars(made())


def test_the_peers_connection_id_has_its_reset_token() -> None:
    assert vars(made())["_peer_cid"].stateless_reset_token == b""


def test_tls_keeps_the_certificate_of_the_peer() -> None:
    assert vars(Context(is_client=True))["_peer_certificate"] is None


def test_tls_knows_what_was_agreed() -> None:
    context = vars(Context(is_client=True))
    assert context["alpn_negotiated"] is context["key_schedule"] is None
    assert made()._version is None


def test_opened_streams_are_counted_by_the_next_id() -> None:
    quic = made()
    quic.connect(("192.0.2.1", 443), 0.0)
    assert quic._local_next_stream_id_bidi == 0
    quic.send_stream_data(quic.get_next_available_stream_id(), b"x")
    assert quic._local_next_stream_id_bidi == 4


def test_surplus_streams_block_in_silence() -> None:
    quic = made()
    quic.connect(("192.0.2.1", 443), 0.0)
    assert quic._remote_max_streams_bidi == 0
    quic.send_stream_data(0, b"x")  # raises nothing
    assert quic._streams[0].is_blocked


def test_what_lies_beyond_a_hole_is_held() -> None:
    receiver = QuicStreamReceiver(stream_id=0, readable=True)
    assert receiver.handle_frame(QuicStreamFrame(data=b"c", offset=2)) is None
    assert (receiver._buffer_start, len(receiver._buffer), receiver.highest_offset) == (0, 3, 3)
    receiver.handle_frame(QuicStreamFrame(data=b"ab", offset=0))
    assert (receiver._buffer_start, len(receiver._buffer), receiver.highest_offset) == (3, 0, 3)


def test_a_close_is_known_before_it_is_reported() -> None:
    quic = made()
    quic.connect(("192.0.2.1", 443), 0.0)
    while quic.next_event() is not None:
        pass
    quic.close(0x100)
    assert quic._close_event is not None
    assert quic.next_event() is None
    assert quic.datagrams_to_send(0.0)
    states = [quic._state]
    assert quic.datagrams_to_send(0.1) == []
    due = quic.get_timer()
    assert due is not None
    quic.handle_timer(due)
    states.append(quic._state)
    assert states == [QuicConnectionState.CLOSING, QuicConnectionState.TERMINATED]
    assert quic.get_timer() is None


def test_there_is_a_state_for_a_close_by_the_peer() -> None:
    assert "DRAINING" in QuicConnectionState.__members__


def test_what_a_qlog_is_made_of() -> None:
    for name in ("start_trace", "end_trace"):
        assert callable(getattr(QuicLogger, name))
    trace = QuicLoggerTrace(is_client=True, odcid=b"\x12\xff")
    trace.log_event(category="http", event="frame_parsed", data={"length": 1})
    written = trace.to_dict()
    assert written["common_fields"]["ODCID"] == "12ff"
    assert [each["name"] for each in written["events"]] == ["http:frame_parsed"]


def test_the_client_writes_no_crypto_after_its_handshake() -> None:
    """So its buffers may go: what is left to take are tickets, which are answered with nothing."""
    quic = made()
    quic.connect(("127.0.0.1", 1), now=0.0)
    assert len(quic._crypto_buffers) == 3
    after = inspect.getsource(Context._handle_reassembled_message)
    after = after.partition("State.CLIENT_POST_HANDSHAKE")[2].partition("State.SERVER")[0]
    assert "output_buf" not in after
    assert "NEW_SESSION_TICKET" in after
