"""What of aioquic the engine stands on, beyond its documented face: looked for at import.

aioquic's documented interface knows no credit that follows consumption, no close before the closing
period is over, no room for streams. So a few names beyond it are NEEDED: without one of them
importing this package fails, with an ImportError that names it. The fast paths (`fast_send`,
`fast_receive`, the pacer, the probes of the path) stand on many more, FAST_PATHS, and on what
aioquic does between them. They are taken with releases that the differential tests have PROVED,
and only if all the names are there and the code is the release's; with any other the engine goes
aioquic's own ways: slower, and right as well. MIGRATION is what a move to another address takes.

`quiver/required_names.py` tells what a table says, and looks.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from types import FunctionType
from typing import Any, Final

import aioquic

from quiver import required_names
from quiver.required_names import Names

__all__ = [
    "FAST_PATHS",
    "MIGRATION",
    "NEEDED",
    "PROVED",
    "ReleaseNotProved",
    "can_migrate",
    "demand",
    "fast_paths",
    "fingerprint",
    "missing",
    "why_not_fast",
]

PROVED: Final[Mapping[str, str]] = {
    "1.7.0": "20d92ea3cbc7f46f30fe73681abc87b1",
    "1.7.1": "2ff76e28d83acf128dfc2d69009872aa",
    "1.7.2": "c5229759094c729e5c7a110ce680ead0",
}
"""The releases that the fast paths are proved with, by tests/quiver/quic, and the `fingerprint` of
each. A patched one is another: what it changes may well have the same name."""

_CODE: Final = (
    "quic.connection",
    "quic.crypto",
    "quic.packet",
    "quic.packet_builder",
    "quic.rangeset",
    "quic.recovery",
    "quic.stream",
    "tls",
)
"""The modules whose work the fast paths do, or hand over in the middle."""

NEEDED: Final[Mapping[str, Names]] = {
    "aioquic.buffer": {"Buffer": type, "size_uint_var": object},
    "aioquic.quic.configuration": {"QuicConfiguration": type},
    "aioquic.quic.connection": {
        "QuicConnection": type,
        "QuicConnection._get_or_create_stream_for_send": ("self", "stream_id"),
        "QuicConnection._handle_ack_frame": ("self", "context", "frame_type", "buf"),
        "QuicConnection._handle_crypto_frame": ("self", "context", "frame_type", "buf"),
        "QuicConnection._handle_path_response_frame": ("self", "context", "frame_type", "buf"),
        "QuicConnection._handle_reset_stream_frame": ("self", "context", "frame_type", "buf"),
        "QuicConnection._handle_stream_frame": ("self", "context", "frame_type", "buf"),
        "QuicConnection._initialize": ("self", "peer_cid"),
        "QuicConnection._parse_transport_parameters": ("self", "data", "from_session_ticket"),
        "QuicConnection._receive_version_negotiation_packet": ("self", "header", "now"),
        "QuicConnection._serialize_transport_parameters": ("self",),
        "QuicConnection._write_connection_limits": ("self", "builder", "space"),
        "QuicConnection._write_stream_limits": ("self", "builder", "space", "stream"),
        "QuicConnection.close": FunctionType,
        "QuicConnection.connect": FunctionType,
        "QuicConnection.datagrams_to_send": FunctionType,
        "QuicConnection.get_next_available_stream_id": FunctionType,
        "QuicConnection.get_timer": FunctionType,
        "QuicConnection.handle_timer": FunctionType,
        "QuicConnection.next_event": FunctionType,
        "QuicConnection.receive_datagram": FunctionType,
        "QuicConnection.reset_stream": FunctionType,
        "QuicConnection.send_datagram_frame": FunctionType,
        "QuicConnection.send_ping": FunctionType,
        "QuicConnection.send_stream_data": FunctionType,
        "QuicConnection.stop_stream": FunctionType,
        "QuicConnectionError": type,
        "QuicConnectionState.DRAINING": object,
        "QuicConnectionState.FIRSTFLIGHT": object,
    },
    "aioquic.quic.crypto": {
        "CryptoError": type,
        "apply_key_phase": ("self", "crypto", "trigger"),
        "next_key_phase": ("self",),
    },
    "aioquic.quic.events": {
        "DatagramFrameReceived": type,
        "HandshakeCompleted": type,
        "PingAcknowledged": type,
        "StopSendingReceived": type,
        "StreamDataReceived": type,
        "StreamReset": type,
    },
    "aioquic.quic.logger": {"QuicLogger": type, "QuicLoggerTrace.log_event": FunctionType},
    "aioquic.quic.packet": {
        "QuicFrameType.CRYPTO": int,
        "QuicFrameType.PADDING": int,
        "decode_packet_number": ("truncated", "num_bits", "expected"),
    },
    "aioquic.quic.packet_builder": {"PACKET_NUMBER_SEND_SIZE": int},
    "aioquic.tls": {
        "Alert": type,
        "AlertBadCertificate": type,
        "AlertDecodeError": type,
        "AlertDescription.bad_certificate": int,
        "AlertDescription.certificate_expired": int,
        "AlertDescription.certificate_revoked": int,
        "AlertDescription.unsupported_certificate": int,
        "AlertIllegalParameter": type,
        "CipherSuite.CHACHA20_POLY1305_SHA256": object,
        "Context._check_certificate_verify_signature": ("self", "verify"),
        "Context._client_handle_certificate_verify": ("self", "input_buf"),
        "Context._set_peer_certificate": ("self", "certificate"),
        "Context.handle_message": ("self", "input_data", "output_buf"),
        "Epoch.ONE_RTT": object,
    },
    "a CryptoPair": {
        "aead_tag_size": int,
        "recv.aead": object,
        "recv.cipher_suite": object,
        "recv.decrypt_packet": object,
        "recv.hp": object,
        "recv.key_phase": int,
        "recv.teardown": object,
        "send.encrypt_packet": object,
        "send.key_phase": int,
    },
    "a QuicConnection": {
        "_close_at": object,
        "_close_event": object,
        "_crypto_streams": dict,
        "_cryptos": dict,
        "_datagrams_pending": object,
        "_handshake_confirmed": bool,
        "_local_max_data.used": int,
        "_local_max_data.value": int,
        "_local_max_data.sent": int,
        "_loss._rtt_smoothed": float,
        "_loss.get_probe_timeout": object,
        "_peer_cid.cid": bytes,
        "_peer_cid.stateless_reset_token": bytes,
        "_probe_pending": bool,
        "_remote_ack_delay_exponent": int,
        "_remote_max_data": int,
        "_remote_max_data_used": int,
        "_remote_max_idle_timeout": object,
        "_remote_max_stream_data_bidi_remote": int,
        "_remote_max_streams_bidi": int,
        "_retry_count": int,
        "_spaces": dict,
        "_state": object,
        "_streams": dict,
        "_version": object,
        "configuration.max_datagram_size": int,
        "original_destination_connection_id": bytes,
    },
    "a QuicPacketSpace": {"largest_acked_packet": int, "sent_packets": dict},
    "a QuicStream": {
        "is_blocked": bool,
        "max_stream_data_local": int,
        "max_stream_data_local_sent": int,
        "max_stream_data_remote": int,
        "receiver._buffer": bytearray,
        "receiver._buffer_start": int,
        "receiver._ranges": object,
        "receiver.highest_offset": int,
        "receiver.is_finished": bool,
        "sender._acked": object,
        "sender._buffer_start": int,
        "sender._buffer_stop": int,
        "sender._pending": object,
        "sender.highest_offset": int,
        "stream_id": int,
    },
    "a tls.Context": {
        "__dict__": dict,  # else its class cannot be replaced
        "_peer_certificate": object,
        "_signature_algorithms": list,
        "_verify_mode": object,
        "alpn_negotiated": object,
        "key_schedule": object,
    },
    "a tls.KeySchedule": {"cipher_suite.name": str},
}
"""By tests/quiver/quic/test_required.py no private name of aioquic is used in this package that
is not here or in FAST_PATHS. The peer's limits are here since aioquic sets them by names that it
puts together: one that is missing may be read into nowhere, so that nothing is ever sent."""

_PAYLOAD: Final = ("self", "context", "plain", "crypto_frame_required")

FAST_PATHS: Final[Mapping[str, Names]] = {
    "aioquic._buffer": {"Buffer": type},
    "aioquic._crypto": {"CryptoError": type},
    "aioquic.quic.connection": {
        "Limit": type,
        "QuicConnection._confirm_handshake": ("self",),
        "QuicConnection._flush_builder": ("self", "builder", "network_path", "peer_cid", "now"),
        "QuicConnection._handle_stop_sending_frame": ("self", "context", "frame_type", "buf"),
        "QuicConnection._idle_timeout": ("self",),
        "QuicConnection._payload_received": _PAYLOAD,
        "QuicConnection._write_ack_frame": ("self", "builder", "space", "now"),
        "QuicConnection._write_ping_frame": ("self", "builder", "uids", "comment"),
        "QuicConnectionState.CONNECTED": object,
        "QuicReceiveContext": type,
    },
    "aioquic.quic.packet": {
        "NON_ACK_ELICITING_FRAME_TYPES": object,
        "PACKET_FIXED_BIT": int,
        "QuicErrorCode.PROTOCOL_VIOLATION": int,
        "QuicFrameType.PING": int,
        "QuicPacketType.ONE_RTT": object,
    },
    "aioquic.quic.packet_builder": {
        "QuicDeliveryState.ACKED": object,
        "QuicPacketBuilder.remaining_buffer_space": property,
        "QuicPacketBuilder.start_frame": FunctionType,
        "QuicPacketBuilder.start_packet": FunctionType,
        "QuicPacketBuilderStop": type,
        "QuicSentPacket": type,
    },
    "aioquic.quic.recovery": {
        "MAX_ACK_RANGES": int,
        "QuicPacketPacer.next_send_time": FunctionType,
        "QuicPacketPacer.update_after_send": FunctionType,
        "QuicPacketPacer.update_rate": ("self", "congestion_window", "smoothed_rtt"),
    },
    "aioquic.quic.stream": {"QuicStream": type},
    "a QuicConnection": {
        "_ack_delay": float,
        "_ack_eliciting_sent_since_receipt": bool,
        "_close_pending": bool,
        "_crypto_buffers": dict,
        "_events": object,
        "_host_cids": list,
        "_local_max_stream_data_bidi_local": int,
        "_local_max_streams_bidi.sent": int,
        "_local_max_streams_uni.sent": int,
        "_local_next_stream_id_bidi": int,
        "_logger": object,
        "_loss._pacer.bucket_max": float,
        "_loss._pacer._max_datagram_size": int,
        "_loss._pacer.packet_time": object,
        "_loss._pto_count": int,
        "_loss.bytes_in_flight": int,
        "_loss.congestion_window": int,
        "_max_datagram_size": int,
        "_network_paths": list,
        "_pacing_at": object,
        "_packet_number": int,
        "_ping_pending": list,
        "_quic_logger": object,
        "_retire_connection_ids": list,
        "_spin_bit": bool,
        "_spin_highest_pn": int,
        "_streams_blocked_pending": bool,
        "_streams_queue": list,
        "host_cid": bytes,
    },
    "a QuicNetworkPath": {"is_validated": bool, "remote_challenges": object},
    "a QuicPacketBuilder": {
        "_packet": object,
        "packet_number": int,
    },
    "a QuicPacketSpace": {
        "ack_at": object,
        "ack_queue": object,
        "expected_packet_number": int,
        "largest_received_packet": int,
        "largest_received_time": object,
        "received_packets": object,
    },
    "a QuicStream": {
        "is_finished": bool,
        "receiver._final_size": object,
        "receiver.stop_pending": bool,
        "sender._buffer": bytearray,
        "sender._buffer_fin": object,
        "sender._reset_error_code": object,
        "sender.buffer_is_empty": bool,
        "sender.is_finished": bool,
        "sender.reset_pending": bool,
    },
}


MIGRATION: Final[Mapping[str, Names]] = {
    "aioquic.quic.connection": {
        "QuicConnection._flush_builder": ("self", "builder", "network_path", "peer_cid", "now"),
        "QuicConnection.change_connection_id": FunctionType,
    },
    "aioquic.quic.packet": {
        "QuicFrameType.PATH_CHALLENGE": int,
        "QuicFrameType.PING": int,
        "QuicPacketType.ONE_RTT": object,
    },
    "aioquic.quic.packet_builder": {
        "QuicPacketBuilder.remaining_buffer_space": property,
        "QuicPacketBuilder.start_frame": FunctionType,
        "QuicPacketBuilder.start_packet": FunctionType,
    },
    "aioquic.quic.recovery": {
        "QuicPacketRecovery": type,
        "QuicPacketRecovery._on_packets_lost": FunctionType,
    },
    "a QuicConnection": {
        "_cryptos": dict,
        "_loss._cc.bytes_in_flight": int,
        "_loss._pacer": object,
        "_loss._pto_count": int,
        "_loss._rtt_initialized": bool,
        "_loss._send_probe": object,
        "_loss._time_of_last_sent_ack_eliciting_packet": float,
        "_loss.spaces": list,
        "_max_datagram_size": int,
        "_network_paths": list,
        "_packet_number": int,
        "_peer_cid_available": list,
        "_quic_logger": object,
        "_spin_bit": bool,
        "configuration.congestion_control_algorithm": str,
        "configuration.initial_rtt": float,
        "host_cid": bytes,
    },
    "a QuicPacketBuilder": {"_packet": object},
    "a QuicPacketSpace": {"loss_time": object, "sent_packets": dict},
}
"""What it takes to migrate. Without it, a connection whose address has changed is dialled anew."""


class ReleaseNotProved(RuntimeWarning):
    """The fast paths are not taken with the release of aioquic that is installed."""


def missing(table: Mapping[str, Names]) -> list[str]:
    """What is not there, or is not what it should be."""
    return required_names.missing(table, _NEW)


def demand() -> None:
    """Raise ImportError when something of NEEDED is missing."""
    lacks = missing(NEEDED)
    if lacks:
        raise ImportError(
            f"Quiver cannot do with aioquic {version()}, which has not: {', '.join(lacks)}. "
            f"Install a release that it is proved with: pip install 'aioquic=={list(PROVED)[-1]}'"
        )


def version() -> str:
    """Of aioquic, as it is imported."""
    return str(getattr(aioquic, "__version__", "of an unknown version"))


@cache
def why_not_fast() -> str | None:
    """Why the fast paths are not taken, None when they are."""
    if version() not in PROVED:
        return f"it is none of those that they are proved with ({', '.join(PROVED)})"
    lacks = missing(FAST_PATHS)
    if lacks:
        return f"it has not: {', '.join(lacks)}"
    if fingerprint() not in (None, PROVED[version()]):
        return "its code has been changed since it was released"
    return None


@cache
def can_migrate() -> bool:
    """Whether connections can go over to another local address."""
    return not missing(MIGRATION)


def fingerprint() -> str | None:
    """Of aioquic's code, as far as the fast paths stand on it; None when there is no source."""
    digest = hashlib.sha256()
    for name in _CODE:
        module = _of(name)
        try:
            source = module.__loader__.get_source(module.__name__)
        except (ImportError, AttributeError):  # not to be read, or of a loader that has none
            source = None
        if source is None:
            return None
        digest.update(source.encode())
    return digest.hexdigest()[:32]


@cache
def fast_paths() -> bool:
    """Whether they are taken. Warns once if not: an exception out of that would harm a bystander,
    who only happens to be the first to connect, so there is a log record in its place."""
    reason = why_not_fast()
    if reason is None:
        return True
    said = f"aioquic {version()} is used in its own ways, which take more time: {reason}"
    try:
        warnings.warn(said, ReleaseNotProved, stacklevel=2)
    except ReleaseNotProved:
        logging.getLogger("quiver.quic").warning(said)
    return False


def _connection() -> Any:
    return _of("quic.connection").QuicConnection(
        configuration=_of("quic.configuration").QuicConfiguration()
    )


def _packet_builder() -> Any:
    make = _of("quic.packet_builder").QuicPacketBuilder
    return make(host_cid=b"", peer_cid=b"", version=1, is_client=True, max_datagram_size=1200)


def _key_schedule() -> Any:
    tls = _of("tls")
    return tls.KeySchedule(tls.CipherSuite.AES_128_GCM_SHA256)


def _of(module: str) -> Any:
    return importlib.import_module(f"aioquic.{module}")


_NEW: Final[Mapping[str, Callable[[], Any]]] = {
    "a CryptoPair": lambda: _of("quic.crypto").CryptoPair(),
    "a QuicConnection": _connection,
    "a QuicNetworkPath": lambda: _of("quic.connection").QuicNetworkPath(("a host", 0)),
    "a QuicPacketBuilder": _packet_builder,
    "a QuicPacketSpace": lambda: _of("quic.recovery").QuicPacketSpace(),
    "a QuicStream": lambda: _of("quic.stream").QuicStream(0, 1, 1),
    "a tls.Context": lambda: _of("tls").Context(is_client=True),
    "a tls.KeySchedule": _key_schedule,
}
