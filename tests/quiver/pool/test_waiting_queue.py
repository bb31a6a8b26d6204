"""WaitingQueue by example; tests/properties/test_waiting.py has every sequence."""

from __future__ import annotations

import pytest

from quiver.pool.waiting_queue import SLACK, WaitingQueue


@pytest.fixture
def queue() -> WaitingQueue:
    return WaitingQueue()


def drain(queue: WaitingQueue) -> list[int]:
    return list(iter(queue.pop, None))


def test_first_in_first_out(queue: WaitingQueue) -> None:
    for ticket in (3, 1, 2):
        queue.push(ticket, None)
    assert len(queue) == 3 and 1 in queue and 4 not in queue
    assert drain(queue) == [3, 1, 2]
    assert queue.pop() is None


def test_who_came_back_goes_first_in_the_order_of_return(queue: WaitingQueue) -> None:
    queue.push(1, None)
    queue.push_front(2, None)
    queue.push_front(3, None)
    assert drain(queue) == [2, 3, 1]


@pytest.mark.parametrize("again", [WaitingQueue.push, WaitingQueue.push_front])
@pytest.mark.parametrize("first", [WaitingQueue.push, WaitingQueue.push_front])
def test_nobody_waits_twice(first: object, again: object, queue: WaitingQueue) -> None:
    first(queue, 1, None)  # type: ignore[operator]
    with pytest.raises(ValueError, match="ticket 1 waits already"):
        again(queue, 1, None)  # type: ignore[operator]
    assert drain(queue) == [1]


def test_discard_takes_out_of_the_middle(queue: WaitingQueue) -> None:
    for ticket in (1, 2, 3):
        queue.push(ticket, 5.0)
    assert queue.discard(2)
    assert not queue.discard(2)
    assert drain(queue) == [1, 3]


def test_a_deadline_is_met_at_its_very_time(queue: WaitingQueue) -> None:
    queue.push(1, 2.0)
    queue.push(2, 1.0)
    queue.push(3, None)
    assert queue.next_deadline() == 1.0
    assert queue.expired(0.999) == []
    assert queue.expired(2.0) == [2, 1]
    assert queue.next_deadline() is None
    assert drain(queue) == [3]


def test_the_deadline_of_one_who_left_means_nothing(queue: WaitingQueue) -> None:
    queue.push(1, 1.0)
    queue.push(2, 3.0)
    queue.pop()
    assert queue.next_deadline() == 3.0
    queue.push_front(1, 9.0)  # it is back, with more time
    assert queue.expired(1.0) == []
    assert queue.expired(9.0) == [2, 1]


def test_entries_left_behind_are_thrown_out(queue: WaitingQueue) -> None:
    for ticket in range(10 * SLACK):
        queue.push(ticket, 1e6 - ticket)
        queue.pop()
    assert len(queue._heap) <= SLACK
