"""What a resolver answers, as addresses that a socket can be connected to without asking again.

An address may be

    "192.0.2.1", "2001:db8::1", "fe80::1%eth0"       text
    ipaddress.IPv4Address, IPv6Address               or what has such text as its `address`
    (host, port), (host, port, flow, scope)          a socket address
    (family, sockaddr)                               the same with its family
    (family, kind, protocol, name, sockaddr)         as `socket.getaddrinfo` has it

Without a port, or with 0, the origin's holds. Each is taken once, in the order given.
"""

from __future__ import annotations

import contextlib
import inspect
import ipaddress
import itertools
import reprlib
import socket
from collections.abc import Iterable
from typing import Any, Final

from quiver.pool.udp import Address

__all__ = ["LONGEST", "WrongAnswer", "addresses_of", "spelled_out"]

LONGEST: Final = 4_096  # entries that are looked at: about what a DNS message can hold

_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_ACCEPTED: Final = "a list of addresses was expected, as ['192.0.2.1'] or of socket.getaddrinfo"


class WrongAnswer(ValueError):
    """What is wrong with an answer, as the end of a sentence."""


def addresses_of(answer: object, port: int) -> tuple[Address, ...]:
    """Read what a resolver has returned for a name at `port`.

    Raises:
        WrongAnswer: there is no address in it, or something that is none.
    """
    entries = answer if isinstance(answer, list) else _entries(answer)
    found = dict.fromkeys(_address(each, port) for each in itertools.islice(entries, LONGEST))
    if not found:
        raise WrongAnswer("returned no address")
    return tuple(found)


def _entries(answer: object) -> Iterable[object]:
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()  # nobody will await it
        raise WrongAnswer("returned an awaitable: it is called in a thread, and may block there")
    if not isinstance(answer, Iterable) or isinstance(answer, str | bytes | dict):
        raise WrongAnswer(f"returned {reprlib.repr(answer)}: {_ACCEPTED}")
    return answer


def spelled_out(host: str, port: int) -> Address | None:
    """The address that digits stand for, which need not be looked up; None for a name."""
    for family, flow_and_scope in ((socket.AF_INET, ()), (socket.AF_INET6, (0, 0))):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, host)
            return family, (host, port, *flow_and_scope)
    return None


def _address(entry: Any, port: int) -> Address:
    family: int | None = None
    try:
        match entry:
            case (int(given), _, _, _, (*sockaddr,)) | (int(given), (*sockaddr,)):
                family = given
            case (str(), int() | None, *_):
                sockaddr = [*entry]
            case str() | ipaddress.IPv4Address() | ipaddress.IPv6Address():
                sockaddr = [entry]
            case _:
                sockaddr = [getattr(entry, "address", None)]
        return _checked(family, port, *sockaddr[:4])
    except (TypeError, ValueError) as error:
        said = f"returned {reprlib.repr(entry)}, which is no address: {error}"
        raise WrongAnswer(said) from None


def _checked(
    family: int | None,
    origins_port: int,
    host: Any = None,
    port: Any = None,
    flow: Any = 0,
    scope: Any = 0,
) -> Address:
    if not isinstance(host, str | ipaddress.IPv4Address | ipaddress.IPv6Address):
        raise TypeError(_ACCEPTED)
    digits = _digits(host)
    if family not in (None, _FAMILIES[digits.version]):
        raise ValueError(f"it is of IPv{digits.version}, and its family {family}")
    port = port or origins_port
    if type(port) is not int or not 1 <= port <= 65_535:
        raise ValueError("its port is not between 1 and 65535")
    if isinstance(digits, ipaddress.IPv4Address):
        return socket.AF_INET, (str(digits), port)
    if digits.scope_id is not None:
        zone, digits = digits.scope_id, ipaddress.IPv6Address(int(digits))
        scope = scope or _index(zone)
    if type(flow) is not int or type(scope) is not int:
        raise TypeError("its flow or scope is no number")
    return socket.AF_INET6, (str(digits), port, flow, scope)


def _digits(host: Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        raise ValueError("it is neither IPv4 nor IPv6") from None


def _index(zone: str) -> int:
    try:
        return int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    except (OSError, ValueError):
        raise ValueError(f"there is no interface {reprlib.repr(zone)}") from None
