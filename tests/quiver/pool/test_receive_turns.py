"""A connection's share of the loop: no turn takes longer than a slice and a chunk, none waits."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from quiver.pool.receive_turns import CHUNK, FIRST, MOST, SLICE, TURNS, Lane, Overdue, ReceiveShare

COSTS = st.floats(1e-6, 0.05)  # seconds for a datagram, all told


def turn(share: ReceiveShare, each: float, there: int = 1_000_000) -> tuple[int, float]:
    """Take one where each datagram costs so much: how many were taken, and how long it took."""
    taken, seconds = 0, 0.0
    while True:
        chunk = min(share.datagrams, there - taken)
        taken += chunk
        seconds += chunk * each
        if not share.took(chunk, chunk * each, taken < there):
            return taken, seconds


@given(st.lists(st.tuples(COSTS, st.integers(0, 2_000)), min_size=1))
@example([(0.03125, 17), (0.00390625, 3), (0.001953125, 5), (1e-05, 257)])
def test_a_turn_takes_a_slice_and_one_chunk(turns: list[tuple[float, int]]) -> None:
    share = ReceiveShare()
    for each, there in turns:
        largest = share.datagrams
        assert 1 <= largest <= CHUNK
        taken, seconds = turn(share, each, there)
        assert seconds <= SLICE + CHUNK * each
        assert taken <= MOST
        assert taken > 0 or not there


def test_cheap_ones_are_taken_in_longer_and_longer_rows() -> None:
    share = ReceiveShare()
    assert [turn(share, 1e-6)[0] for _ in range(5)] == [32, 64, 128, 256, 256]
    turn(share, 1e-6, 40)
    assert turn(share, 1e-6, 20)[0] == 20
    assert turn(share, 1e-6)[0] == FIRST, "a new row begins with a few"


def test_dear_ones_get_a_slice() -> None:
    share = ReceiveShare()
    turn(share, 0.002)
    assert all(turn(share, 0.002)[1] <= 2 * SLICE for _ in range(20))


def test_a_read_that_is_dear_alone_brings_less_until_it_is_not() -> None:
    """Of a stream of bytes: 64 KiB of it may be thousands of small frames."""
    share, turns = ReceiveShare(), 0
    share.took(1, 0.1, True)
    for _ in range(50):
        assert share.part * 0.1 <= 2 * SLICE
        share.took(1, share.part * 0.1, True)
    while not share.is_fresh:
        share.took(1, 1e-5, False)
        turns += 1
    assert share.part == 1.0 and turns <= CHUNK


def test_cheap_ones_in_between_earn_no_large_chunk() -> None:
    """One who sends many cheap ones before each row of dear ones holds the others up no longer."""
    share, total, turns = ReceiveShare(), 0.0, 0
    for _ in range(200):
        while share.datagrams < CHUNK:
            total += turn(share, 1e-6)[1]
            turns += 1
        total += turn(share, 0.005)[1]
        turns += 1
    assert total / turns < 2 * SLICE


def test_it_is_fresh_when_there_is_nothing_to_remember() -> None:
    share = ReceiveShare()
    assert share.is_fresh
    assert not share.took(1, 0.1, False) and not share.is_fresh, "its chunks are short from now on"
    for _ in range(CHUNK):
        share.took(1, 1e-6, False)
    assert share.is_fresh
    assert share.took(FIRST // 2, 1e-6, True) and not share.is_fresh, "it is amid a turn"


def test_dear_turns_are_told_apart_from_one_that_was() -> None:
    share = ReceiveShare()
    turn(share, 0.002, 3)
    assert not share.dear, "as a handshake may be"
    turn(share, 1e-5, 3)
    assert not share.dear
    for _ in range(5):
        _, seconds = turn(share, 0.002)
    assert share.dear == seconds
    for _ in range(CHUNK):
        turn(share, 1e-5, 3)
        assert not share.dear
    turn(share, 1e-6)
    assert not share.dear, "nor are many cheap ones, which make a long turn"


@given(st.lists(st.floats(1e-4, 0.02), min_size=1, max_size=8), st.integers(1, 50))
def test_dear_turns_take_half_of_the_time_and_all_have_theirs(
    costs: list[float], rounds: int
) -> None:
    """However many they are, and whatever else there is to do."""
    lane, now, spent = Lane(), 0.0, 0.0
    due = dict.fromkeys(range(len(costs)), 0.0)
    count = dict.fromkeys(due, 0)
    for _ in range(rounds * len(costs)):
        who = min(due, key=lambda each: (due[each], each))
        now = max(now, due[who]) + costs[who]
        spent += costs[who]
        due[who] = now + lane.rest(costs[who], now)
        assert due[who] >= now + costs[who]
        count[who] += 1
    assert spent <= 0.5 * now + 2 * sum(costs)  # the first round has no lane yet
    assert max(count.values()) - min(count.values()) <= max(count.values()) / 2 + 2


def test_what_is_overdue_waits_until_nothing_is_left() -> None:
    overdue = Overdue()
    assert not overdue.keys
    overdue.add("sweep")
    assert overdue.due(more=True) == ()
    overdue.add(("settings", 1))
    overdue.add("sweep")
    assert list(overdue.keys) == ["sweep", ("settings", 1)]
    assert overdue.due(more=True) == ()
    assert overdue.due(more=False) == ("sweep", ("settings", 1))
    assert not overdue.keys


def test_of_one_who_sends_without_end_it_is_judged_all_the_same() -> None:
    overdue = Overdue()
    overdue.add("sweep")
    for turns in range(1, TURNS):
        overdue.add(turns % 3)
        assert overdue.due(more=True) == ()
    assert set(overdue.due(more=True)) == {"sweep", 0, 1, 2}
    overdue.add("sweep")
    assert overdue.due(more=True) == ()


def test_a_row_of_large_reads_is_not_dear_for_its_length() -> None:
    """A body over TCP: two MiB in a row take longer than a slice, and no read of them does."""
    share = ReceiveShare(reads=True)
    for _ in range(20):
        reads = share.datagrams
        share.took(reads, reads * 0.0002, True)
        assert not share.dear
    assert share.datagrams * 0.0002 < 1.1 * SLICE, "but the others have their turn in between"


def test_reads_are_dear_where_one_alone_is() -> None:
    share = ReceiveShare(reads=True)
    share.took(1, 0.09, True)
    assert not share.dear, "as a handshake may be"
    share.took(1, 0.005, True)
    assert share.dear == 0.005
