"""AddressMemory: what worked is remembered for a while, for so many origins."""

from __future__ import annotations

import socket

from quiver.pool.address_memory import KEPT, AddressMemory, Worked

A, B = "https://a.example", "https://b.example"
ONE = Worked((socket.AF_INET, ("192.0.2.1", 443)), "192.0.2.77")
TWO = Worked((socket.AF_INET, ("192.0.2.2", 443)), "192.0.2.77")


def test_what_worked_last_is_recalled() -> None:
    memory = AddressMemory()
    assert memory.recall(A, 0.0) is None
    memory.worked(A, ONE, 0.0)
    memory.worked(B, ONE, 0.0)
    memory.worked(A, TWO, 1.0)
    assert (memory.recall(A, 2.0), memory.recall(B, 2.0)) == (TWO, ONE)


def test_it_holds_for_a_while_since_it_worked() -> None:
    memory = AddressMemory()
    memory.worked(A, ONE, 0.0)
    memory.worked(A, ONE, 100.0)
    assert memory.recall(A, KEPT + 99.0) == ONE
    assert memory.recall(A, KEPT + 100.0) is None
    assert not len(memory), "it holds no more"


def test_the_origin_that_worked_longest_ago_goes_first() -> None:
    memory = AddressMemory(most=2)
    for origin in (A, B, A, "https://c.example"):
        memory.worked(origin, ONE, 0.0)
    assert [memory.recall(each, 1.0) for each in (A, B, "https://c.example")] == [ONE, None, ONE]
