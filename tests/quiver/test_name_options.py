"""The options `resolve` and `resolver`: what they take, and in which words they refuse the rest."""

from __future__ import annotations

import functools
import ipaddress
import pickle
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from quiver.config import PoolConfig
from quiver.errors import InvalidOptions
from quiver.name_options import HostAddresses


def resolve_of(given: Any) -> HostAddresses:
    made = PoolConfig.build(resolve=given).resolve
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("given", "host", "port", "found"),
    [
        ({"a.example:443": ["192.0.2.1"]}, "a.example", 443, ("192.0.2.1",)),
        (
            {"A.Example:443": "192.0.2.1, 2001:DB8::1"},
            "a.example",
            443,
            ("192.0.2.1", "2001:db8::1"),
        ),
        ({"bücher.example:8443": ("[::1]",)}, "xn--bcher-kva.example", 8443, ("::1",)),
        ({"[2001:DB8:0::1]:443": ["::1"]}, "2001:db8::1", 443, ("::1",)),
        ({"192.0.2.9:443": ["192.0.2.1"]}, "192.0.2.9", 443, ("192.0.2.1",)),
        ({"*:443": ["192.0.2.1"]}, "any.example", 443, ("192.0.2.1",)),
        ({"*:443": ["192.0.2.1"]}, "2001:db8::1", 443, ("192.0.2.1",)),
        ({"*:443": ["192.0.2.1"]}, "any.example", 444, None),
        ({"*:443": ["192.0.2.1"], "a:443": ["192.0.2.2"]}, "a", 443, ("192.0.2.2",)),
        ({"a:443": ["192.0.2.1"]}, "b", 443, None),
        ({"a:443": ["192.0.2.1"]}, "a", 444, None),
        ({"a:443": {"192.0.2.1": 0}.keys()}, "a", 443, ("192.0.2.1",)),
        ({"a:443": [ipaddress.ip_address("::1")]}, "a", 443, ("::1",)),
        ({"a:443": ["fe80::1%eth0"]}, "a", 443, ("fe80::1%eth0",)),
        ({"a:443": ["::1", "127.0.0.1", "::1"]}, "a", 443, ("::1", "127.0.0.1")),
        ({}, "a", 443, None),
    ],
    ids=repr,
)
def test_what_is_found(given: Any, host: str, port: int, found: object) -> None:
    assert resolve_of(given).find(host, port) == found


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"a.example": ["::1"]},
            r"resolve\['a.example'\]: there is no port: did you mean 'a.example:443'",
        ),
        ({"[::1]": ["::1"]}, r"there is no port: did you mean '\[::1\]:443'"),
        ({"::1": ["::1"]}, r"lacks its brackets: did you mean '\[::1\]:443'"),
        ({"https://a:443": ["::1"]}, "not a URL"),
        ({"a:443/": ["::1"]}, "not a URL"),
        ({"a:x": ["::1"]}, "the port 'x' is no number"),
        ({"a:": ["::1"]}, "the port '' is no number"),
        ({"a:0": ["::1"]}, "the port is not between 1 and 65535"),
        ({"a:65536": ["::1"]}, "the port is not between 1 and 65535"),
        ({"a:443443": ["::1"]}, "the port is too long"),
        ({":443": ["::1"]}, "there is no host"),
        ({"[]:443": ["::1"]}, "brackets are for IPv6"),
        ({"[a]:443": ["::1"]}, "brackets are for IPv6"),
        ({"*.example:443": ["::1"]}, "the host is no name and no address"),
        ({"a b:443": ["::1"]}, "the host is no name"),
        ({443: ["::1"]}, r"resolve\[443\]: a key is 'host:port', a str"),
        ({"a:443": ["::1"], "A:443": ["::1"]}, r"resolve\['A:443'\]: there is another entry"),
        ({"a:443": []}, r"resolve\['a:443'\]: there is no address"),
        ({"a:443": ""}, "'' is no address"),
        ({"a:443": "::1,"}, "'' is no address"),
        ({"a:443": None}, "None: must be a list of addresses"),
        ({"a:443": 5}, "5: must be a list of addresses"),
        ({"a:443": b"::1"}, "must be a list of addresses"),
        ({"a:443": {"::1": 1}}, "must be a list of addresses"),
        ({"a:443": [5]}, "5 is no address"),
        ({"a:443": ["b.example"]}, "'b.example' is no address, but a name: it is not looked up"),
        (
            {"a:443": ["127.0.0.1:8443"]},
            "'127.0.0.1:8443' is no address: the port is that",
        ),
        ({"a:443": ["[::1]:8443"]}, "is no address: the port is that of the key"),
        ({"a:443": ["127.1"]}, "'127.1' is no address"),
        ("a:443:::1", r"did you mean \{'a:443': \['::1'\]\}\?"),
        (["a:443:::1"], "must be a mapping of 'host:port' to addresses"),
        (5, "resolve=5: must be a mapping of 'host:port' to addresses, as .*, or None"),
    ],
    ids=repr,
)
def test_what_is_refused(given: Any, said: str) -> None:
    with pytest.raises(InvalidOptions, match=said):
        PoolConfig.build(resolve=given)


def test_one_option_is_a_value() -> None:
    """So that a config stays one: it can be compared, hashed, copied and pickled."""
    given = {"a:443": ["192.0.2.1"], "*:80": ["::1"]}
    one, other = PoolConfig.build(resolve=given), PoolConfig.build(resolve=dict(given))
    assert one == other
    assert hash(one) == hash(other)
    assert pickle.loads(pickle.dumps(one)) == one
    assert PoolConfig.build(resolve=one.resolve) == one
    assert one != PoolConfig.build(resolve={"a:443": ["192.0.2.2"], "*:80": ["::1"]})
    assert dict(one.resolve or {}) == {"a:443": ("192.0.2.1",), "*:80": ("::1",)}
    assert "a:443" in repr(one)
    given["a:443"].append("192.0.2.3")
    assert one == other, "what is done to it afterwards is no option"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.example:443:192.0.2.1", {"a.example:443": ("192.0.2.1",)}),
        ("A:443:192.0.2.1,::1", {"a:443": ("192.0.2.1", "::1")}),
        ("a:443:[2001:db8::1],[::1]", {"a:443": ("2001:db8::1", "::1")}),
        ("[::1]:443:127.0.0.1", {"[::1]:443": ("127.0.0.1",)}),
        ("*:443:::1", {"*:443": ("::1",)}),
        ("+a:443:::1", {"a:443": ("::1",)}),
    ],
)
def test_an_entry_as_curl_has_it(text: str, expected: object) -> None:
    assert dict(HostAddresses.parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:443", "'a:443' is not 'host:port:address"),
        ("", "'' is not 'host:port:address"),
        ("-a:443", "'-a:443': there is nothing to remove"),
        ("a:443:", "'a:443:': '' is no address"),
        ("a:443:b.example", "'b.example' is no address, but a name"),
        ("a::::1", "the port '' is no number"),
        ("::1:443:127.0.0.1", "there is no|is no"),
    ],
)
def test_what_is_no_entry(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        HostAddresses.parse(text)


class Resolver:
    def __call__(self, host: str, port: int) -> list[str]:
        return []

    def by_method(self, host: str, port: int) -> list[str]:
        return []


class AsyncResolver:
    async def __call__(self, host: str, port: int) -> list[str]:
        return []


async def by_generator(host: str, port: int) -> AsyncIterator[str]:
    yield host


async def by_task(host: str, port: int) -> list[str]:
    return []


@pytest.mark.parametrize(
    "given",
    [socket.getaddrinfo, Resolver(), Resolver().by_method, lambda host, port: [], max],
    ids=["getaddrinfo", "object", "method", "lambda", "in C"],
)
def test_resolvers(given: Any) -> None:
    assert PoolConfig.build(resolver=given).resolver is given


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("8.8.8.8", "resolver='8.8.8.8': must be a function of host and port"),
        ({"a:443": ["::1"]}, "must be a function of host and port that returns addresses, or None"),
        (lambda host: [], r"must be a function of host and port .*\(too many positional"),
        (lambda host, port, family: [], r"\(missing a required argument: 'family'\)"),
        (by_task, "it has a thread, where it may block: write no `async`"),
        (by_generator, "write no `async`"),
        (AsyncResolver(), "write no `async`"),
        (functools.partial(by_task, "a"), "write no `async`"),
    ],
    ids=["text", "mapping", "one argument", "three", "coroutine", "generator", "object", "partial"],
)
def test_what_is_no_resolver(given: Any, said: str) -> None:
    with pytest.raises(InvalidOptions, match=said):
        PoolConfig.build(resolver=given)
