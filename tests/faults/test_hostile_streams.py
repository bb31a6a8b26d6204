"""Servers that attack who reads piece by piece: streamed responses, and channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

import quiver
from quiver.h3.codes import ErrorCode
from quiver.testing import Authority
from tests.support.memory import MIB, bounded
from tests.support.servers.floods import (
    CHUNK,
    ENDLESS_CONTENT,
    ENDLESS_FRAME,
    ENDLESS_INTERIM,
    endless,
    flood,
    one_long_frame,
)
from tests.support.servers.frames import DATA, RESPONSE, data, frame, headers, response, settings
from tests.support.servers.hostile import Attack, HostileOrigin, RawPeer, greet

TIMEOUT: Final = 10.0
MOST: Final = 24 * MIB
"""Windows of both sides and what the server holds; a flood of a second has up to 40 MiB."""


@pytest.fixture
def hostile(authority: Authority) -> Iterator[HostileOrigin]:
    def greeting(peer: RawPeer) -> None:
        greet(peer, settings((0x33, 1)))  # HTTP datagrams, RFC 9297

    with HostileOrigin(authority, greeting=greeting) as origin:
        yield origin


@pytest.fixture
def client(authority: Authority) -> Iterator[quiver.Client]:
    options = {"cafile": authority.cafile, "max_connections": 1}
    with quiver.Client(pools={"default": options}) as made:
        yield made


def told(origin: HostileOrigin) -> set[int]:
    """The codes with which streams were given up."""
    [seen] = origin.clients
    return {*seen.resets.values(), *seen.stops.values()}


def assert_well(client: quiver.Client, origin: HostileOrigin) -> None:
    assert client.get(origin.url + "/ok", timeout=TIMEOUT).body == b"ok"
    [seen] = origin.clients
    assert seen.closed is None


BEGUN: Final = RESPONSE + data(b"begun")
BREAKS: Final = {
    "trailers with a status": BEGUN + RESPONSE,
    "trailers in upper case": BEGUN + headers([(b"A", b"")]),
    "more content than said": response((b"content-length", b"7")) + data(b"begun") * 2,
}


@pytest.mark.parametrize("octets", BREAKS.values(), ids=BREAKS)
def test_a_stream_that_breaks_tells_its_reader(
    client: quiver.Client, hostile: HostileOrigin, octets: bytes
) -> None:
    hostile.attack = lambda peer, stream_id: peer.write(stream_id, octets)
    with (
        pytest.raises(quiver.ProtocolViolation),
        client.stream("GET", hostile.url + "/attack", timeout=TIMEOUT) as got,
    ):
        got.read()
    hostile.wait(lambda: told(hostile) == {ErrorCode.H3_MESSAGE_ERROR})
    assert_well(client, hostile)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("method", "head"),
    [("HEAD", RESPONSE), ("GET", headers([(b":status", b"204")]))],
    ids=["HEAD", "204"],
)
@pytest.mark.parametrize("ask", ["stream", "request"])
def test_content_where_none_may_be_does_not_go_on_for_ever(
    client: quiver.Client, hostile: HostileOrigin, method: str, head: bytes, ask: str
) -> None:
    """It is left aside (RFC 9110 6.4.1), and neither waited for nor taken without end."""
    hostile.attack = endless(data(b"x" * CHUNK), head)
    with bounded(MOST):
        got = getattr(client, ask)(method, hostile.url + "/attack", timeout=TIMEOUT)
        assert (got.read() if ask == "stream" else got.body) == b""
    hostile.wait(lambda: told(hostile) == {ErrorCode.H3_REQUEST_CANCELLED})
    assert_well(client, hostile)


def test_a_stream_cut_in_a_frame_costs_the_connection(
    client: quiver.Client, hostile: HostileOrigin
) -> None:
    cut = RESPONSE + frame(DATA, b"begun", length=9)
    hostile.attack = lambda peer, stream_id: peer.write(stream_id, cut, ended=True)
    with pytest.raises(quiver.ProtocolViolation, match="H3_FRAME_ERROR"):
        client.stream("GET", hostile.url + "/attack", timeout=TIMEOUT).read()
    hostile.wait(lambda: hostile.clients[0].closed == ErrorCode.H3_FRAME_ERROR)
    assert client.get(hostile.url + "/ok", timeout=TIMEOUT).body == b"ok"


def test_interim_responses_without_end_are_refused(
    client: quiver.Client, hostile: HostileOrigin
) -> None:
    hostile.attack = ENDLESS_INTERIM
    with bounded(MOST), pytest.raises(quiver.ResponseTooLarge):
        client.stream("GET", hostile.url + "/attack", timeout=TIMEOUT)
    hostile.wait(lambda: told(hostile) == {ErrorCode.H3_EXCESSIVE_LOAD})
    assert_well(client, hostile)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("attack", [ENDLESS_CONTENT, ENDLESS_FRAME], ids=["frames", "one frame"])
def test_a_body_without_end_waits_for_its_reader(
    client: quiver.Client, hostile: HostileOrigin, attack: Attack
) -> None:
    """Who does not read on holds a window, and the connection serves the others."""
    hostile.attack = attack
    with bounded(MOST):
        with client.stream("GET", hostile.url + "/attack", timeout=TIMEOUT) as got:
            assert got.read(4 * MIB)[-5:] == b"x" * 5
            for _ in range(50):
                assert_well(client, hostile)
        hostile.wait(lambda: told(hostile) == {ErrorCode.H3_REQUEST_CANCELLED})
    assert_well(client, hostile)


def _open(peer: RawPeer, stream_id: int) -> None:
    peer.write(stream_id, RESPONSE)


@pytest.mark.long
def test_datagrams_nobody_reads_are_dropped(client: quiver.Client, hostile: HostileOrigin) -> None:
    def datagrams(peer: RawPeer, stream_id: int) -> None:
        peer.datagram(bytes([stream_id // 4]) + b"x" * 1000)

    def attack(peer: RawPeer, stream_id: int) -> None:
        _open(peer, stream_id)
        flood(datagrams, 10_000, ends=data(b"over"))(peer, stream_id)

    hostile.attack = attack
    with (
        bounded(MOST),
        client.open_channel(hostile.url + "/attack", method="GET", timeout=TIMEOUT) as channel,
    ):
        for event in channel:
            if isinstance(event, quiver.StreamData):
                break
            assert_well(client, hostile)
    assert_well(client, hostile)


def test_content_nobody_reads_waits(client: quiver.Client, hostile: HostileOrigin) -> None:
    def attack(peer: RawPeer, stream_id: int) -> None:
        _open(peer, stream_id)
        peer.write(stream_id, one_long_frame(DATA))
        flood(lambda p, i: p.write(i, b"x" * 16_384), 4_000)(peer, stream_id)

    hostile.attack = attack
    with (
        bounded(MOST),
        client.open_channel(hostile.url + "/attack", method="GET", timeout=TIMEOUT),
    ):
        for _ in range(300):
            assert_well(client, hostile)
    assert_well(client, hostile)
