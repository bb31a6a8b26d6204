from __future__ import annotations

from itertools import pairwise

import pytest

from benchmarks.workloads.measures import Scale, find

CLIENTS = (
    "quiver-threads",
    "quiver-client",
    "niquests-threads",
    "curl_cffi-async",
    "bare",
    "httpx-http1",
)


def _orders(clients: tuple[str, ...]) -> list[list[str]]:
    """Of as many turns as there are clients."""
    upload, scale = find("up"), Scale()
    rows = []
    for turn in range(len(clients)):
        cases = list(upload.cases(clients, scale, turn))
        first, second = ([client for client, at in cases if at == point] for point in upload.points)
        assert first == second
        rows.append(first)
    return rows


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_each_turn_begins_with_another_client(count: int) -> None:
    rows = _orders(CLIENTS[:count])
    assert sorted(row[0] for row in rows) == sorted(CLIENTS[:count])
    assert all(sorted(row) == sorted(CLIENTS[:count]) for row in rows)


def test_each_client_follows_another_one_in_each_turn() -> None:
    pairs = [pair for row in _orders(CLIENTS) for pair in pairwise(row)]
    assert len(set(pairs)) == len(pairs) == len(CLIENTS) * (len(CLIENTS) - 1)


def test_after_all_of_them_the_first_turn_begins_again() -> None:
    upload, scale = find("up"), Scale()
    assert list(upload.cases(CLIENTS, scale, turn=6)) == list(upload.cases(CLIENTS, scale))


def test_a_measure_of_none_of_the_clients_has_no_cases() -> None:
    assert list(find("up").cases((), Scale(), turn=2)) == []
