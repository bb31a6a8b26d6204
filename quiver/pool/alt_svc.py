"""The Alt-Svc field (RFC 7838): the other places where an origin can be reached. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import attrs

from quiver import fields

__all__ = ["LONGEST_AGE", "Alternative", "parse"]

DAY: Final = 86_400  # seconds that an alternative is good for unless it says `ma` (RFC 7838 3.1)
LONGEST: Final = 8_192  # characters; a longer field is no advertisement
_KEPT: Final = 256  # fields that were read: an origin says the same each time
LONGEST_AGE: Final = 30 * DAY
"""Seconds that an alternative is believed at most: a wrong one is not for ever."""

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED: Final = r'"(?:[^"\\]++|\\.)*+"'
# Nothing is given back once it is taken, and a quote that is not closed takes all that follows: so
# each character is looked at once, whatever the server sends.
_PIECE: Final = re.compile(r'[^,;"]++|"(?:[^"\\]++|\\.)*+"?|[,;]', re.DOTALL)
_ASSIGNMENT: Final = re.compile(rf"({_TOKEN})=({_TOKEN}|{_QUOTED})")
_PLACE: Final = re.compile(r"(\[[^\]]*+\]|[^:\[\]]*+):([0-9]{1,5})")


@attrs.frozen
class Alternative:
    """A place where an origin speaks HTTP/3.

    Attributes:
        host: empty for the origin's own.
        port: of UDP.
        max_age: seconds that this may be believed, at most LONGEST_AGE.
        persist: whether it outlives a change of network (RFC 7838 3.1).
    """

    host: str
    port: int
    max_age: float = DAY
    persist: bool = False

    def same_place(self, other: Alternative) -> bool:
        """Whether they differ in nothing but their time."""
        return attrs.evolve(self, max_age=other.max_age) == other


@lru_cache(_KEPT)
def parse(value: str) -> tuple[Alternative, ...] | None:
    """Read the alternatives for HTTP/3 that an Alt-Svc field names, the preferred one first.

    It takes time in proportion to the field's length. An empty tuple, as of `clear`, says that
    there are none any more: the field replaces all that was said before (RFC 7838 3). None is no
    field that can be read, and changes nothing.
    """
    if len(value) > LONGEST:
        return None
    if value.strip() == "clear":
        return ()
    found = []
    understood = False
    for parts in _members(value):
        assignments = [_assignment(part) for part in parts]
        if assignments[0] is None:
            continue
        understood = True
        protocol, place = assignments[0]
        alternative = _alternative(place, dict(filter(None, assignments[1:])))
        if protocol == "h3" and alternative is not None:
            found.append(alternative)
    return tuple(found) if understood else None


def _members(value: str) -> Iterator[list[str]]:
    """Split at commas into members, and each at semicolons; not within quotes."""
    parts, part = [], ""
    for piece in _PIECE.findall(value):
        if piece in {",", ";"}:
            parts.append(part)
            part = ""
        else:
            part += piece
        if piece == ",":
            yield parts
            parts = []
    yield [*parts, part]


def _assignment(text: str) -> tuple[str, str] | None:
    parts = _ASSIGNMENT.fullmatch(text.strip(" \t"))
    if parts is None:
        return None
    name, value = parts.groups()
    return name, re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == '"' else value


def _alternative(place: str, parameters: dict[str, str]) -> Alternative | None:
    parts = _PLACE.fullmatch(place)
    if parts is None or not parts[1].isascii() or not 1 <= int(parts[2]) <= 65_535:
        return None
    try:
        host = fields.normal_host(parts[1].strip("[]")) if parts[1] else ""
    except ValueError:
        return None
    age = parameters.get("ma", "")
    max_age = min(int(age), LONGEST_AGE) if re.fullmatch(r"[0-9]{1,20}", age) else DAY
    return Alternative(host, int(parts[2]), max_age, parameters.get("persist") == "1")
