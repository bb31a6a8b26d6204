"""RestartIntensity, by hypothesis."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quiver.actors.restarts import RestartIntensity


@given(
    st.integers(0, 5),
    st.integers(0, 20),
    st.lists(st.integers(0, 10), max_size=60),
)
def test_refused_exactly_when_one_too_many_in_the_period(
    max_restarts: int, within: int, gaps: list[int]
) -> None:
    intensity = RestartIntensity(max_restarts, float(within))
    times: list[int] = []
    for gap in gaps:
        times.append((times[-1] if times else 0) + gap)
        recent = [each for each in times[:-1] if each > times[-1] - within]
        counted = len(recent) + (within > 0)  # in a period of no length nothing counts
        assert intensity.restart(float(times[-1])) == (counted <= max_restarts)
    assert len(intensity._times) <= max_restarts + 1  # bounded, however often
