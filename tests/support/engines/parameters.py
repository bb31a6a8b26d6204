"""Transport parameters that a server says instead of aioquic's: what one is, and how it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from quiver.quic.varint import encode_varint, read_varint

__all__ = ["ID_OF", "Change", "Pairs", "joined", "preferred", "says", "split", "tell", "twice"]

Pairs = list[tuple[int, bytes]]  # ids and values
Change = Callable[[Pairs], Pairs]

ID_OF: Final = {
    "original_destination_connection_id": 0x00,
    "max_idle_timeout": 0x01,
    "stateless_reset_token": 0x02,
    "max_udp_payload_size": 0x03,
    "initial_max_data": 0x04,
    "initial_max_stream_data_bidi_local": 0x05,
    "initial_max_stream_data_bidi_remote": 0x06,
    "initial_max_stream_data_uni": 0x07,
    "initial_max_streams_bidi": 0x08,
    "initial_max_streams_uni": 0x09,
    "ack_delay_exponent": 0x0A,
    "max_ack_delay": 0x0B,
    "disable_active_migration": 0x0C,
    "preferred_address": 0x0D,
    "active_connection_id_limit": 0x0E,
    "initial_source_connection_id": 0x0F,
    "retry_source_connection_id": 0x10,
    "version_information": 0x11,
    "max_datagram_frame_size": 0x20,
    "unknown": 0x2F2F,
    "reserved": 27 + 31 * 5,  # RFC 9000 18.1
}


def split(octets: bytes) -> Pairs:
    """What the extension of TLS holds."""
    pairs, at = [], 0
    while at < len(octets):
        number, at = read_varint(octets, at)
        size, at = read_varint(octets, at)
        pairs.append((number, octets[at : at + size]))
        at += size
    return pairs


def joined(pairs: Pairs) -> bytes:
    """The inverse of `split`."""
    return b"".join(
        encode_varint(number) + encode_varint(len(value)) + value for number, value in pairs
    )


def says(**values: int | bytes | None) -> Change:
    """These values, in place of what it would say; None leaves one out."""

    def change(pairs: Pairs) -> Pairs:
        given = {ID_OF[name]: value for name, value in values.items()}
        kept = [pair for pair in pairs if pair[0] not in given]
        return kept + [
            (number, encode_varint(value) if isinstance(value, int) else value)
            for number, value in given.items()
            if value is not None
        ]

    return change


def twice(name: str) -> Change:
    """One of them once more."""
    return lambda pairs: pairs + [pair for pair in pairs if pair[0] == ID_OF[name]]


def preferred(
    ipv4: bytes = bytes(6), ipv6: bytes = bytes(18), cid: bytes = b"preferred", token: int = 16
) -> bytes:
    """The value of a preferred_address (RFC 9000 18.2); addresses with their ports."""
    return ipv4 + ipv6 + bytes([len(cid)]) + cid + b"t" * token


def tell(quic: Any, change: Change | bytes) -> None:
    """Have a server that has not begun say something else, or whatever octets."""
    own = quic._serialize_transport_parameters
    quic._serialize_transport_parameters = lambda: (
        change if isinstance(change, bytes) else joined(change(split(own())))
    )
