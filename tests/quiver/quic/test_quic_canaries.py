"""Each private thing of aioquic that its connection with our flow control stands on."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
from aioquic._buffer import Buffer
from aioquic.quic import connection, packet_builder
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import Limit, QuicConnection
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import (
    PACKET_NUMBER_SEND_SIZE,
    QuicDeliveryState,
    QuicSentPacket,
)
from aioquic.quic.recovery import QuicPacketPacer
from aioquic.quic.stream import QuicStream
from aioquic.tls import Epoch

from quiver.quic.aioquic.connection import Connection
from quiver.quic.aioquic.fast_connection import FastConnection
from quiver.quic.aioquic.packet_keys import PacketKeys
from quiver.quic.aioquic.recovery import Pacer

OVERRIDDEN = {
    "_write_stream_limits": ["self", "builder", "space", "stream"],
    "_write_connection_limits": ["self", "builder", "space"],
}


REPORTED = {
    "_handle_path_response_frame": ["self", "context", "frame_type", "buf"],
    "_parse_transport_parameters": ["self", "data", "from_session_ticket"],
    "_serialize_transport_parameters": ["self"],
}
"""What the peer says, of which we take note beside aioquic; and what it is told beside."""

GUARDED = {
    "_get_or_create_stream_for_send": ["self", "stream_id"],
    "_handle_ack_frame": ["self", "context", "frame_type", "buf"],
    "_handle_crypto_frame": ["self", "context", "frame_type", "buf"],
    "_handle_reset_stream_frame": ["self", "context", "frame_type", "buf"],
    "_handle_stream_frame": ["self", "context", "frame_type", "buf"],
    "_receive_version_negotiation_packet": ["self", "header", "now"],
}
"""What is looked at before aioquic has it, or after."""


def made() -> QuicConnection:
    quic = QuicConnection(configuration=QuicConfiguration())
    quic.connect(("192.0.2.1", 443), 0.0)
    return quic


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_an_overridden_method_has_its_parameters(name: str) -> None:
    for owner in (QuicConnection, Connection):
        assert list(inspect.signature(getattr(owner, name)).parameters) == OVERRIDDEN[name]


@pytest.mark.one_in(9)
@pytest.mark.parametrize("name", [*REPORTED, *GUARDED])
def test_what_is_heard_besides_has_its_parameters(name: str) -> None:
    for owner in (QuicConnection, Connection):
        wanted = {**REPORTED, **GUARDED}[name]
        assert list(inspect.signature(getattr(owner, name)).parameters) == wanted
    assert f"self.{name}" in inspect.getsource(QuicConnection)


def test_a_pair_of_keys_is_asked_for_no_more_than_ours_has() -> None:
    """`PacketKeys` stands in the place of a CryptoPair."""
    asked = set()
    for module in (connection, packet_builder):
        found = re.findall(r"\b_?(?:packet_)?crypto\.(\w+)", inspect.getsource(module))
        found += re.findall(r"_cryptos\[[\w.]+\]\.(\w+)", inspect.getsource(module))
        asked |= set(found)
    assert asked <= set(dir(PacketKeys(CryptoPair()))), asked
    assert {"recv", "send", "key_phase", "encrypt_packet"} <= asked


def test_a_handshake_begins_in_one_place() -> None:
    for owner in (QuicConnection, Connection):
        assert list(inspect.signature(owner._initialize).parameters) == ["self", "peer_cid"]


def test_transport_parameters_are_read_in_one_place() -> None:
    source = inspect.getsource(QuicConnection)
    assert source.count("pull_quic_transport_parameters(") == 1
    # What is corrected, and what reads it. The exponent is set to itself.
    theirs = inspect.getsource(QuicConnection._parse_transport_parameters)
    assert "self._remote_ack_delay_exponent = self._remote_ack_delay_exponent\n" in theirs
    assert source.count("self._remote_max_idle_timeout") == 4


def test_nothing_else_is_overridden() -> None:
    ours = {name for name in vars(Connection) if hasattr(QuicConnection, name)}
    theirs = {*OVERRIDDEN, *REPORTED, *GUARDED, "_initialize"}
    assert {name for name in ours if not name.startswith("__")} == theirs


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_it_is_called_for_each_packet_and_each_stream(name: str) -> None:
    source = inspect.getsource(QuicConnection._write_application)
    assert f"self.{name}(" in source
    assert "for stream in self._streams.values():" in source


@pytest.mark.parametrize(
    "name",
    [
        "_streams",
        "_peer_cid",
        "_max_datagram_size",
        "_remote_max_datagram_frame_size",
        "_datagrams_pending",
        "_local_max_data",
    ],
)
def test_quic_has_the_attribute(name: str) -> None:
    assert name in vars(made())


def test_a_stream_has_what_its_limits_are_made_of() -> None:
    stream = QuicStream(0, max_stream_data_local=5)
    assert {"highest_offset", "is_finished", "_buffer_start"} <= set(vars(stream.receiver))
    assert {"_buffer_start", "_buffer_stop", "highest_offset"} <= set(vars(stream.sender))
    assert (stream.max_stream_data_local, stream.max_stream_data_local_sent) == (5, 5)


def test_what_is_not_acknowledged_is_counted_by_the_senders_buffer() -> None:
    quic = made()
    quic.send_stream_data(0, b"x" * 50)
    sender = quic._streams[0].sender
    assert sender._buffer_stop - sender._buffer_start == 50
    assert sender.highest_offset == 0
    sender.get_frame(20)
    assert sender.highest_offset == 20
    assert sender._buffer_stop - sender._buffer_start == 50
    sender.on_data_delivery(QuicDeliveryState.ACKED, 0, 20, False)
    assert sender._buffer_stop - sender._buffer_start == 30


class Builder:
    """Takes the frames that aioquic writes."""

    quic_logger = None

    def __init__(self) -> None:
        self.frames: list[int] = []

    def start_frame(self, frame_type: int, **_: Any) -> Buffer:
        self.frames.append(frame_type)
        return Buffer(capacity=100)


def test_a_stream_that_is_not_seen_to_have_received_keeps_its_limit() -> None:
    quic, builder = made(), Builder()
    stream = QuicStream(0, max_stream_data_local=100)
    stream.receiver.highest_offset = 0
    quic._write_stream_limits(builder, None, stream)  # type: ignore[arg-type]
    assert (stream.max_stream_data_local, builder.frames) == (100, [])
    stream.max_stream_data_local = 150
    quic._write_stream_limits(builder, None, stream)  # type: ignore[arg-type]
    assert (stream.max_stream_data_local_sent, builder.frames) == (150, [0x11])
    stream.receiver.highest_offset = 99
    quic._write_stream_limits(builder, None, stream)  # type: ignore[arg-type]
    assert stream.max_stream_data_local == 300  # why credit is not left to it


def test_a_connection_that_is_not_seen_to_have_received_keeps_its_limit() -> None:
    quic, builder = made(), Builder()
    limit: Limit = quic._local_max_data
    limit.used, first = 0, limit.value
    quic._write_connection_limits(builder, None)  # type: ignore[arg-type]
    assert (limit.value, builder.frames) == (first, [])
    limit.value += 50
    quic._write_connection_limits(builder, None)  # type: ignore[arg-type]
    assert (limit.sent, builder.frames) == (first + 50, [0x10])
    limit.used = limit.value
    quic._write_connection_limits(builder, None)  # type: ignore[arg-type]
    assert limit.value == 2 * (first + 50)


def test_a_datagram_frame_is_queued_as_it_is_given() -> None:
    quic = made()
    quic.send_datagram_frame(b"x" * 60_000)  # also one that will never fit
    assert list(quic._datagrams_pending) == [b"x" * 60_000]


def test_a_packet_number_has_a_fixed_size() -> None:
    assert PACKET_NUMBER_SEND_SIZE == 2


def test_packets_are_spaced_by_a_pacer_with_a_bucket() -> None:
    pacer = made()._loss._pacer
    assert type(pacer) is QuicPacketPacer
    assert {"bucket_max", "packet_time"} <= set(vars(pacer))
    pacer.update_rate(congestion_window=12_000, smoothed_rtt=0.1)
    assert pacer.packet_time is not None
    assert pacer.bucket_max > pacer.packet_time > 0
    assert type(FastConnection(QuicConfiguration())._loss._pacer) is Pacer


def test_the_size_of_a_datagram_is_looked_up_for_each_flush() -> None:
    parameters = list(inspect.signature(QuicConnection.datagrams_to_send).parameters)
    assert parameters == ["self", "now"]
    source = inspect.getsource(QuicConnection.datagrams_to_send)
    assert "max_datagram_size=self._max_datagram_size," in source
    assert list(inspect.signature(QuicConnection._flush_builder).parameters) == [
        "self", "builder", "network_path", "peer_cid", "now",
    ]  # fmt: skip
    quic = made()
    assert {"_handshake_confirmed", "_network_paths", "_spin_bit"} <= set(vars(quic))
    assert {"_pto_count"} <= set(vars(quic._loss))
    assert {"_max_datagram_size"} <= set(vars(quic._loss._pacer))


def test_a_packet_that_is_not_in_flight_is_no_matter_of_congestion() -> None:
    quic = made()
    told: list[QuicDeliveryState] = []
    space = quic._spaces[Epoch.INITIAL]
    packet = QuicSentPacket(Epoch.INITIAL, False, True, False, 7, QuicPacketType.INITIAL, 0.0, 1452)
    packet.delivery_handlers.append((told.append, ()))
    before = vars(quic._loss._cc).copy()
    quic._loss.on_packet_sent(packet=packet, space=space)
    assert space.ack_eliciting_in_flight == 1  # but it is missed
    quic._loss._on_packets_lost(now=1.0, packets=[packet], space=space)
    assert told == [QuicDeliveryState.LOST]
    assert vars(quic._loss._cc) == before


def test_a_limit_that_has_to_be_told_is_told_though_nothing_came() -> None:
    """As when the frame that told it was lost: then aioquic sets what was sent to 0."""
    quic, builder = Connection(QuicConfiguration()), Builder()
    quic.flow_control.open(0, 100)
    stream = QuicStream(0, max_stream_data_local=100)
    quic._write_stream_limits(builder, None, stream)
    assert builder.frames == []
    quic._on_max_stream_data_delivery(QuicDeliveryState.LOST, stream)
    quic._write_stream_limits(builder, None, stream)
    assert (stream.max_stream_data_local_sent, builder.frames) == (100, [0x11])
