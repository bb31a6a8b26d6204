"""How long datagrams are: as the path takes, also when it changes and when it says nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.config import PoolConfig
from quiver.quic.path_mtu import LARGER, PathMtu
from quiver.testing.authority import Authority
from tests.support.cases.fast_path_differential import engine_of, quic_of
from tests.support.engines.http3_wire import Server, Wire, connected

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
    stream_id = path.h3.open_request(POST, b"x" * size)
    path.run(lambda: bool(path.on(stream_id)))
    return path.sizes


def window(path: Wire) -> int:
    size: int = quic_of(path)._loss.congestion_window
    return size


def test_what_is_long_is_sent_in_longer_datagrams_once_a_probe_arrived(
    connect: Connect,
) -> None:
    path = connect(LARGER)
    first = upload(path)
    at = first.index(LARGER)
    assert at > 1
    assert max(first[:at]) == LEAST
    assert sum(size > LEAST for size in upload(path)) >= MUCH // LARGER


def test_three_probes_are_lost_where_the_path_takes_no_more(connect: Connect) -> None:
    path = connect(LEAST)
    began = window(path)
    assert [size for size in upload(path) if size > LEAST] == [LARGER] * 3
    assert window(path) > began  # it was no congestion
    assert quic_of(path)._loss._cc.ssthresh is None
    assert [size for size in upload(path) if size > LEAST] == []  # not again within a second


def test_a_probe_a_second_while_there_is_much_to_send(connect: Connect) -> None:
    path = connect(LEAST)
    probes = []
    for _ in range(4):
        probes += [size for size in upload(path) if size > LEAST]
        path.settle(1.0)
    assert probes == [LARGER] * (3 + 3)


def test_one_that_sends_a_datagram_at_a_time_is_probed(connect: Connect) -> None:
    """As a congestion window of few packets has it, where many are lost."""
    path = connect(LARGER)
    stream_id = path.h3.open_request(POST, None, ended=False)
    del path.sizes[:]
    for _ in range(20):
        path.h3.send_body(stream_id, b"x" * (LEAST - 45), False)
        path.settle(0.2)
    assert [size for size in path.sizes if size > LEAST] == [LARGER]  # and then none is filled


def test_a_path_that_shrinks_is_found_out_by_silence(connect: Connect) -> None:
    path = connect(LARGER)
    upload(path)
    path.largest = LEAST
    began = path.now
    assert LARGER in upload(path)
    assert path.now - began < 2.0
    assert path.error is None
    assert quic_of(path)._max_datagram_size == LEAST


def test_a_path_that_shrinks_is_found_out_while_short_ones_pass(
    connect: Connect,
) -> None:
    path = connect(LARGER)
    upload(path)
    path.settle(1.0)
    path.largest = LEAST
    stream_id = path.h3.open_request(POST, b"x" * MUCH)
    for _ in range(2_000):
        if path.on(stream_id):
            break
        path.h3.ping(1)
        path.settle(0.01)
    assert path.on(stream_id)
    assert quic_of(path)._max_datagram_size == LEAST


def test_a_path_that_grows_is_found_out(connect: Connect) -> None:
    path = connect(LEAST)
    upload(path)
    path.settle(1.0)
    path.largest = LARGER
    upload(path)
    assert quic_of(path)._max_datagram_size == LARGER


def test_who_sends_little_is_not_probed(connect: Connect) -> None:
    path = connect(LARGER)
    for _ in range(20):
        assert max(upload(path, 200)) < LEAST
        path.settle(0.3)


def test_a_datagram_of_a_channel_has_room_on_any_path(connect: Connect) -> None:
    path = connect(LARGER)
    before = engine_of(path).max_datagram_size
    upload(path)
    assert quic_of(path)._max_datagram_size == LARGER
    assert engine_of(path).max_datagram_size == before


def test_a_link_that_takes_less_is_no_matter_of_waiting(connect: Connect) -> None:
    """The kernel says at once that it does not send them; a path that grows is found out again."""
    path = connect(LARGER)
    upload(path)
    path.h3.shorten()
    path.largest = LEAST
    began = path.now
    sizes = upload(path)
    assert path.now - began < 1.0
    assert sum(size > LEAST for size in sizes) <= 1  # a probe
    path.settle(1.0)
    path.largest = LARGER
    upload(path)
    assert quic_of(path)._max_datagram_size == LARGER


# the decisions alone ------------------------------------------------------------------------


def test_two_datagrams_that_are_filled_are_a_reason_for_a_probe() -> None:
    mtu = PathMtu(LEAST)
    assert [mtu.probes(filled, 5.0) for filled in (0, 1, 0, 1)] == [False, False, False, True]


def test_there_is_a_probe_a_second() -> None:
    mtu = PathMtu(LEAST)
    assert [mtu.probes(9, now) for now in (5.0, 5.0, 5.99, 6.0, 6.5, 7.0)] == [
        *(True, False, False),
        *(True, False, True),
    ]


def test_three_probes_in_a_row_decide() -> None:
    mtu, sizes = PathMtu(LEAST), []
    for arrived in (False, True, False, False, True, False, False, False, False, True):
        mtu.probed(arrived=arrived)
        sizes.append(mtu.size)
    assert sizes == [LEAST, *[LARGER] * 6, LEAST, LEAST, LARGER]
    mtu.shorten()
    assert mtu.size == LEAST


def test_a_lost_probe_is_followed_by_another_one_at_once_but_not_for_ever() -> None:
    mtu, probes = PathMtu(LEAST), []
    for now in (5.0, 5.1, 5.2, 5.3, 5.4, 6.3):
        probes.append(mtu.probes(9, now))
        if probes[-1]:
            mtu.probed(arrived=False)
    assert probes == [True, True, True, False, False, True]


def test_nothing_is_longer_than_the_peer_takes() -> None:
    mtu = PathMtu(LEAST)
    mtu.bound(1300)
    assert mtu.larger == 1300
    mtu.probed(arrived=True)
    assert mtu.size == 1300
    mtu.bound(1250)
    assert mtu.size == mtu.larger == 1250
    mtu.bound(65_527)
    assert mtu.larger == LARGER


steps = st.lists(
    st.integers(LEAST, 2_000) | st.booleans() | st.just("probes") | st.just("shorten"), max_size=20
)


@given(steps)
def test_whatever_happens_no_size_is_above_what_the_peer_takes(happened: list[Any]) -> None:
    mtu, most = PathMtu(LEAST), LARGER
    for now, step in enumerate(happened):
        match step:
            case bool():
                mtu.probed(arrived=step)
            case int():
                most = step
                mtu.bound(most)
            case "probes":
                assert not mtu.probes(9, float(now)) or LEAST < mtu.larger <= most
            case "shorten":
                mtu.shorten()
        assert LEAST <= mtu.size <= min(most, LARGER)


def test_one_that_takes_the_least_is_not_probed() -> None:
    mtu = PathMtu(LEAST)
    mtu.bound(LEAST)
    assert not mtu.probes(9, 5.0)


def test_two_timeouts_in_a_row_are_a_doubt() -> None:
    mtu = PathMtu(LEAST)
    mtu.probed(arrived=True)
    mtu.timed_out(1)
    assert mtu.size == LARGER
    mtu.timed_out(2)
    assert mtu.size == LEAST
