"""Spoken: what a pool is said to speak, and which connections make way for others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quiver.pool.choice import HTTP3
from quiver.pool.spoken import Spoken


def test_the_first_handshake_tells() -> None:
    assert Spoken(None).protocol is None
    spoken = Spoken(None)
    assert spoken.ready(1, "http/2") == ()
    assert (spoken.protocol, spoken.over_tcp) == ("http/2", [1])
    spoken.ended(1)
    assert (spoken.protocol, spoken.over_tcp) == ("http/2", []), "as far as is known"
    spoken.ready(2, "http/1.1")
    assert spoken.protocol == "http/1.1"


def test_those_over_tcp_make_way_for_http_3() -> None:
    spoken = Spoken(None)
    spoken.ready(1, "http/2")
    spoken.ready(2, "http/2")
    assert spoken.ready(3, HTTP3) == (1, 2)
    for each in (1, 2):
        spoken.draining(each)
    assert (spoken.protocol, spoken.over_tcp) == (HTTP3, [])
    assert spoken.ready(4, HTTP3) == ()


def test_one_over_tcp_beside_http_3_is_kept() -> None:
    spoken = Spoken(None)
    spoken.ready(1, HTTP3)
    assert spoken.ready(2, "http/2") == ()
    assert (spoken.protocol, spoken.over_tcp) == (HTTP3, [2])
    spoken.draining(1)
    assert spoken.protocol == "http/2"
    spoken.ended(1)
    assert spoken.protocol == "http/2"


def test_who_asks_again_is_done_when_a_dial_is() -> None:
    spoken = Spoken(None)
    assert spoken.beside(lambda: True) is None, "there is none"
    spoken.ready(1, "http/2")
    spoken.ready(2, "http/2")
    assert spoken.beside(lambda: False) is None, "it is not time"
    assert spoken.beside(lambda: True) == 1
    spoken.draining(1)
    spoken.ended(1)
    assert spoken.beside(lambda: True) is None, "one is dialled; that one was there before"
    spoken.ended(3)
    assert spoken.beside(lambda: True) == 2
    spoken.ready(4, "http/2")
    assert spoken.beside(lambda: True) == 2
    spoken.ready(5, HTTP3)
    spoken.draining(2)
    spoken.draining(4)
    assert spoken.beside(lambda: True) is None


def test_of_one_protocol_nothing_is_asked() -> None:
    spoken = Spoken("http/2")
    assert spoken.ready(1, "http/2") == ()
    spoken.draining(1)
    spoken.ended(1)
    assert (spoken.protocol, spoken.over_tcp) == ("http/2", [])


@given(st.lists(st.tuples(st.sampled_from("rdesu"), st.integers(0, 3), st.booleans()), max_size=60))
def test_it_says_http_3_while_there_is_any(events: list[tuple[str, int, bool]]) -> None:
    spoken, lending, suspended, number = Spoken(None), dict[int, str](), set[int](), 0
    for event, which, is_h3 in events:
        if event == "r":
            number += 1
            protocol = HTTP3 if is_h3 else "http/2"
            left = spoken.ready(number, protocol)
            assert left == (tuple(k for k, v in lending.items() if v != HTTP3) if is_h3 else ())
            lending[number] = protocol
            for each in left:
                spoken.draining(each)
                del lending[each]
        elif event in "su":
            spoken.suspended(number - which, event == "s")
            (suspended.add if event == "s" else suspended.discard)(number - which)
            suspended &= set(lending)
        else:
            (spoken.draining if event == "d" else spoken.ended)(number - which)
            lending.pop(number - which, None)
            suspended.discard(number - which)
        assert spoken.over_tcp == [k for k, v in lending.items() if v != HTTP3]
        if lending:
            taking = [lending[each] for each in lending if each not in suspended]
            assert (spoken.protocol == HTTP3) == (HTTP3 in (taking or lending.values()))
        assert spoken.http3 == (HTTP3 in lending.values())


def test_those_that_speak_something_else() -> None:
    spoken = Spoken(None)
    for number, protocol in enumerate(["http/2", "http/1.1", "http/2", "http/3"]):
        spoken.ready(number, protocol)
    spoken.draining(2)
    assert spoken.others("http/1.1") == (0, 3)


def test_what_is_suspended_is_not_spoken_beside_others() -> None:
    spoken = Spoken(None)
    spoken.ready(1, HTTP3)
    spoken.suspended(1, True)
    assert spoken.protocol == HTTP3, "there is nothing else"
    spoken.ready(2, "http/2")
    assert (spoken.protocol, spoken.http3) == ("http/2", True)
    spoken.suspended(1, False)
    assert spoken.protocol == HTTP3
    spoken.suspended(1, True)
    spoken.ended(1)
    assert (spoken.protocol, spoken.http3) == ("http/2", False)
    spoken.suspended(1, True)
    assert spoken.protocol == "http/2", "it is gone"
