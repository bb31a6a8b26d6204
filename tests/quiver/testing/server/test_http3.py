"""The SETTINGS that the origin's options choose."""

from __future__ import annotations

import time

import pytest

from quiver.testing import Authority, Origin
from quiver.testing.options import OriginKeywords
from tests.support.clients.bare_streams import StreamClient

CONNECT, DATAGRAM = 0x8, 0x33


@pytest.mark.parametrize(
    ("options", "connect", "datagram", "parameter"),
    [
        ({}, 1, 1, True),
        ({"connect_protocol": False}, None, 1, True),
        ({"datagram_setting": False}, 1, None, True),
        ({"datagrams": False}, 1, None, False),
    ],
)
def test_settings(
    authority: Authority,
    options: OriginKeywords,
    connect: int | None,
    datagram: int | None,
    parameter: bool,
) -> None:
    origin = Origin(authority=authority, **options)
    with origin, StreamClient(origin.port, origin.cafile) as client:
        client.until(lambda: client.settings is not None)
        settings = client.settings or {}
        assert (settings.get(CONNECT), settings.get(DATAGRAM)) == (connect, datagram)
        assert (client.datagram_limit is not None) == parameter


def test_settings_delay(authority: Authority) -> None:
    origin = Origin(authority=authority, settings_delay=1.0)
    with origin:
        started = time.monotonic()
        client = StreamClient(origin.port, origin.cafile)
        assert client.get("/ok").body == b"ok"
        assert client.settings is None
        client.until(lambda: client.settings is not None)
        assert time.monotonic() - started >= 1.0
        client.close()


def test_a_limit_of_field_sections(authority: Authority) -> None:
    origin = Origin(authority=authority, max_field_section_size=4_000)
    with origin, StreamClient(origin.port, origin.cafile) as client:
        client.until(lambda: client.settings is not None)
        assert (client.settings or {}).get(0x6) == 4_000
