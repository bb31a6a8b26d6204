"""Which tickets go out before a handshake is over, where, and what becomes of them."""

from __future__ import annotations

from quiver.pool.actions import (
    CancelExchange,
    Forward,
    OpenConnection,
    Reject,
    Rejection,
    Retire,
    SendEarly,
)
from quiver.pool.early_requests import EarlyRequests
from quiver.pool.routing import RoutingTable


def table(
    connections: int = 2, streams: int = 10, waiting: int = 10, requests: int | None = None
) -> RoutingTable:
    return RoutingTable(
        max_connections=connections,
        max_streams_per_connection=streams,
        max_waiting=waiting,
        max_requests_per_connection=requests,
    )


def test_they_go_in_order_as_far_as_there_is_room() -> None:
    early = EarlyRequests()
    for ticket in (1, 2, 3):
        early.wants(ticket)
    early.offer(7, 2)
    assert early.send() == [SendEarly(1, 7), SendEarly(2, 7)]
    early.offer(8, 5)
    assert early.send() == [SendEarly(3, 8)]
    assert early.out == {1: 7, 2: 7, 3: 8}
    assert early.drop(2) == 7
    assert early.settle(7) == ([1], 2)
    assert early.settle(7) == ([], 0)
    assert early.out == {3: 8}


def test_accepted() -> None:
    pool = table(1)
    assert pool.submit(1, None, 0.0, early=True) == (OpenConnection(1, early=True),)
    assert pool.submit(2, None, 0.0) == ()
    assert pool.submit(3, None, 0.0, early=True) == ()
    assert pool.early_room(1, 5, 0.0) == (SendEarly(1, 1), SendEarly(3, 1))
    assert pool.submit(4, None, 0.0, early=True) == (SendEarly(4, 1),)
    assert pool.stats().queued == 4, "all of them wait"
    expected = (Forward(1, 1), Forward(3, 1), Forward(4, 1), Forward(2, 1))
    assert pool.ready(1, 10, 0.1, early=True) == expected
    assert pool.stats().active == 4


def test_rejected_in_the_order_in_which_they_came() -> None:
    pool = table(1)
    pool.submit(1, None, 0.0, early=True)
    pool.submit(2, None, 0.0)
    pool.submit(3, None, 0.0, early=True)
    pool.early_room(1, 5, 0.0)
    assert pool.ready(1, 2, 0.1) == (Forward(1, 1), Forward(2, 1)), "as far as there is room now"
    assert pool.stats().queued == 1


def test_one_that_is_out_goes_nowhere_else() -> None:
    """Another connection is there first; what is out waits for its own."""
    pool = table()
    pool.submit(1, None, 0.0, early=True)
    pool.submit(2, None, 0.0)
    pool.early_room(1, 5, 0.0)
    assert pool.ready(2, 10, 0.1) == (Forward(2, 2),)
    assert pool.down(1, 0.2) == (Forward(1, 2),), "unless that is gone"


def test_one_whose_connection_connects_too_long_goes_to_another() -> None:
    pool = table(streams=1)
    pool.submit(1, None, 0.0)
    pool.ready(1, 10, 0.0)
    assert pool.submit(2, None, 0.0, early=True) == (OpenConnection(2, early=True),)
    assert pool.early_room(2, 5, 0.0) == (SendEarly(2, 2),)
    assert pool.released(1, 1, 0.1) == (), "it waits for its own"
    assert pool.early_late(2, 1.0) == (CancelExchange(2, 2), Forward(2, 1))
    assert pool.submit(3, None, 1.0, early=True) == (), "and nobody goes early there any more"
    assert pool.ready(2, 10, 1.1, early=True) == (Forward(3, 2),)
    [_, told] = pool.connections()
    assert (told.active, told.opened) == (1, 2), "what was given up has had its stream"


def test_one_that_connects_too_long_is_its_own_still() -> None:
    """When there is no other: it is answered by what has gone."""
    pool = table()
    pool.submit(1, None, 0.0, early=True)
    pool.early_room(1, 5, 0.0)
    assert pool.early_late(1, 1.0) == ()
    assert pool.early_late(7, 1.0) == (), "a connection that is forgotten"
    assert pool.ready(1, 10, 1.5, early=True) == (Forward(1, 1),)


def test_a_dial_that_fails_fails_those_that_are_out() -> None:
    error = ValueError("refused")
    pool = table(1)
    pool.submit(1, None, 0.0, early=True)
    pool.early_room(1, 5, 0.0)
    assert pool.down(1, 0.1, error) == (Reject(1, Rejection.CONNECT_FAILED, error),)  # type: ignore


def test_given_up_and_late() -> None:
    pool = table(1)
    pool.submit(1, None, 0.0, early=True)
    pool.submit(2, 5.0, 0.0, early=True)
    pool.submit(3, None, 0.0, early=True)
    pool.early_room(1, 5, 0.0)
    assert pool.cancel(1, 1.0) == (CancelExchange(1, 1),)
    late = (Reject(2, Rejection.CHECKOUT_TIMEOUT), CancelExchange(2, 1))
    assert pool.sweep(5.0) == late
    assert pool.ready(1, 3, 6.0, early=True) == (Forward(3, 1),)
    [told] = pool.connections()
    assert (told.active, told.opened) == (1, 3), "those that were given up have had their streams"


def test_those_that_are_out_count_in_the_line() -> None:
    pool = table(1, waiting=1)
    for ticket in (1, 2):
        pool.submit(ticket, None, 0.0, early=True)
    pool.early_room(1, 5, 0.0)
    assert pool.submit(3, None, 0.0) == (Reject(3, Rejection.QUEUE_FULL),)
    assert pool.ready(1, 5, 0.1) == (Forward(1, 1), Forward(2, 1)), "and are turned away by none"


def test_one_that_was_sent_back_goes_no_more() -> None:
    pool = table(1)
    pool.submit(1, None, 0.0)
    pool.submit(2, None, 0.0, early=True)
    assert pool.cancel(2, 0.0) == ()
    assert pool.early_room(1, 5, 0.0) == ()
    assert pool.early_room(9, 5, 0.0) == (), "a connection that is forgotten"


def test_no_more_than_a_connection_may_carry() -> None:
    pool = table(1, streams=2)
    for ticket in (1, 2, 3):
        pool.submit(ticket, None, 0.0, early=True)
    assert pool.early_room(1, 100, 0.0) == (SendEarly(1, 1), SendEarly(2, 1))


def test_a_connection_that_has_carried_all_it_may_though_all_of_it_was_given_up() -> None:
    """It is of no more use: another one takes its place."""
    pool = table(1, requests=2)
    for ticket in (1, 2):
        pool.submit(ticket, None, 0.0, early=True)
    pool.early_room(1, 5, 0.0)
    for ticket in (1, 2):
        pool.cancel(ticket, 0.1)
    assert pool.ready(1, 10, 0.2, early=True) == (Retire(1),)
    assert pool.submit(3, None, 0.3) == (OpenConnection(2),)


def test_one_that_has_carried_nearly_all_is_not_relieved_by_itself() -> None:
    """It is lent until its successor is there."""
    pool = table(2, requests=10)
    for ticket in range(9):
        pool.submit(ticket, None, 0.0, early=True)
    pool.early_room(1, 9, 0.0)
    lent = tuple(Forward(ticket, 1) for ticket in range(9))
    assert pool.ready(1, 20, 0.1, early=True) == lent
    assert pool.submit(9, None, 0.2)[:2] == (Forward(9, 1), Retire(1))


def test_who_is_turned_away_was_never_sent() -> None:
    pool = table(1, waiting=0)
    pool.submit(1, None, 0.0, early=True)
    pool.early_room(1, 5, 0.0)
    assert pool.submit(2, None, 0.0, early=True) == (Reject(2, Rejection.QUEUE_FULL),)


def test_none_goes_on_a_connection_that_is_withdrawn() -> None:
    pool = table(2)
    pool.submit(1, None, 0.0, early=True)
    pool.submit(2, None, 0.0, early=True)
    pool.early_room(1, 5, 0.0)
    pool.draining(1, 0.1)
    assert pool.submit(3, None, 0.2, early=True) == (OpenConnection(3, early=True),)
    assert pool.ready(2, 5, 0.3) == tuple(Forward(ticket, 2) for ticket in (1, 2, 3))


def test_the_end_of_the_pool() -> None:
    pool = table(1)
    pool.submit(1, None, 0.0, early=True)
    pool.early_room(1, 5, 0.0)
    assert pool.stop() == (Reject(1, Rejection.STOPPED), CancelExchange(1, 1))
