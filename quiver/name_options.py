"""The options that say what names resolve to: `resolve`, as curl's `--resolve`, and `resolver`."""

from __future__ import annotations

import inspect
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Self, TypeAlias

from quiver import fields

__all__ = ["HostAddresses", "HostAddressesGiven", "Resolver", "resolver_of"]

Resolver: TypeAlias = Callable[[str, int], Iterable[object]]
"""Host and port to addresses; `docs/options.md` tells what these may be."""

HostAddressesGiven: TypeAlias = Mapping[str, str | Iterable[object]]
"""What `HostAddresses` is made of."""

_PLACE: Final = re.compile(r"(\*|\[[^\]]*\]|[^:\[\]]*):([0-9]{1,5})")
_ENTRY: Final = re.compile(r"((?:\*|\[[^\]]*\]|[^:\[\]]*):[0-9]*):(.*)")
_ASYNC: Final = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
_EXAMPLE: Final = "{'a.example:443': ['192.0.2.1']}"


class HostAddresses(Mapping[str, tuple[str, ...]]):
    """Addresses by host and port: a mapping of `host:port` that does not change, and is hashable.

    A key is `host:port`, with an IPv6 address in brackets, or `*:port` for every host at that port
    that has no entry of its own; hosts as origins have them. A value is addresses in the order in
    which they are to be tried, as text or of `ipaddress`; one text may hold several, with commas.

    Raises:
        ValueError: with the key, and what is wrong.
    """

    def __init__(self, given: HostAddressesGiven) -> None:
        self._by_place: dict[str, tuple[str, ...]] = {}
        for key, addresses in given.items():
            try:
                place = _place(key)
                if place in self._by_place:
                    raise ValueError("there is another entry for the same")
                self._by_place[place] = _addresses(addresses)
            except ValueError as error:
                raise ValueError(f"resolve[{key!r}]: {error}") from None

    @classmethod
    def of(cls, given: object) -> Self:
        """Those that an option was given; what are some already stay as they are."""
        if isinstance(given, cls):
            return given
        if not isinstance(given, Mapping):
            raise ValueError(f"resolve={given!r}: must be {_wanted(given)}")
        return cls(given)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one entry as curl's `--resolve` has it: `host:port:address[,address]...`.

        A `+` before it, by which curl would forget it after a while, makes no difference.
        """
        if text.startswith("-"):
            raise ValueError(f"{text!r}: there is nothing to remove: nothing is remembered")
        parts = _ENTRY.fullmatch(text.removeprefix("+"))
        if parts is None:
            raise ValueError(f"{text!r} is not 'host:port:address[,address]...'")
        try:
            return cls({parts[1]: parts[2]})
        except ValueError as error:
            raise ValueError(f"{text!r}: {str(error).partition(']: ')[2]}") from None

    def find(self, host: str, port: int) -> tuple[str, ...] | None:
        """The addresses for an origin's host and port; None where there is no entry."""
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return self._by_place.get(place) or self._by_place.get(f"*:{port}")

    def __getitem__(self, place: str) -> tuple[str, ...]:
        return self._by_place[place]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_place)

    def __len__(self) -> int:
        return len(self._by_place)

    def __hash__(self) -> int:
        return hash(frozenset(self._by_place.items()))

    def __repr__(self) -> str:
        return repr(self._by_place)


def resolver_of(given: object) -> Resolver:
    """A function that an option was given, to be called with host and port in a thread.

    Raises:
        ValueError: with what is wrong.
    """
    wanted = f"resolver={given!r}: must be a function of host and port that returns addresses"
    if not callable(given):
        raise ValueError(f"{wanted}, or None")
    called = (given, type(given).__call__)
    if any(is_async(each) for is_async in _ASYNC for each in called):
        raise ValueError(f"{wanted}; it has a thread, where it may block: write no `async`")
    try:
        inspect.signature(given).bind("host", 443)
    except TypeError as error:
        raise ValueError(f"{wanted} ({error})") from None
    except ValueError:  # one in C, which does not say what it takes
        pass
    return given


def _wanted(given: object) -> str:
    wanted = f"a mapping of 'host:port' to addresses, as {_EXAMPLE}, or None"
    parts = _ENTRY.fullmatch(given) if isinstance(given, str) else None
    if parts is None:
        return wanted
    return f"{wanted}: did you mean {{{parts[1]!r}: {parts[2].split(',')}}}?"


def _place(key: object) -> str:
    if not isinstance(key, str):
        raise ValueError("a key is 'host:port', a str")
    parts = _PLACE.fullmatch(key)
    if parts is None:
        raise ValueError(_fault(key))
    host, port = parts[1], int(parts[2])
    if not 1 <= port <= 65_535:
        raise ValueError("the port is not between 1 and 65535")
    if host == "*":
        return f"*:{port}"
    if host.startswith("[") and ":" not in host:
        raise ValueError("brackets are for IPv6 addresses")
    host = fields.normal_host(host.strip("[]"))
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _fault(key: str) -> str:
    """What is wrong with a key that is no host and port."""
    host, colon, port = key.rpartition(":")
    if "://" in key or "/" in key:
        return "a key is 'host:port', not a URL"
    if ":" in host and "[" not in key:
        return f"an IPv6 address lacks its brackets: did you mean '[{key}]:443'?"
    if not colon or key.endswith("]"):
        return f"there is no port: did you mean '{key}:443'?"
    return f"the port {port!r} is no number" if len(port) <= 5 else "the port is too long"


def _addresses(given: object) -> tuple[str, ...]:
    if isinstance(given, str):
        given = given.split(",")
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        raise ValueError(f"{given!r}: must be a list of addresses, as ['192.0.2.1']")
    found = tuple(dict.fromkeys(_address(each) for each in given))
    if not found:
        raise ValueError("there is no address")
    return found


def _address(given: object) -> str:
    text = given.strip() if isinstance(given, str) else given
    if isinstance(text, str) and text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    try:
        if not isinstance(text, str | ipaddress.IPv4Address | ipaddress.IPv6Address):
            raise ValueError
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"{given!r} is no address{_instead(text)}") from None


def _instead(text: object) -> str:
    """What may have been meant."""
    host, colon, port = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    if colon and port.isdecimal():
        try:
            ipaddress.ip_address(host.strip("[]"))
        except ValueError:
            return ""
        return ": the port is that of the key"
    if isinstance(text, str) and re.fullmatch(r"[A-Za-z0-9.-]*[A-Za-z][A-Za-z0-9.-]*", text):
        return ", but a name: it is not looked up"
    return ""
