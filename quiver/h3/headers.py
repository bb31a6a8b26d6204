"""Header sections, both ways: a Request as fields (RFC 9114 4.3.1), a response from them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from quiver import fields
from quiver.origin import Origin
from quiver.request import HeaderPairs, OpenChannel, Request

__all__ = [
    "Fields",
    "Malformed",
    "Pairs",
    "request_fields",
    "response_of",
    "section_size",
    "trailer_fields",
    "trailers_of",
]

Fields = list[tuple[bytes, bytes]]
Pairs = list[tuple[str, str]]

_CONTENT_EXPECTED: Final = frozenset({"POST", "PUT", "PATCH"})
_STATUS: Final = re.compile(rb"[1-9][0-9][0-9]")
_PLAIN_VALUE: Final = re.compile(rb"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


class Malformed(Exception):
    """A header section that makes its message malformed (RFC 9114 4.1.2); says how."""


# out ----------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _authority(origin: Origin) -> bytes:
    return origin.authority.encode("ascii")


def request_fields(request: Request, origin: Origin) -> Fields:
    """The fields of `request` for `origin`: pseudo-headers first, a `host` field among them.

    A body brings its content-length along if it is known, and so does its absence where one is
    expected: POST, PUT and PATCH without a body say 0 (RFC 9110 8.6).
    """
    section = [
        (b":method", request.method.encode("ascii")),
        (b":scheme", b"https"),
        (b":authority", _authority(origin)),
        (b":path", request.target.encode("ascii")),
    ]
    length_given = False
    for name, value in request.headers:
        if name == "host":
            section[2] = (b":authority", value.encode("ascii"))
            continue
        length_given = length_given or name == "content-length"
        section.append((name.encode("ascii"), value.encode("latin-1")))
    if isinstance(request, OpenChannel):
        if request.protocol is not None:
            section.insert(1, (b":protocol", request.protocol.encode("ascii")))
        return section
    if not length_given and (request.body is not None or request.method in _CONTENT_EXPECTED):
        length = request.content_length
        if length is not None:
            section.append((b"content-length", b"%d" % length))
    return section


def trailer_fields(trailers: HeaderPairs) -> Fields:
    """Trailers as they are sent."""
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in trailers]


# in -----------------------------------------------------------------------------------------


def section_size(section: Fields) -> int:
    """The size that MAX_FIELD_SECTION_SIZE limits: names, values and 32 each (RFC 9114 4.2.2)."""
    size = 32 * len(section)
    for name, value in section:
        size += len(name) + len(value)
    return size


def response_of(section: Fields, short: bool = False) -> tuple[int, Pairs]:
    """Status and fields of a response's header section, `short` if it can have no long ones.

    Raises Malformed.
    """
    if not section or section[0][0] != b":status":
        raise Malformed(_why_no_status(section))
    status = section[0][1]
    if not _STATUS.fullmatch(status):
        raise Malformed(f":status {_shown(status)} is not a number of three digits")
    if status == b"101":
        raise Malformed(":status 101 does not exist in HTTP/3 (RFC 9114 4.5)")
    return int(status), _pairs(section[1:], short)


def trailers_of(section: Fields) -> Pairs:
    """The fields of a trailer section. Raises Malformed."""
    return _pairs(section, False)


def _why_no_status(section: Fields) -> str:
    if any(name == b":status" for name, _ in section):
        return ":status is not the first field"
    return "the response has no :status"


def _pairs(section: Fields, short: bool) -> Pairs:
    pair = _known_pair if short else _pair  # the cache is shared, and servers choose the fields
    return [pair(field) for field in section]


def _pair(field: tuple[bytes, bytes]) -> tuple[str, str]:
    name, value = field
    return _name(name), _value(name, value)


_known_pair = lru_cache(maxsize=1024)(_pair)  # a server says most of its fields again and again


def _name(name: bytes) -> str:
    text = name.decode("latin-1")
    # The values that `te` may have are looked at below.
    fault = fields.name_fault(text) or fields.connection_fault(text, "trailers")
    if fault:
        raise Malformed(f"field name {_shown(name)} {fault}")
    return text


def _value(name: bytes, value: bytes) -> str:
    text = value.decode("latin-1")
    # Nearly all values are plain; the others are looked at more closely.
    if not _PLAIN_VALUE.fullmatch(value) or name == b"te":
        fault = fields.value_fault(text) or fields.connection_fault(name.decode("ascii"), text)
        if fault:
            raise Malformed(f"field {_shown(name)}: value {_shown(value)} {fault}")
    return text


def _shown(part: bytes) -> str:
    """A name or value for a message: quoted, and no longer than a line."""
    return repr(part[:60])[1:] + ("..." if len(part) > 60 else "")
