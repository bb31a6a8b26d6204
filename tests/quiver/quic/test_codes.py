from __future__ import annotations

import pytest
from aioquic.quic.packet import QuicErrorCode

from quiver.quic.codes import TransportCode, alert_of, transport_name_of


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (0x0C, "APPLICATION_ERROR (0xc)"),
        (0x178, "TLS no_application_protocol (0x178)"),
        (0x1C9, "TLS alert 201 (0x1c9)"),
        (0x12345, "transport code 0x12345"),
    ],
)
def test_a_transport_code_has_its_name(code: int, name: str) -> None:
    assert transport_name_of(code) == name


def test_alerts_are_one_range_of_transport_codes() -> None:
    assert (alert_of(0xFF), alert_of(0x100), alert_of(0x1FF), alert_of(0x200)) == (
        None,
        0,
        255,
        None,
    )


def test_the_codes_are_the_ones_aioquic_has() -> None:
    theirs = {code.name: code.value for code in QuicErrorCode if code.name != "CRYPTO_ERROR"}
    assert {code.name: code.value for code in TransportCode} == theirs
