"""PathChanges: what a look at our own address leads to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quiver.pool.path_changes import AWAY, MOVES, PERIOD, ROOM, Outlook, PathChanges

HERE, THERE, ELSEWHERE = "10.0.0.1", "10.0.0.2", "10.0.0.3"


def test_the_same_address_is_no_change() -> None:
    changes = PathChanges()
    assert changes.looked(HERE, HERE, 1.0) is Outlook.UNCHANGED
    assert not changes.waits(1.0)


def test_another_address_is_one() -> None:
    assert PathChanges().looked(HERE, THERE, 1.0) is Outlook.CHANGED


def test_looks_are_not_as_many_as_errors() -> None:
    changes = PathChanges()
    assert changes.may_look(0.0)
    changes.looked(HERE, HERE, 1.0)
    assert not changes.may_look(1.001)
    assert changes.may_look(1.1)


def test_no_way_at_all_is_waited_for_and_not_for_ever() -> None:
    changes = PathChanges()
    assert changes.looked(HERE, None, 1.0) is Outlook.AWAY
    assert changes.looked(HERE, None, 5.0) is Outlook.AWAY
    assert changes.waits(0.9 + AWAY) and not changes.waits(1.1 + AWAY)
    assert changes.looked(HERE, HERE, 6.0) is Outlook.UNCHANGED
    assert changes.waits(6.9) and not changes.waits(7.1), "the server has a second"
    assert changes.looked(HERE, None, 30.0) is Outlook.AWAY
    assert changes.waits(39.0), "it counts from the new one on"


def test_another_connection_may_go_another_way() -> None:
    changes = PathChanges()
    assert not changes.makes_room(1.0)
    changes.looked(HERE, None, 1.0)
    assert not changes.makes_room(0.9 + ROOM) and changes.makes_room(1.0 + ROOM)
    changes.looked(HERE, HERE, 4.0)
    assert not changes.makes_room(9.0)


def test_who_flaps_has_to_wait() -> None:
    changes, now = PathChanges(), 100.0
    for _ in range(MOVES):
        assert changes.looked(HERE, THERE, now) is Outlook.CHANGED
        changes.moved(now)
        now += 0.1
    assert changes.looked(HERE, THERE, now) is Outlook.LATER
    assert changes.waits(now)
    assert changes.looked(HERE, THERE, 100.0 + PERIOD) is Outlook.CHANGED


def test_one_that_stays_has_seen_that_address() -> None:
    changes = PathChanges()
    changes.looked(HERE, THERE, 1.0)
    changes.keep(THERE)
    assert changes.looked(HERE, THERE, 2.0) is Outlook.UNCHANGED
    assert changes.looked(HERE, ELSEWHERE, 3.0) is Outlook.CHANGED


@given(st.lists(st.tuples(st.sampled_from([HERE, THERE, ELSEWHERE, None]), st.floats(0.0, 2.0))))
def test_moves_are_bounded_whatever_is_found(looks: list[tuple[str | None, float]]) -> None:
    changes, now, here, moves = PathChanges(), 0.0, HERE, list[float]()
    for found, pause in looks:
        now += pause
        outlook = changes.looked(here, found, now)
        assert (outlook is Outlook.AWAY) == (found is None)
        if outlook is Outlook.CHANGED and found is not None:
            changes.moved(now)
            moves.append(now)
            here = found
    assert all(late - early >= PERIOD for early, late in zip(moves, moves[MOVES:], strict=False))
