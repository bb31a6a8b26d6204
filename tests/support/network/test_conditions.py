"""What the emulator does to datagrams, without a network."""

from __future__ import annotations

import itertools

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.network.conditions import (
    BOTH,
    CLEAR,
    Conditions,
    Delivery,
    Direction,
    NetworkEmulator,
    a_seed,
)

UP, DOWN = Direction.UP, Direction.DOWN
MANY = 2_000
DATAGRAM = bytes(range(200))

shares = st.floats(0.0, 1.0)
any_conditions = st.builds(
    Conditions,
    loss=shares,
    duplicate=shares,
    corrupt=shares,
    truncate=shares,
    reorder=shares,
    delay=st.floats(0.0, 1.0),
    jitter=st.floats(0.0, 1.0),
    largest=st.none() | st.integers(0, 200),
    rate=st.none() | st.floats(1_000.0, 1e9),
    lose=st.frozensets(st.integers(0, 50)),
)


def carried(
    emulator: NetworkEmulator, count: int = MANY, step: float = 0.001
) -> list[list[Delivery]]:
    """The deliveries of `count` datagrams of one client, sent `step` seconds apart."""
    return [list(emulator.carry(DATAGRAM, UP, 0, n, 100 + step * n)) for n in range(count)]


def share_of(conditions: Conditions) -> float:
    """The share of MANY datagrams that do not arrive once and whole."""
    ways = carried(NetworkEmulator(1, conditions))
    whole = [len(way) == 1 and way[0].datagram == DATAGRAM for way in ways]
    return 1 - sum(whole) / MANY


def test_clear_conditions_change_nothing() -> None:
    ways = carried(NetworkEmulator(1))
    assert ways == [[Delivery(100 + 0.001 * n, DATAGRAM)] for n in range(MANY)]


@pytest.mark.parametrize("name", ["loss", "duplicate", "corrupt", "truncate"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 1.0])
def test_a_share_is_kept(name: str, share: float) -> None:
    conditions = Conditions(**{name: share})  # type: ignore[arg-type]
    assert share_of(conditions) == pytest.approx(share, abs=0.05)


def test_corruption_flips_one_bit() -> None:
    for (delivery,) in carried(NetworkEmulator(1, Conditions(corrupt=1.0))):
        pairs = zip(delivery.datagram, DATAGRAM, strict=True)
        assert sum((ours ^ theirs).bit_count() for ours, theirs in pairs) == 1


def test_truncation_keeps_the_beginning() -> None:
    for (delivery,) in carried(NetworkEmulator(1, Conditions(truncate=1.0))):
        assert len(delivery.datagram) < len(DATAGRAM)
        assert DATAGRAM.startswith(delivery.datagram)


def test_delay_and_jitter_are_within_their_bounds() -> None:
    ways = carried(NetworkEmulator(1, Conditions(delay=0.2, jitter=0.1)))
    lags = [way[0].at - (100 + 0.001 * n) for n, way in enumerate(ways)]
    assert min(lags) == pytest.approx(0.2, abs=0.01)
    assert max(lags) == pytest.approx(0.3, abs=0.01)


def test_reordering_puts_some_behind_later_ones() -> None:
    ways = carried(NetworkEmulator(1, Conditions(reorder=0.2, reorder_delay=0.0105)))
    times = [way[0].at for way in ways]
    overtaken = sum(first > second for first, second in itertools.pairwise(times))
    assert overtaken / MANY == pytest.approx(0.2 * 0.8, abs=0.03)


def test_a_throttled_line_sends_at_its_rate_and_drops_what_it_cannot_hold() -> None:
    ways = carried(NetworkEmulator(1, Conditions(rate=20_000.0)))  # a tenth of what is asked of it
    times = [way[0].at for way in ways if way]
    assert len(times) / (times[-1] - 100) == pytest.approx(20_000 / len(DATAGRAM), rel=0.02)
    assert times[-1] - (100 + 0.001 * MANY) <= 0.51


def test_named_datagrams_are_lost_for_each_client() -> None:
    emulator = NetworkEmulator(1, Conditions(lose={0, 2}))
    for client in (0, 1):
        arrived = [n for n in range(5) if emulator.carry(DATAGRAM, UP, client, n, 0.0)]
        assert arrived == [1, 3, 4]
    assert emulator.carry(DATAGRAM, DOWN, 0, 0, 0.0)


def test_longer_datagrams_than_the_path_takes_are_lost() -> None:
    emulator = NetworkEmulator(1, Conditions(largest=100))
    assert emulator.carry(bytes(100), UP, 0, 0, 0.0)
    assert not emulator.carry(bytes(101), UP, 0, 1, 0.0)


def test_darkness_ends_when_its_time_is_over() -> None:
    emulator = NetworkEmulator(1)
    emulator.change((UP,), dark_until=5.0)
    assert not emulator.carry(DATAGRAM, UP, 0, 0, 4.99)
    assert emulator.carry(DATAGRAM, UP, 0, 1, 5.0)
    assert emulator.carry(DATAGRAM, DOWN, 0, 0, 4.99)


def test_a_change_keeps_the_rest_and_new_conditions_do_not() -> None:
    emulator = NetworkEmulator(1, Conditions(lose={0}), Conditions(lose={0}))
    emulator.change(BOTH, lose={1})
    assert emulator.carry(DATAGRAM, UP, 0, 0, 0.0) and not emulator.carry(DATAGRAM, UP, 0, 1, 0.0)
    emulator.become(CLEAR, CLEAR)
    assert emulator.carry(DATAGRAM, UP, 0, 1, 0.0)


@given(seed=st.integers(0, 1 << 32), conditions=any_conditions)
def test_the_same_seed_has_the_same_fates(seed: int, conditions: Conditions) -> None:
    first, second = NetworkEmulator(seed, conditions), NetworkEmulator(seed, conditions)
    assert carried(first, 20) == carried(second, 20)


@given(conditions=any_conditions)
def test_fates_are_sane(conditions: Conditions) -> None:
    for number, way in enumerate(carried(NetworkEmulator(7, conditions), 20)):
        assert len(way) <= 2
        assert all(delivery.at >= 100 + 0.001 * number for delivery in way)
        assert all(len(delivery.datagram) <= len(DATAGRAM) for delivery in way)


@given(conditions=any_conditions, order=st.permutations(range(10)))
def test_the_order_of_deciding_does_not_matter(conditions: Conditions, order: list[int]) -> None:
    """A throttled line apart, where it is the point."""
    free = attrs.evolve(conditions, rate=None)
    in_turn, mixed = NetworkEmulator(3, free), NetworkEmulator(3, free)
    fates = {n: in_turn.carry(DATAGRAM, UP, 0, n, 1.0) for n in range(10)}
    assert {n: mixed.carry(DATAGRAM, UP, 0, n, 1.0) for n in order} == fates


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_beyond_one_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="loss"):
        Conditions(loss=share)


def test_the_seed_of_the_environment_is_taken_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QUIVER_SEED", "42")
    assert a_seed() == 42
    assert "QUIVER_SEED=42" in capsys.readouterr().out
    monkeypatch.delenv("QUIVER_SEED")
    assert a_seed() != a_seed()
