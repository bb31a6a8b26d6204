"""Each private thing of aioquic that the fast paths in and out stand on. A red one says what moved.

The fast paths leave out what aioquic does with state that a settled client does not have. So the
names that aioquic's own ways use are listed: a new one has to be thought about.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection, QuicReceiveContext
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import QuicFrameType, QuicPacketType
from aioquic.quic.packet_builder import (
    PACKET_NUMBER_SEND_SIZE,
    QuicPacketBuilder,
    QuicSentPacket,
)
from aioquic.quic.recovery import QuicPacketRecovery, QuicPacketSpace
from aioquic.quic.stream import QuicStream
from aioquic.tls import Epoch

from quiver.quic.aioquic.fast_connection import FastConnection
from quiver.quic.aioquic.packet_keys import TAG
from quiver.quic.aioquic.packet_rows import Packet
from quiver.quic.aioquic.recovery import Recovery

OVERRIDDEN: dict[str, list[str]] = {
    "_confirm_handshake": ["self"],
    "_get_or_create_stream_for_send": ["self", "stream_id"],
    "_handle_padding_frame": ["self", "context", "frame_type", "buf"],
    "_handle_reset_stream_frame": ["self", "context", "frame_type", "buf"],
    "_handle_stop_sending_frame": ["self", "context", "frame_type", "buf"],
    "_parse_transport_parameters": ["self", "data", "from_session_ticket"],
}

CALLED: dict[str, list[str]] = {
    "datagrams_to_send": ["self", "now"],
    "reset_stream": ["self", "stream_id", "error_code"],
    "stop_stream": ["self", "stream_id", "error_code"],
    "receive_datagram": ["self", "data", "addr", "now"],
    "_handle_stream_frame": ["self", "context", "frame_type", "buf"],
}

USED = {
    "datagrams_to_send": """_close_begin _close_event _close_pending _cryptos _flush_builder
        _handshake_complete _handshake_confirmed _handshake_data_stranded _is_client _logger _loss
        _max_datagram_size _network_paths _pacing_at _packet_number _peer_cid _peer_cid_available
        _peer_token _probe_pending _probe_preferred_address _quic_logger _remote_preferred_address
        _send_probing_frames _spin_bit _state _version _write_application
        _write_connection_close_frame _write_handshake host_cid""",
    "_write_application": """_configuration _crypto_streams _cryptos _datagrams_pending
        _handshake_complete _handshake_done_pending _host_cids _is_client _logger _loss _pacing_at
        _ping_pending _probe_pending _remote_max_data _remote_max_data_used
        _remote_max_streams_bidi _remote_max_streams_uni _retire_connection_ids _spaces
        _stream_limit _streams _streams_blocked_bidi _streams_blocked_pending _streams_blocked_uni
        _streams_queue _write_ack_frame _write_connection_limits _write_crypto_frame
        _write_datagram_frame _write_handshake_done_frame _write_new_connection_id_frame
        _write_path_challenge_frame _write_path_response_frame _write_ping_frame
        _write_reset_stream_frame _write_retire_connection_id_frame _write_stop_sending_frame
        _write_stream_frame _write_stream_limits _write_streams_blocked_frame""",
    "_flush_builder": """_ack_eliciting_sent_since_receipt _close_at _discard_epoch _idle_timeout
        _is_client _loss _packet_number _quic_logger _spaces host_cid""",
    "receive_datagram": """_ack_delay _ack_eliciting_sent_since_receipt _add_network_path
        _close_at _close_pending _configuration _crypto_retransmitted _cryptos _cryptos_initial
        _discard_epoch _find_network_path _host_cids _idle_timeout _initialize _is_client _logger
        _loss _network_paths _payload_received _peer_cid _quic_logger _receive_retry_packet
        _receive_version_negotiation_packet _remote_initial_source_connection_id _set_state
        _spaces _spin_bit _spin_highest_pn _state _use_reserved_peer_cid _version
        change_connection_id close host_cid tls""",
    "_idle_timeout": "_configuration _loss _remote_max_idle_timeout",
    "_handle_stream_frame": """_assert_stream_can_receive _events _get_or_create_stream
        _local_max_data _quic_logger""",
}


def made(kind: type[QuicConnection] = QuicConnection) -> Any:
    quic: Any = kind(configuration=QuicConfiguration())
    quic.connect(("192.0.2.1", 443), 0.0)
    return quic


def test_nothing_else_is_overridden() -> None:
    ours = {name for name in vars(FastConnection) if hasattr(QuicConnection, name)}
    assert {name for name in ours if not name.startswith("__")} == set(OVERRIDDEN)


@pytest.mark.parametrize("name", [*OVERRIDDEN, *CALLED])
def test_what_is_overridden_or_called_has_its_parameters(name: str) -> None:
    expected = {**OVERRIDDEN, **CALLED}[name]
    for owner in (QuicConnection, FastConnection):
        assert list(inspect.signature(getattr(owner, name)).parameters) == expected


@pytest.mark.parametrize("name", USED)
def test_aioquics_own_way_uses_nothing_new(name: str) -> None:
    source = inspect.getsource(getattr(QuicConnection, name))
    assert set(re.findall(r"self\.(\w+)", source)) == set(USED[name].split())


LOSS = {
    "__init__": """_cc _logger _pacer _pto_count _quic_logger _rtt_first_sample_time _rtt_initial
        _rtt_initialized _rtt_latest _rtt_min _rtt_smoothed _rtt_variance _send_probe
        _time_of_last_sent_ack_eliciting_packet handshake_confirmed max_ack_delay
        peer_completed_address_validation spaces""",
    "_detect_loss": """_in_persistent_congestion _on_packets_lost _rtt_initial _rtt_initialized
        _rtt_latest _rtt_smoothed""",
    "on_ack_received": """_cc _detect_loss _log_metrics_updated _pacer _pto_count _quic_logger
        _rtt_first_sample_time _rtt_initialized _rtt_latest _rtt_min _rtt_smoothed _rtt_variance
        max_ack_delay peer_completed_address_validation""",
    "get_loss_detection_time": """_get_loss_space _pto_count
        _time_of_last_sent_ack_eliciting_packet get_probe_timeout handshake_confirmed
        peer_completed_address_validation spaces""",
    "on_packet_sent": """_cc _log_metrics_updated _quic_logger
        _time_of_last_sent_ack_eliciting_packet handshake_confirmed""",
    "get_probe_timeout": """_rtt_initial _rtt_initialized _rtt_smoothed _rtt_variance
        max_ack_delay""",
}


@pytest.mark.parametrize("name", LOSS)
def test_aioquics_own_loss_detection_uses_nothing_new(name: str) -> None:
    source = inspect.getsource(getattr(QuicPacketRecovery, name))
    assert set(re.findall(r"self\.(\w+)", source)) == set(LOSS[name].split())


def test_losses_are_looked_for_when_an_ack_has_come_and_when_it_is_time() -> None:
    for each in (QuicPacketRecovery.on_ack_received, QuicPacketRecovery.on_loss_detection_timeout):
        assert "self._detect_loss(now=now, space=" in inspect.getsource(each)
    assert type(made(FastConnection)._loss) is Recovery


def test_our_loss_detection_is_made_as_aioquics() -> None:
    """But for congestion control and pacing."""
    theirs, ours = vars(made()._loss), vars(made(FastConnection)._loss)
    added = {"reordering", "_until_probe", "_missed", "_shortest", "_renewed"}
    assert set(ours) - set(theirs) == added
    for name in ("_rtt_initial", "max_ack_delay", "peer_completed_address_validation"):
        assert ours[name] == theirs[name]
    assert ours["_send_probe"].__name__ == theirs["_send_probe"].__name__


def test_frames_are_handled_by_what_is_overridden() -> None:
    quic = made(FastConnection)
    found = quic._QuicConnection__frame_handlers
    assert found[0x04][0].__func__ is FastConnection._handle_reset_stream_frame
    assert found[0x05][0].__func__ is FastConnection._handle_stop_sending_frame
    for frame_type in range(0x08, 0x10):
        assert found[frame_type][0] == quic.fast_receive.stream_frame


def test_a_lost_frame_and_a_found_one_are_told_to_its_handler() -> None:
    fields = QuicSentPacket.__dataclass_fields__
    assert {"delivery_handlers", "in_flight", "is_ack_eliciting", "sent_bytes"} <= set(fields)


def test_a_packet_has_what_is_asked_of_one_that_was_sent() -> None:
    packet = Packet(3, 1_200, 1.0)
    theirs = QuicSentPacket(Epoch.ONE_RTT, False, False, False, 3, QuicPacketType.ONE_RTT, 1.0)
    for name in set(vars(theirs)) - {"quic_logger_frames"}:
        assert getattr(packet, name) == getattr(theirs, name)
    packet.start_frame(QuicFrameType.PING)
    assert packet.is_ack_eliciting and packet.in_flight


def test_a_packet_has_what_is_asked_of_a_builder() -> None:
    for name in ("start_frame", "packet_number", "remaining_buffer_space"):
        assert hasattr(QuicPacketBuilder, name)
    packet = Packet(3, 1_200 - 6 - TAG, 1.0)
    assert (packet.packet_number, packet.remaining_buffer_space) == (3, 1_200 - 6 - TAG)
    theirs = inspect.signature(QuicPacketBuilder.start_frame).parameters
    assert list(theirs) == list(inspect.signature(Packet.start_frame).parameters)


def test_what_a_builder_is_asked_for_when_an_ack_or_a_ping_is_written() -> None:
    for name in ("_write_ack_frame", "_write_ping_frame"):
        source = inspect.getsource(getattr(QuicConnection, name))
        asked = set(re.findall(r"builder\.(\w+)", source)) - {"quic_logger_frames"}
        assert asked <= {"start_frame", "packet_number", "remaining_buffer_space"}


def test_sizes() -> None:
    assert CryptoPair().aead_tag_size == TAG
    assert PACKET_NUMBER_SEND_SIZE == 2


def test_the_fields_of_what_is_kept() -> None:
    assert {
        "ack_at",
        "ack_queue",
        "expected_packet_number",
        "largest_received_packet",
        "largest_received_time",
        "received_packets",
    } <= set(vars(QuicPacketSpace()))
    stream = QuicStream(0, 5, 7)
    assert (stream.max_stream_data_local, stream.max_stream_data_remote) == (5, 7)
    assert {"_buffer", "_buffer_start", "_final_size", "highest_offset", "is_finished"} <= set(
        vars(stream.receiver)
    )
    assert {
        "_buffer",
        "_buffer_fin",
        "_buffer_start",
        "_buffer_stop",
        "_reset_error_code",
        "buffer_is_empty",
        "highest_offset",
        "is_finished",
        "reset_pending",
    } <= set(vars(stream.sender))
    assert list(inspect.signature(QuicReceiveContext).parameters) == [
        "epoch", "host_cid", "network_path", "quic_logger_frames", "time", "version",
    ]  # fmt: skip
