"""What a server says of itself in the handshake: its transport parameters (RFC 9000 7.4, 18). Pure.

They are read once, from the bytes that TLS carries, into one frozen value; whoever wants to know
what the server takes, allows or waits for asks that value. What a server must not say ends the
handshake with TRANSPORT_PARAMETER_ERROR, and the message names parameter, value and limit.

    read_transport_parameters(octets) --> TransportParameters
                                      --> TransportParameterError
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, Final

import attrs

from quiver.quic.varint import LARGEST_VARINT, encode_varint, read_varint

__all__ = [
    "LARGEST_TAKEN",
    "LEAST_PAYLOAD",
    "SILENT",
    "PreferredAddress",
    "TransportParameterError",
    "TransportParameters",
    "completed",
    "read_transport_parameters",
]

LEAST_PAYLOAD: Final = 1200
"""Bytes of a UDP payload that every endpoint takes (RFC 9000 14)."""

LARGEST_TAKEN: Final = 4096
"""Bytes of a UDP payload that we take: hardly a path is wider, and a buffer is made for each."""

_LONGEST_CID: Final = 20  # bytes (RFC 9000 17.2)
_TOKEN: Final = 16  # bytes of a stateless reset token (RFC 9000 10.3)

SocketAddress = tuple[str, int]


class TransportParameterError(ValueError):
    """A parameter that a server must not send, or one that it must and did not."""


@attrs.frozen
class PreferredAddress:
    """Where a server would rather be spoken to after the handshake (RFC 9000 9.6).

    Attributes:
        ipv4, ipv6: host and port; None for none of that family.
        connection_id: to be used there; its sequence number is 1.
        stateless_reset_token: of that connection id.
    """

    ipv4: SocketAddress | None
    ipv6: SocketAddress | None
    connection_id: bytes
    stateless_reset_token: bytes


@attrs.frozen(kw_only=True)
class TransportParameters:
    """A server's transport parameters; what it left out is as RFC 9000 18.2 has it then.

    Attributes:
        max_idle_timeout: seconds of silence after which it forgets the connection; None for never,
            which it says by 0 or by leaving it out.
        max_udp_payload_size: bytes of the largest UDP payload that it takes, 1200 or more.
        initial_max_data, initial_max_stream_data_bidi_local, initial_max_stream_data_bidi_remote,
            initial_max_stream_data_uni: bytes that may be sent at first, in all and by the kind of
            stream; "local" are those that the server opens.
        initial_max_streams_bidi, initial_max_streams_uni: streams that may be opened at first.
        ack_delay_exponent: of two; what the delays in its ACK frames are multiplied with.
        max_ack_delay: seconds that it puts an acknowledgement off at most.
        disable_active_migration: it does not follow a client that moves of its own accord.
        preferred_address: None for the one that the handshake was done with.
        active_connection_id_limit: how many connection ids of ours it remembers, 2 or more.
        max_datagram_frame_size: bytes of the largest DATAGRAM frame that it takes, with its type
            and length (RFC 9221 3); 0 for none.
        stateless_reset_token: of the connection id that it took in the handshake.
        original_destination_connection_id, initial_source_connection_id,
            retry_source_connection_id: what both sides must agree on (RFC 9000 7.3).
    """

    max_idle_timeout: float | None = None
    max_udp_payload_size: int = 65_527
    initial_max_data: int = 0
    initial_max_stream_data_bidi_local: int = 0
    initial_max_stream_data_bidi_remote: int = 0
    initial_max_stream_data_uni: int = 0
    initial_max_streams_bidi: int = 0
    initial_max_streams_uni: int = 0
    ack_delay_exponent: int = 3
    max_ack_delay: float = 0.025
    disable_active_migration: bool = False
    preferred_address: PreferredAddress | None = None
    active_connection_id_limit: int = 2
    max_datagram_frame_size: int = 0
    stateless_reset_token: bytes | None = None
    original_destination_connection_id: bytes | None = None
    initial_source_connection_id: bytes | None = None
    retry_source_connection_id: bytes | None = None


SILENT: Final = TransportParameters()
"""Those of a server that says nothing."""


def read_transport_parameters(octets: bytes) -> TransportParameters:
    """Read a server's parameters, as the TLS extension holds them (RFC 9000 18).

    Raises:
        TransportParameterError: one has no valid form or value, comes twice, or is missing.
    """
    found: dict[str, Any] = {}
    for number, value in _values(octets).items():
        if number in _PARAMETERS:
            name, read = _PARAMETERS[number]
            found[name] = read(name, value)
    for name in ("original_destination_connection_id", "initial_source_connection_id"):
        if name not in found:
            raise TransportParameterError(f"{name} is missing")
    if "preferred_address" in found and not found["initial_source_connection_id"]:
        raise TransportParameterError("preferred_address of a server with an empty connection id")
    return TransportParameters(**found)


def completed(octets: bytes) -> bytes:
    """A client's parameters, with the size that we take, unless they tell of one.

    Without it a server on a path of jumbo frames would find out by probes that are lost.
    """
    number, size = 0x03, encode_varint(LARGEST_TAKEN)
    if number in _values(octets):
        return octets
    return octets + bytes([number, len(size)]) + size


def _values(octets: bytes) -> dict[int, bytes]:
    """The values by their ids, in order."""
    found: dict[int, bytes] = {}
    at, size = 0, len(octets)
    while at < size:
        number, at = read_varint(octets, at)
        length, begin = read_varint(octets, at)
        at = begin + length
        if at > size:
            raise TransportParameterError("the transport parameters are cut off")
        if number in found:
            name = _PARAMETERS[number][0] if number in _PARAMETERS else f"parameter {number:#x}"
            raise TransportParameterError(f"{name} comes twice")
        found[number] = octets[begin:at]
    return found


# How each is read -----------------------------------------------------------------------------


def _integer(least: int = 0, most: int = LARGEST_VARINT) -> Callable[[str, bytes], int]:
    def read(name: str, value: bytes) -> int:
        number, end = read_varint(value, 0)
        if end != len(value):
            raise TransportParameterError(f"{name}: no integer in {len(value)} bytes")
        if number < least:
            raise TransportParameterError(f"{name}={number} is below {least}")
        if number > most:
            raise TransportParameterError(f"{name}={number} is above {most}")
        return number

    return read


def _seconds(most: int = LARGEST_VARINT) -> Callable[[str, bytes], float]:
    milliseconds = _integer(most=most)
    return lambda name, value: milliseconds(name, value) / 1000


def _idle_timeout(name: str, value: bytes) -> float | None:
    return _seconds()(name, value) or None  # 0 is none (RFC 9000 10.1)


def _flag(name: str, value: bytes) -> bool:
    if value:
        raise TransportParameterError(f"{name} has {len(value)} bytes, and must have none")
    return True


def _connection_id(name: str, value: bytes) -> bytes:
    if len(value) > _LONGEST_CID:
        raise TransportParameterError(f"{name} has {len(value)} bytes, above {_LONGEST_CID}")
    return value


def _token(name: str, value: bytes) -> bytes:
    # One that is shorter would be found at the end of many a datagram, and take it for a reset.
    if len(value) != _TOKEN:
        raise TransportParameterError(f"{name} has {len(value)} bytes, and must have {_TOKEN}")
    return value


def _preferred_address(name: str, value: bytes) -> PreferredAddress:
    """Two addresses with their ports, a connection id with its length, and its token."""
    length = value[24] if len(value) > 24 else 0
    if len(value) != 25 + length + _TOKEN:
        raise TransportParameterError(f"{name}: {len(value)} bytes are none")
    if not 1 <= length <= _LONGEST_CID:
        raise TransportParameterError(f"{name}: a connection id of {length} bytes")
    return PreferredAddress(
        _address(value[:4], value[4:6]),
        _address(value[6:22], value[22:24]),
        value[25 : 25 + length],
        value[25 + length :],
    )


def _address(host: bytes, port: bytes) -> SocketAddress | None:
    """All zeros stand for no address of a family; one without a port is of no use."""
    number = int.from_bytes(port)
    return (str(ipaddress.ip_address(host)), number) if any(host) and number else None


_STREAMS: Final = _integer(most=1 << 60)  # RFC 9000 4.6

_PARAMETERS: Final[dict[int, tuple[str, Callable[[str, bytes], Any]]]] = {
    0x00: ("original_destination_connection_id", _connection_id),
    0x01: ("max_idle_timeout", _idle_timeout),
    0x02: ("stateless_reset_token", _token),
    0x03: ("max_udp_payload_size", _integer(least=LEAST_PAYLOAD)),
    0x04: ("initial_max_data", _integer()),
    0x05: ("initial_max_stream_data_bidi_local", _integer()),
    0x06: ("initial_max_stream_data_bidi_remote", _integer()),
    0x07: ("initial_max_stream_data_uni", _integer()),
    0x08: ("initial_max_streams_bidi", _STREAMS),
    0x09: ("initial_max_streams_uni", _STREAMS),
    0x0A: ("ack_delay_exponent", _integer(most=20)),
    0x0B: ("max_ack_delay", _seconds(most=(1 << 14) - 1)),
    0x0C: ("disable_active_migration", _flag),
    0x0D: ("preferred_address", _preferred_address),
    0x0E: ("active_connection_id_limit", _integer(least=2)),
    0x0F: ("initial_source_connection_id", _connection_id),
    0x10: ("retry_source_connection_id", _connection_id),
    0x20: ("max_datagram_frame_size", _integer()),
}
"""Ids, names and forms (RFC 9000 18.2, RFC 9221 3). Others are skipped (RFC 9000 7.4.2)."""
