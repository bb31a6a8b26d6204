"""What a server says of itself as a value: read as it is meant, or refused by name."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic.packet import pull_quic_transport_parameters
from hypothesis import given
from hypothesis import strategies as st

from quiver.quic.transport_parameters import (
    PreferredAddress,
    TransportParameterError,
    TransportParameters,
    completed,
    read_transport_parameters,
)
from quiver.quic.varint import LARGEST_VARINT, encode_varint
from tests.support.engines.parameters import (
    Change,
    Pairs,
    joined,
    preferred,
    says,
    split,
)

AGREED: Pairs = [(0x00, b"original"), (0x0F, b"source")]
V4, V6 = bytes([192, 0, 2, 7]), bytes.fromhex("20010db8000000000000000000000007")
PORT = (4434).to_bytes(2)


def read(change: Change = lambda pairs: pairs) -> TransportParameters:
    return read_transport_parameters(joined(change(AGREED)))


def test_what_is_left_out_is_as_the_rfc_has_it() -> None:
    assert read() == TransportParameters(
        original_destination_connection_id=b"original",
        initial_source_connection_id=b"source",
        max_idle_timeout=None,
        max_udp_payload_size=65_527,
        ack_delay_exponent=3,
        max_ack_delay=0.025,
        active_connection_id_limit=2,
        disable_active_migration=False,
        max_datagram_frame_size=0,
        preferred_address=None,
    )


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ({"max_idle_timeout": 0}, None),
        ({"max_idle_timeout": 1}, 0.001),
        ({"max_idle_timeout": 30_000}, 30.0),
        ({"max_idle_timeout": LARGEST_VARINT}, LARGEST_VARINT / 1000),
        ({"max_udp_payload_size": 1200}, 1200),
        ({"max_udp_payload_size": LARGEST_VARINT}, LARGEST_VARINT),
        ({"initial_max_data": 0}, 0),
        ({"initial_max_data": LARGEST_VARINT}, LARGEST_VARINT),
        ({"initial_max_streams_bidi": 1 << 60}, 1 << 60),
        ({"initial_max_streams_uni": 1 << 60}, 1 << 60),
        ({"ack_delay_exponent": 0}, 0),
        ({"ack_delay_exponent": 20}, 20),
        ({"max_ack_delay": 0}, 0.0),
        ({"max_ack_delay": (1 << 14) - 1}, 16.383),
        ({"active_connection_id_limit": LARGEST_VARINT}, LARGEST_VARINT),
        ({"disable_active_migration": b""}, True),
        ({"max_datagram_frame_size": 1}, 1),
        ({"stateless_reset_token": b"t" * 16}, b"t" * 16),
        ({"retry_source_connection_id": b""}, b""),
        ({"initial_max_data": b"\x80\x00\x00\x07"}, 7),  # longer than it need be
    ],
    ids=str,
)
def test_a_value_is_read_as_it_is_meant(said: dict[str, Any], means: Any) -> None:
    (name,) = said
    assert getattr(read(says(**said)), name) == means


@pytest.mark.parametrize(
    ("value", "ipv4", "ipv6"),
    [
        (preferred(V4 + PORT, V6 + PORT), ("192.0.2.7", 4434), ("2001:db8::7", 4434)),
        (preferred(V4 + PORT), ("192.0.2.7", 4434), None),
        (preferred(ipv6=V6 + PORT), None, ("2001:db8::7", 4434)),
        (preferred(V4 + bytes(2), V6 + bytes(2)), None, None),
        (preferred(bytes(4) + PORT), None, None),
    ],
)
def test_a_preferred_address(value: bytes, ipv4: Any, ipv6: Any) -> None:
    found = read(says(preferred_address=value)).preferred_address
    assert found == PreferredAddress(ipv4, ipv6, b"preferred", b"t" * 16)


def test_ours_tell_once_how_much_we_take() -> None:
    once = completed(joined(AGREED))
    assert split(once) == [*AGREED, (0x03, encode_varint(4096))]
    assert completed(once) == once


def test_others_are_skipped() -> None:
    assert read(says(unknown=b"?" * 300, reserved=b"")) == read()


@given(st.binary(max_size=200) | st.binary(max_size=60).map(lambda end: joined(AGREED) + end))
def test_whatever_comes_is_read_or_refused_by_name(octets: bytes) -> None:
    try:
        found = read_transport_parameters(octets)
    except TransportParameterError as error:
        assert str(error)
    else:
        assert found.max_udp_payload_size >= 1200
        assert found.active_connection_id_limit >= 2


numbers = st.dictionaries(
    st.sampled_from([0x01, *range(0x03, 0x0C), 0x0E, 0x20]),
    st.integers(0, LARGEST_VARINT) | st.integers(0, 1 << 14),
)


@given(numbers)
def test_it_is_read_as_aioquic_reads_it(said: dict[int, int]) -> None:
    octets = joined(AGREED + [(number, encode_varint(value)) for number, value in said.items()])
    with contextlib.suppress(TransportParameterError):
        ours, theirs = read_transport_parameters(octets), Buffer(data=octets)
        for name, value in vars(pull_quic_transport_parameters(theirs)).items():
            if value is not None and name not in ("max_idle_timeout", "max_ack_delay"):
                assert getattr(ours, name) == value
