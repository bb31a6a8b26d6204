"""Alt-Svc: what an origin says of the other places where it can be spoken with (RFC 7838). Pure."""

from __future__ import annotations

import re
from typing import Final

import attrs

from quiver import fields

__all__ = ["Alternative", "parse"]

DAY: Final = 86_400  # seconds that an alternative is good for unless it says `ma` (RFC 7838 3.1)
LONGEST: Final = 8_192  # characters; a longer field is no advertisement

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
_BETWEEN_COMMAS: Final = re.compile(rf"(?:[^,\"]|{_QUOTED})+")
_BETWEEN_SEMICOLONS: Final = re.compile(rf"(?:[^;\"]|{_QUOTED})+")
_ASSIGNMENT: Final = re.compile(rf"({_TOKEN})=({_TOKEN}|{_QUOTED})")
_PLACE: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]*):([0-9]{1,5})")


@attrs.frozen
class Alternative:
    """A place where an origin speaks HTTP/3.

    Attributes:
        host: empty for the origin's own.
        port: of UDP.
        max_age: seconds that this may be believed.
        persist: whether it outlives a change of network (RFC 7838 3.1).
    """

    host: str
    port: int
    max_age: int = DAY
    persist: bool = False


def parse(value: str) -> tuple[Alternative, ...] | None:
    """The alternatives for HTTP/3 that an Alt-Svc field names, the preferred one first.

    An empty tuple, as of `clear`, says that there are none any more: the field replaces all that
    was said before (RFC 7838 3). None is no field that can be read, and changes nothing.
    """
    if len(value) > LONGEST:
        return None
    if value.strip() == "clear":
        return ()
    found = []
    understood = False
    for each in _BETWEEN_COMMAS.findall(value):
        assignments = [_assignment(part) for part in _BETWEEN_SEMICOLONS.findall(each)]
        if not assignments or assignments[0] is None:
            continue
        understood = True
        protocol, place = assignments[0]
        alternative = _alternative(place, dict(filter(None, assignments[1:])))
        if protocol == "h3" and alternative is not None:
            found.append(alternative)
    return tuple(found) if understood else None


def _assignment(text: str) -> tuple[str, str] | None:
    parts = _ASSIGNMENT.fullmatch(text.strip(" \t"))
    if parts is None:
        return None
    name, value = parts.groups()
    return name, re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == '"' else value


def _alternative(place: str, parameters: dict[str, str]) -> Alternative | None:
    parts = _PLACE.fullmatch(place)
    if parts is None or not 1 <= int(parts[2]) <= 65_535:
        return None
    try:
        host = fields.normal_host(parts[1].strip("[]")) if parts[1] else ""
    except ValueError:
        return None
    age = parameters.get("ma", "")
    max_age = int(age) if re.fullmatch(r"[0-9]{1,10}", age) else DAY
    return Alternative(host, int(parts[2]), max_age, parameters.get("persist") == "1")
