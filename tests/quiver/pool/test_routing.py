"""RoutingTable by example; tests/properties/test_routing.py has every sequence."""

from __future__ import annotations

import time
from typing import Any

import pytest

from quiver.errors import (
    CertificateInvalid,
    ConnectionLost,
    ConnectionRefused,
    HandshakeFailed,
    QuiverError,
)
from quiver.models import Stats
from quiver.pool.actions import (
    CancelExchange,
    Forward,
    OpenConnection,
    Redial,
    Reject,
    Rejection,
    Retire,
)
from quiver.pool.routing import RoutingTable

REFUSED = ConnectionRefused("refused", origin="https://a.example")
UNTRUSTED = CertificateInvalid("expired", origin="https://a.example")
BROKEN_OFF = HandshakeFailed("bye", origin="https://a.example", lasting=False)
REFUSES_US = HandshakeFailed("set certfile", origin="https://a.example")


def table(**options: Any) -> RoutingTable:
    sizes = {"max_connections": 2, "max_streams_per_connection": 10, "max_waiting": 100}
    return RoutingTable(**{**sizes, **options})


def connected(streams: int = 10, **options: Any) -> RoutingTable:
    """A table with one connection, number 1, that carries nothing."""
    made = table(**{"max_connections": 1, **options})
    made.submit(0, None, 0.0)
    made.cancel(0, 0.0)
    made.ready(1, streams, 0.0)
    return made


def told(error: QuiverError) -> tuple[Rejection, QuiverError]:
    return Rejection.CONNECT_FAILED, error


def test_a_request_waits_for_the_connection_that_it_opens() -> None:
    pool = table()
    assert pool.submit(1, None, 0.0) == (OpenConnection(1),)
    assert pool.ready(1, 10, 0.1) == (Forward(1, 1),)


def test_each_request_opens_one_more_though_there_is_room() -> None:
    pool = connected(max_connections=3)
    assert pool.submit(1, None, 1.0) == (Forward(1, 1), OpenConnection(2))
    assert pool.submit(2, None, 1.0) == (Forward(2, 1), OpenConnection(3))
    assert pool.submit(3, None, 1.0) == (Forward(3, 1),)


def test_the_least_loaded_is_picked_and_the_lowest_number_on_a_tie() -> None:
    pool = table()
    for ticket in (1, 2):
        pool.submit(ticket, None, 0.0)
    assert pool.ready(1, 10, 0.0) == (Forward(1, 1), Forward(2, 1))
    assert pool.ready(2, 10, 0.0) == ()
    chosen = [pool.submit(ticket, None, 0.0)[0] for ticket in (3, 4, 5, 6)]
    assert chosen == [Forward(3, 2), Forward(4, 2), Forward(5, 1), Forward(6, 2)]


def test_credit_is_cumulative_and_a_release_brings_none() -> None:
    pool = connected(streams=1)
    assert pool.submit(1, None, 0.0) == (Forward(1, 1),)
    assert pool.submit(2, None, 0.0) == ()
    assert pool.released(1, 1, 0.0) == ()
    assert pool.limited(1, 2, 0.0) == (Forward(2, 1),)


def test_who_came_back_goes_before_those_who_wait() -> None:
    pool = connected(streams=1)
    for ticket in (1, 2):
        pool.submit(ticket, None, 0.0)
    assert pool.submit(3, None, 0.0, front=True) == ()
    assert pool.limited(1, 3, 0.0) == (Forward(3, 1), Forward(2, 1))


def test_the_queue_is_bounded_but_not_for_who_came_back() -> None:
    pool = connected(streams=0, max_waiting=1)
    assert pool.submit(1, None, 0.0) == ()
    assert pool.submit(2, None, 0.0) == (Reject(2, Rejection.QUEUE_FULL),)
    assert pool.submit(3, None, 0.0, front=True) == ()
    assert pool.stats().queued == 2


def test_who_waits_for_a_dial_of_his_own_is_not_counted() -> None:
    pool = table(max_waiting=0)
    assert pool.submit(1, None, 0.0) == (OpenConnection(1),)
    assert pool.submit(2, None, 0.0) == (OpenConnection(2),)
    assert pool.submit(3, None, 0.0) == (Reject(3, Rejection.QUEUE_FULL),)
    assert pool.ready(1, 1, 0.1) == (Forward(1, 1),)
    assert pool.submit(4, None, 0.1) == (Reject(4, Rejection.QUEUE_FULL),)
    assert pool.ready(2, 2, 0.2) == (Forward(2, 2),)
    assert pool.submit(5, None, 0.3) == (Forward(5, 2),)


def test_a_deadline_turns_away() -> None:
    pool = connected(streams=0)
    pool.submit(1, 2.0, 0.0)
    assert pool.next_deadline() == 2.0
    assert pool.sweep(1.9) == ()
    assert pool.sweep(2.0) == (Reject(1, Rejection.CHECKOUT_TIMEOUT),)


def test_cancel_where_it_is() -> None:
    pool = connected(streams=1)
    for ticket in (1, 2):
        pool.submit(ticket, None, 0.0)
    assert pool.cancel(2, 0.0) == ()
    assert pool.cancel(1, 0.0) == (CancelExchange(1, 1),)
    assert pool.stats().active == 1, "until the connection releases it"
    assert pool.cancel(3, 0.0) == ()


def test_when_every_attempt_has_failed_those_who_wait_get_that_error() -> None:
    pool = table()
    for ticket in (1, 2):
        pool.submit(ticket, None, 0.0)
    assert pool.down(1, 0.1, REFUSED) == (Redial(0.2),)
    rejected = tuple(Reject(n, Rejection.CONNECT_FAILED, REFUSED) for n in (1, 2))
    assert pool.down(2, 0.1, REFUSED) == rejected
    assert pool.submit(3, None, 0.11) == (OpenConnection(3),), "at once: nobody else can"


def test_those_who_wait_go_on_when_another_attempt_lives() -> None:
    pool = table()
    for ticket in (1, 2):
        pool.submit(ticket, None, 0.0)
    assert pool.down(1, 0.0, REFUSED) == (Redial(0.1),)
    assert pool.redial(0.1) == (OpenConnection(3),)
    assert pool.ready(3, 10, 0.2) == (Forward(1, 3), Forward(2, 3))


def test_a_refusal_is_told_to_whoever_comes_during_the_pause() -> None:
    pool = table(max_connections=1)
    pool.submit(1, None, 0.0)
    assert pool.down(1, 0.0, UNTRUSTED) == (Reject(1, Rejection.CONNECT_FAILED, UNTRUSTED),)
    assert pool.submit(2, None, 0.09) == (Reject(2, Rejection.CONNECT_FAILED, UNTRUSTED),)
    assert pool.submit(3, None, 0.09, front=True)[0] == Reject(3, *told(UNTRUSTED))
    assert pool.submit(4, None, 0.1) == (OpenConnection(2),)


def test_a_refusal_after_the_handshake_counts_as_one_before_it() -> None:
    pool, now = table(max_connections=1), 0.0
    for number, pause in enumerate([0.1, 0.2, 0.4, 0.8], 1):
        assert pool.submit(10 * number, None, now) == (OpenConnection(number),)
        assert pool.ready(number, 10, now) == (Forward(10 * number, number),)
        assert pool.down(number, now, REFUSES_US) == ()
        late = pool.submit(10 * number + 1, None, now + 0.9 * pause)
        assert late == (Reject(10 * number + 1, *told(REFUSES_US)),)
        now += pause


def test_a_refusal_after_the_handshake_is_told_to_all_that_wait() -> None:
    pool = connected(streams=1)
    for ticket in (1, 2, 3):
        pool.submit(ticket, None, 0.0)
    assert pool.down(1, 0.1, REFUSES_US) == (
        Reject(2, *told(REFUSES_US)),
        Reject(3, *told(REFUSES_US)),
    )


def test_no_more_is_dialled_because_another_one_has_only_seemed_to_succeed() -> None:
    pool = table()
    for ticket in (1, 2):
        pool.submit(ticket, None, 0.0)
    pool.ready(1, 10, 0.0)
    assert pool.down(1, 0.0, REFUSES_US) == ()
    assert pool.ready(2, 10, 0.0) == ()
    assert pool.submit(3, None, 0.0) == (Forward(3, 2),), "and no third is dialled"
    assert pool.down(2, 0.0, REFUSES_US) == ()
    assert pool.submit(4, None, 0.0) == (Reject(4, *told(REFUSES_US)),)


def test_a_refusal_leaves_those_alone_that_another_connection_serves() -> None:
    pool = table()
    for ticket in (1, 2):
        pool.submit(ticket, None, 0.0)
    pool.ready(1, 1, 0.0)
    assert pool.down(2, 0.0, REFUSES_US) == (Redial(0.1),)
    assert pool.released(1, 1, 0.0) == ()
    assert pool.limited(1, 2, 0.0) == (Forward(2, 1),)
    assert pool.submit(3, None, 0.0) == (), "the other one may serve him yet"


@pytest.mark.parametrize("error", [REFUSED, BROKEN_OFF], ids=["refused", "broken off"])
def test_what_may_go_well_the_next_time_is_tried_at_once(error: QuiverError) -> None:
    pool = table(max_connections=1)
    pool.submit(1, None, 0.0)
    pool.down(1, 0.0, error)
    assert pool.submit(2, None, 0.0) == (OpenConnection(2),)


def test_the_last_connection_dies_idle_and_its_successor_is_dialled_at_once() -> None:
    pool = connected(streams=1)
    for ticket in (1, 2):
        pool.submit(ticket, None, 0.0)
    pool.released(1, 1, 0.0)
    assert pool.down(1, 0.1) == (OpenConnection(2),)


def test_draining_ones_do_not_count() -> None:
    pool = connected()
    pool.submit(1, None, 0.0)
    assert pool.draining(1, 0.0) == ()
    assert pool.submit(2, None, 0.0) == (OpenConnection(2),)
    assert [each.state for each in pool.connections()] == ["draining", "connecting"]


def test_an_aged_one_lends_until_its_successor_is_ready() -> None:
    pool = connected()
    assert pool.aged(1, 1.0) == (OpenConnection(2),)
    assert pool.aged(1, 1.0) == ()
    assert pool.submit(1, None, 1.0) == (Forward(1, 1),)
    assert pool.ready(2, 10, 1.1) == (Retire(1),)
    assert pool.submit(2, None, 1.2) == (Forward(2, 2),)


def test_a_worn_one_is_replaced_before_it_is_used_up() -> None:
    pool = connected(max_requests_per_connection=10)
    for ticket in range(1, 9):
        assert pool.submit(ticket, None, 0.0) == (Forward(ticket, 1),)
    assert pool.submit(9, None, 0.0) == (Forward(9, 1), OpenConnection(2))
    assert pool.submit(10, None, 0.0) == (Forward(10, 1), Retire(1))
    assert pool.submit(11, None, 0.0) == ()
    assert pool.ready(2, 100, 0.0) == (Forward(11, 2),)


def test_stopped_it_turns_everybody_away() -> None:
    pool = connected(streams=0)
    pool.submit(1, None, 0.0)
    assert pool.stop() == (Reject(1, Rejection.STOPPED),)
    assert pool.submit(2, None, 0.0) == (Reject(2, Rejection.STOPPED),)
    assert pool.down(1, 0.0) == ()


def test_late_news_asks_for_nothing() -> None:
    pool = connected()
    pool.down(1, 0.0)
    late = [
        pool.ready(1, 5, 0.0),
        pool.limited(1, 5, 0.0),
        pool.released(1, 1, 0.0),
        pool.aged(1, 0.0),
        pool.draining(1, 0.0),
        pool.down(1, 0.0, REFUSED),
        pool.cancel(1, 0.0),
        pool.sweep(9.0),
        pool.redial(9.0),
    ]
    assert late == [()] * len(late)


def test_a_second_release_is_none() -> None:
    pool = connected(streams=2)
    pool.submit(1, None, 0.0)
    pool.released(1, 1, 0.0)
    assert pool.released(1, 1, 0.0) == ()
    assert pool.stats().active == 0 and pool.stats().idle == 1


def test_what_cannot_be_raises() -> None:
    pool = connected(streams=1)
    pool.submit(1, None, 0.0)
    pool.submit(2, None, 0.0)
    with pytest.raises(ValueError, match="ticket 1 is out on connection 1"):
        pool.submit(1, None, 0.0)
    with pytest.raises(ValueError, match="ticket 2 waits already"):
        pool.submit(2, None, 0.0)
    with pytest.raises(ValueError, match="connection 1 was ready before"):
        pool.ready(1, 1, 0.0)


def seconds_beside(waiting: int) -> float:
    """What 1,000 rounds of each operation cost of a core while so many wait."""
    pool = connected(streams=1, max_waiting=1_000_000)
    for ticket in range(1, waiting + 1):
        pool.submit(ticket, float(ticket), 0.0)
    limit = 1
    started = time.thread_time()
    for extra in range(1_000_001, 1_001_001):
        pool.submit(extra, 0.5, 0.0)
        pool.cancel(extra, 0.0)
        limit += 1
        (forward,) = pool.limited(1, limit, 0.0)
        assert isinstance(forward, Forward)
        pool.released(1, forward.ticket, 0.0)
        pool.next_deadline()
        pool.stats()
    return time.thread_time() - started


def test_the_queue_is_never_searched() -> None:
    """50 times as many who wait would cost 50 times as much if it were."""
    few, many = seconds_beside(2_000), seconds_beside(100_000)
    assert many < 10 * few, f"{few:.3f} s beside 2,000, {many:.3f} s beside 100,000"


def test_a_suspended_connection_is_lent_nothing_until_it_is_resumed() -> None:
    pool = table(max_connections=1, max_streams_per_connection=2)
    pool.submit(1, None, 0.0)
    assert pool.ready(1, 10, 0.0) == (Forward(1, 1),)
    assert pool.suspended(1, 0.1) == () and not pool.lends
    assert pool.submit(2, None, 0.2) == (), "it is live: no other may be dialled"
    assert pool.stats() == Stats(idle=0, active=1, queued=1, connections=1)
    assert [each.state for each in pool.connections()] == ["suspended"]
    assert pool.limited(1, 20, 0.2) == ()
    assert pool.resumed(1, 0.3) == (Forward(2, 1),) and pool.lends
    assert [each.state for each in pool.connections()] == ["connected"]


def test_another_serves_those_whom_a_suspended_connection_cannot() -> None:
    pool = table(max_connections=2)
    pool.submit(1, None, 0.0)
    pool.ready(1, 10, 0.0)
    pool.suspended(1, 0.1)
    assert pool.submit(2, None, 0.2) == (OpenConnection(2),)
    assert pool.ready(2, 10, 0.3) == (Forward(2, 2),)


def test_when_a_suspended_connection_is_gone_another_is_dialled_for_those_who_wait() -> None:
    pool = table(max_connections=1)
    pool.submit(1, None, 0.0)
    pool.ready(1, 10, 0.0)
    pool.suspended(1, 0.1)
    pool.submit(2, None, 0.2)
    lost = ConnectionLost("connection lost: the port is closed now", origin="https://a.example")
    assert pool.down(1, 0.4, lost) == (OpenConnection(2),)


def test_a_suspended_connection_may_grow_old_and_drain() -> None:
    pool = table(max_connections=1)
    pool.submit(1, None, 0.0)
    pool.ready(1, 10, 0.0)
    pool.suspended(1, 0.1)
    assert pool.aged(1, 0.2) == (OpenConnection(2),)
    assert pool.ready(2, 10, 0.3) == (Retire(1),)
    assert pool.resumed(1, 0.4) == ()
    assert [each.state for each in pool.connections()] == ["draining", "connected"]


@pytest.mark.parametrize("connection", [1, 2, 99])
def test_only_what_lends_can_be_suspended(connection: int) -> None:
    """Connecting, draining, or forgotten already."""
    pool = table(max_connections=2)
    pool.submit(1, None, 0.0)
    pool.submit(2, None, 0.0)
    pool.ready(2, 10, 0.0)
    pool.draining(2, 0.0)
    assert pool.suspended(connection, 0.1) == pool.resumed(connection, 0.1) == ()


# channels ---------------------------------------------------------------------------------------


def mixed(streams: int = 10, **options: Any) -> RoutingTable:
    """A table with connection 1, which carries no channels, and 2, which does."""
    made = table(**options)
    for ticket in (-1, -2):
        made.submit(ticket, None, 0.0)
        made.cancel(ticket, 0.0)
    made.ready(1, 10, 0.0, channels=False)
    made.ready(2, streams, 0.0)
    return made


def test_a_channel_is_lent_what_carries_it() -> None:
    pool = mixed()
    assert pool.submit(1, None, 0.0, channel=True) == (Forward(1, 2),)
    assert pool.submit(2, None, 0.0, channel=True) == (Forward(2, 2),), "though it is more loaded"
    assert pool.submit(3, None, 0.0) == (Forward(3, 1),)


def test_a_channel_waits_for_what_carries_it_and_others_do_not_wait_with_it() -> None:
    pool = mixed(streams=1, max_waiting=10)
    assert pool.submit(1, None, 0.0, channel=True) == (Forward(1, 2),)
    assert pool.submit(2, None, 0.0, channel=True) == ()
    assert pool.submit(3, None, 0.0) == (Forward(3, 1),)
    assert pool.submit(4, None, 0.0, channel=True) == ()
    assert pool.limited(2, 3, 0.0) == (Forward(2, 2), Forward(4, 2))


def test_a_channel_waits_for_one_that_is_suspended() -> None:
    pool = mixed()
    assert pool.suspended(2, 0.0) == ()
    assert pool.submit(1, None, 0.0, channel=True) == ()
    assert pool.resumed(2, 0.0) == (Forward(1, 2),)


@pytest.mark.parametrize("how", ["down", "draining"])
def test_a_channel_that_nothing_carries_any_more_is_for_the_others(how: str) -> None:
    """They refuse it: nobody knows what the next dial will bring."""
    pool = mixed(streams=0)
    assert pool.submit(1, None, 0.0, channel=True) == ()
    assert Forward(1, 1) in getattr(pool, how)(2, 0.0)


def test_channels_and_requests_each_in_their_order() -> None:
    pool = mixed(streams=0)
    pool.limited(1, 10, 0.0, most=1)
    pool.submit(0, None, 0.0)
    for ticket, channel in ((1, True), (2, False), (3, True), (4, False)):
        assert pool.submit(ticket, None, 0.0, channel=channel) == ()
    assert pool.released(1, 0, 0.0) == (Forward(2, 1),)
    assert pool.limited(2, 2, 0.0) == (Forward(1, 2), Forward(3, 2))
    assert pool.cancel(4, 0.0) == () and pool.idle is False


def test_what_is_remembered_of_channels_ends_with_their_wait() -> None:
    pool = mixed(streams=0, max_waiting=3)
    for ticket in range(1, 4):
        pool.submit(ticket, 1.0, 0.0, channel=True)
    pool.submit(4, None, 0.0, channel=True)
    pool.cancel(1, 0.0)
    pool.sweep(2.0)
    pool.submit(5, None, 2.0, channel=True)
    pool.stop()
    assert pool._channels == set()
