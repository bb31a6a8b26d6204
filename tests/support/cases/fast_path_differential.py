"""A connection on a fast path through QUIC beside one that goes aioquic's way: are they alike?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any
from unittest.mock import patch

from aioquic.quic.events import ConnectionTerminated
from aioquic.tls import Epoch

from quiver.config import PoolConfig
from quiver.quic.aioquic.connection import Connection
from quiver.quic.aioquic.engine import AioquicEngine
from quiver.quic.aioquic.fast_receive import FastReceive
from quiver.quic.aioquic.fast_send import FastSend
from quiver.quic.aioquic.packet_rows import short_header
from quiver.quic.aioquic.plain_path import PlainReceive
from quiver.testing import Authority
from tests.support.engines.http3_wire import Server, Tableless, Wire, connected

Answer = Callable[[Server, Any], None]


def silent(server: Server, event: Any) -> None:
    """It answers nothing."""


def engine_of(wire: Wire) -> AioquicEngine:
    engine = wire.h3._engine
    assert isinstance(engine, AioquicEngine)
    return engine


def quic_of(wire: Wire) -> Any:
    return engine_of(wire).connection


def send_of(wire: Wire) -> Any:
    return engine_of(wire).sender


def space_of(wire: Wire) -> Any:
    """The packet number space of 1-RTT packets."""
    return quic_of(wire)._spaces[Epoch.ONE_RTT]


def server_of(wire: Wire) -> Any:
    return wire.server


@contextmanager
def aioquics() -> Iterator[None]:
    """While it lasts nothing is found common, and no stream parked: all goes aioquic's way."""
    with (
        patch.object(FastSend, "_bodies", lambda _: None),
        patch.object(FastReceive, "take_row", PlainReceive.take_row),
        patch.object(FastReceive, "take", PlainReceive.take),
        patch.object(FastReceive, "stream_frame", _theirs),
    ):
        yield


def _theirs(receive: FastReceive, *frame: Any) -> None:
    Connection._handle_stream_frame(receive.connection, *frame)


@cache
def issued(authority: Authority) -> tuple[str, str]:
    """One certificate for all servers."""
    return authority.issue()


def ways(
    authority: Authority, act: Callable[[Wire], None], answer: Answer, **options: Any
) -> tuple[Wire, Wire]:
    """Do the same on a wire of each kind: the fast path, and aioquic's."""
    made, certificate = [], issued(authority)
    for way in (nullcontext(), aioquics()):
        with way:
            server = Server(certificate, answer, h3=Tableless, **options)
            wire = connected(PoolConfig(cafile=authority.cafile), server)
            wire.settle()  # HANDSHAKE_DONE
            # Only the fast path has an ACK that is not due yet go along with what is sent.
            quic_of(wire)._ack_delay = -1e-6  # so each is due
            del wire.sizes[:], wire.events[:]
            act(wire)
            made.append(wire)
    short, long = made
    return short, long


def standing(wire: Wire) -> dict[str, Any]:
    """How the connection stands, without what each has at random."""
    quic = quic_of(wire)
    space: Any = quic._spaces[Epoch.ONE_RTT]
    loss = quic._loss
    return {
        "streams": {n: _stream(each) for n, each in quic._streams.items() if not each.is_finished},
        "next": quic._local_next_stream_id_bidi,
        "packets": (quic._packet_number, sorted(space.sent_packets), space.largest_acked_packet),
        "received": (list(space.ack_queue), space.largest_received_packet, space.ack_at),
        # aioquic has an ACK that is due in this moment keep its pace, as one that is overdue need
        # not: microseconds later.
        "times": _to_fractions(quic._close_at, space.largest_received_time, loss._rtt_smoothed),
        "flow": (quic._remote_max_data_used, quic._local_max_data.used, quic._local_max_data.value),
        "in flight": (loss.bytes_in_flight, space.ack_eliciting_in_flight, loss.congestion_window),
        "spin": (quic._spin_bit, quic._spin_highest_pn),
        "end": _end(quic._close_event),
    }


def _to_fractions(*times: float | None) -> list[float | None]:
    return [each and round(each, 4) for each in times]


def _stream(stream: Any) -> tuple[Any, ...]:
    receiver, sender = stream.receiver, stream.sender
    return (
        receiver._buffer_start,
        receiver.highest_offset,
        receiver._final_size,
        receiver.is_finished,
        sender.is_finished,
        sender.highest_offset,
        sender._buffer_start,
        sender._buffer_fin,
        stream.max_stream_data_local,
        stream.max_stream_data_local_sent,
        stream.max_stream_data_remote,
    )


def _end(event: ConnectionTerminated | None) -> tuple[Any, ...]:
    return () if event is None else (event.error_code, event.frame_type, event.reason_phrase)


def crafted(wire: Wire, payload: bytes, *, bits: int = 0, skipped: int = 0) -> bytes:
    """A packet of the server's with these frames; `bits` are set in its first byte."""
    quic = server_of(wire).quic
    keys, cid = quic._cryptos[Epoch.ONE_RTT], quic._peer_cid.cid
    quic._packet_number += skipped
    number = quic._packet_number
    quic._packet_number += 1
    header = short_header(quic._spin_bit, keys.key_phase, cid, number)
    datagram: bytes = keys.encrypt_packet(bytes([header[0] | bits]) + header[1:], payload, number)
    return datagram
