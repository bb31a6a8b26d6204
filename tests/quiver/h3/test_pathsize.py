"""How long datagrams are: as the path takes, also when it changes and when it says nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from quiver.config import PoolConfig
from quiver.h3.pathsize import LARGER
from quiver.testing.authority import Authority
from tests.support.wire import Server, Wire, connected

POST = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/")]
LEAST = 1200
MUCH = 200_000

Connect = Callable[[int], Wire]


@pytest.fixture
def connect(authority: Authority) -> Connect:
    """Connect over a path that takes so many bytes."""

    def make(largest: int) -> Wire:
        wire = connected(PoolConfig(cafile=authority.cafile), Server(authority.issue(), ok))
        wire.largest = largest
        return wire

    return make


def ok(server: Server, event: Any) -> None:
    if getattr(event, "stream_ended", False):
        assert server.h3 is not None
        server.h3.send_headers(event.stream_id, [(b":status", b"200")], True)


def upload(path: Wire, size: int = MUCH) -> list[int]:
    """Send so many bytes; the sizes of the datagrams that it took, once it is answered."""
    del path.sizes[:]
    stream_id = path.session.open_request(POST, b"x" * size)
    path.run(lambda: bool(path.on(stream_id)))
    return path.sizes


def window(path: Wire) -> int:
    return path.session._quic._loss.congestion_window


def test_what_is_long_is_sent_in_longer_datagrams_once_a_probe_arrived(
    connect: Connect,
) -> None:
    path = connect(LARGER)
    first = upload(path)
    at = first.index(LARGER)
    assert at > 1
    assert max(first[:at]) == LEAST
    assert sum(size > LEAST for size in upload(path)) >= MUCH // LARGER


def test_one_probe_is_lost_where_the_path_takes_no_more(connect: Connect) -> None:
    path = connect(LEAST)
    began = window(path)
    assert [size for size in upload(path) if size > LEAST] == [LARGER]
    assert window(path) > began  # it was no congestion
    assert path.session._quic._loss._cc.ssthresh is None
    assert [size for size in upload(path) if size > LEAST] == []  # not again within a second


def test_a_probe_a_second_while_there_is_much_to_send(connect: Connect) -> None:
    path = connect(LEAST)
    probes = []
    for _ in range(4):
        probes += [size for size in upload(path) if size > LEAST]
        path.settle(1.0)
    assert probes == [LARGER] * 4


def test_a_path_that_shrinks_is_found_out_by_silence(connect: Connect) -> None:
    path = connect(LARGER)
    upload(path)
    path.largest = LEAST
    began = path.now
    assert LARGER in upload(path)
    assert path.now - began < 2.0
    assert path.error is None
    assert path.session._quic._max_datagram_size == LEAST


def test_a_path_that_shrinks_is_found_out_while_short_ones_pass(
    connect: Connect,
) -> None:
    path = connect(LARGER)
    upload(path)
    path.settle(1.0)
    path.largest = LEAST
    stream_id = path.session.open_request(POST, b"x" * MUCH)
    for _ in range(2_000):
        if path.on(stream_id):
            break
        path.session.ping(1)
        path.settle(0.01)
    assert path.on(stream_id)
    assert path.session._quic._max_datagram_size == LEAST


def test_a_path_that_grows_is_found_out(connect: Connect) -> None:
    path = connect(LEAST)
    upload(path)
    path.settle(1.0)
    path.largest = LARGER
    upload(path)
    assert path.session._quic._max_datagram_size == LARGER


def test_who_sends_little_is_not_probed(connect: Connect) -> None:
    path = connect(LARGER)
    for _ in range(20):
        assert max(upload(path, 200)) < LEAST
        path.settle(0.3)


def test_a_datagram_of_a_channel_has_room_on_any_path(connect: Connect) -> None:
    path = connect(LARGER)
    before = path.session._quic.datagram_room()
    upload(path)
    assert path.session._quic._max_datagram_size == LARGER
    assert path.session._quic.datagram_room() == before
