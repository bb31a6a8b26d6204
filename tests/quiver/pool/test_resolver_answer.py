"""What a resolver may answer, and what is told of an answer that is none."""

from __future__ import annotations

import ipaddress
import itertools
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.pool.resolver_answer import LONGEST, WrongAnswer, addresses_of, spelled_out

V4 = socket.AF_INET, ("192.0.2.1", 443)
V6 = socket.AF_INET6, ("2001:db8::1", 443, 0, 0)
LOOPBACK = socket.if_nametoindex("lo")


class Record:
    """As dnspython has it."""

    address = "192.0.2.1"

    def __repr__(self) -> str:
        return "Record()"


class Unspeakable:
    def __repr__(self) -> str:
        raise LookupError


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("192.0.2.1", V4),
        ("2001:db8:0::1", V6),
        (ipaddress.ip_address("192.0.2.1"), V4),
        (ipaddress.ip_address("2001:db8::1"), V6),
        (Record(), V4),
        (("192.0.2.1", 443), V4),
        (("192.0.2.1", 0), V4),
        (("192.0.2.1", None), V4),
        (("192.0.2.1", 8443), (socket.AF_INET, ("192.0.2.1", 8443))),
        (("2001:db8::1", 443, 0, 0), V6),
        ((socket.AF_INET, ("192.0.2.1", 443)), V4),
        ((2, ["192.0.2.1", 0]), V4),
        ((socket.AF_INET6, ("2001:db8::1", 443)), V6),
        ((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443)), V4),
        ((socket.AF_INET6, 0, 0, "", ("2001:db8::1", 0, 0, 0)), V6),
        ("fe80::1%lo", (socket.AF_INET6, ("fe80::1", 443, 0, LOOPBACK))),
        ("fe80::1%7", (socket.AF_INET6, ("fe80::1", 443, 0, 7))),
        (("fe80::1%lo", 443, 0, 9), (socket.AF_INET6, ("fe80::1", 443, 0, 9))),
    ],
    ids=repr,
)
def test_an_address_in_many_forms(entry: Any, expected: Any) -> None:
    assert addresses_of([entry], 443) == (expected,)


def test_all_of_the_standard_library() -> None:
    found = addresses_of(socket.getaddrinfo("127.0.0.1", 443), 443)
    assert found == ((socket.AF_INET, ("127.0.0.1", 443)),), "once, not for each kind of socket"


def test_each_once_in_their_order() -> None:
    def answer() -> Iterator[Any]:
        yield from ("2001:db8::1", "192.0.2.1", "2001:db8::1", ("192.0.2.1", 443))

    assert addresses_of(answer(), 443) == (V6, V4)


def test_an_answer_without_end() -> None:
    many = (f"10.0.{n // 256 % 256}.{n % 256}" for n in itertools.count())
    assert len(addresses_of(many, 443)) == LONGEST


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([], "returned no address"),
        ((), "returned no address"),
        (None, "returned None: a list of addresses was expected"),
        ("192.0.2.1", "returned '192.0.2.1': a list of addresses was expected"),
        (b"\1\2\3\4", "a list of addresses was expected"),
        ({"host": "192.0.2.1"}, "a list of addresses was expected"),
        (5, "returned 5: a list"),
        ([5], "returned 5, which is no address: a list of addresses was expected"),
        ([None], "returned None, which is no address"),
        ([b"\1\2\3\4"], "which is no address"),
        (["a.example"], "returned 'a.example', which is no address: it is neither IPv4 nor IPv6"),
        ([""], "returned '', which is no address"),
        (["192.0.2.1:443"], "which is no address"),
        (["192.0.2.1", "a.example"], "returned 'a.example', which is no address"),
        ([("a.example", 443)], "which is no address"),
        ([("192.0.2.1", 65_536)], "its port is not between 1 and 65535"),
        ([("192.0.2.1", -1)], "its port is not between 1 and 65535"),
        ([("192.0.2.1", True)], "its port is not between"),
        ([(socket.AF_INET6, ("192.0.2.1", 1))], "it is of IPv4, and its family"),
        ([(socket.AF_UNIX, "/run/socket")], "which is no address"),
        ([(socket.AF_UNIX, 1, 0, "", "/run/socket")], "which is no address"),
        ([("2001:db8::1", 443, "x", 0)], "its flow or scope is no number"),
        ([()], "which is no address"),
        ([(socket.AF_INET, ())], "which is no address"),
        (["fe80::1%absent0"], "which is no address: there is no interface 'absent0'"),
        (["x" * 5_000], "which is no address"),
        ([Unspeakable()], "Unspeakable instance"),
        (Unspeakable(), "Unspeakable instance"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_answer(answer: Any, said: str) -> None:
    with pytest.raises(WrongAnswer) as caught:
        addresses_of(answer, 443)
    assert said.lower() in str(caught.value).lower()
    assert len(str(caught.value)) < 400


def test_a_coroutine_is_no_answer() -> None:
    """And no warning that nobody has awaited it."""

    async def look_up() -> list[str]:
        return ["192.0.2.1"]

    with pytest.raises(WrongAnswer, match="returned an awaitable"):
        addresses_of(look_up(), 443)


ODD = st.recursive(
    st.none() | st.integers() | st.text() | st.binary() | st.ip_addresses() | st.floats(),
    lambda inner: st.lists(inner, max_size=5) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(ODD)
def test_whatever_is_answered(answer: Any) -> None:
    try:
        found = addresses_of(answer, 443)
    except WrongAnswer:
        return
    for family, (host, port, *_) in found:
        socket.inet_pton(family, host)
        assert 0 < port < 65_536


def test_what_digits_spell_out() -> None:
    assert spelled_out("192.0.2.1", 443) == V4
    assert spelled_out("2001:db8::1", 443) == V6
    assert spelled_out("a.example", 443) is None
    assert spelled_out("a\0b", 443) is None
