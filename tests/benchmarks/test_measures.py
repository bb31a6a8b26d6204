from __future__ import annotations

from benchmarks.measures import Scale, find

CLIENTS = ("quiver-threads", "quiver-client", "bare")


def test_each_round_begins_with_another_client() -> None:
    upload, scale = find("up"), Scale()
    first, second = upload.at(scale)
    assert list(upload.cases(CLIENTS, scale, turn=1)) == [
        ("quiver-client", first),
        ("bare", first),
        ("quiver-threads", first),
        ("quiver-client", second),
        ("bare", second),
        ("quiver-threads", second),
    ]


def test_after_all_of_them_the_first_begins_again() -> None:
    upload, scale = find("up"), Scale()
    assert list(upload.cases(CLIENTS, scale, turn=3)) == list(upload.cases(CLIENTS, scale))


def test_a_measure_of_none_of_the_clients_has_no_cases() -> None:
    assert list(find("up").cases((), Scale(), turn=2)) == []
