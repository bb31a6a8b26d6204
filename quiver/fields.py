"""The grammar of methods, paths, fields and hosts, for both directions (RFC 9110, 9114).

Each `..._fault` returns what is wrong, as the end of a sentence, or None. They take text; what came
off the wire is decoded as latin-1 first, which maps every octet to one character.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

Pairs = list[tuple[str, str]]
"""Names and values of fields in their order, as they are received."""

CONNECTION_SPECIFIC: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
)
"""Fields that speak about an HTTP/1.1 connection and are malformed here (RFC 9114 4.2)."""

LONGEST: Final = 65_500
"""The bytes that a field's name and value may have together. QPACK's encoder (ls-qpack) takes at
most 65,535 of each; its decoder, which many servers use as well, a few less of both together, and
ends the whole connection over more."""

PATH: Final = re.compile(r"/[\x21-\x7e]*")
"""A path with its query; `path_fault` says what is wrong with one that does not match."""

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 5.6.2
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")  # ... in lower case: RFC 9114 4.2
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110 5.5, obs-text included
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_LONGEST_HOST: Final = 1_000  # characters beyond ASCII; 253 of a name are left of them at most
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_\-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")  # also what the system's look-up takes for one


def length_fault(name: str, value: str) -> str | None:
    """Check that it fits one field line, pseudo-headers included."""
    size = len(name) + len(value)
    if size <= LONGEST:
        return None
    return f"makes a field of {size} bytes, name and value; the limit is {LONGEST} (QPACK: 65535)"


def method_fault(method: str) -> str | None:
    """Check a method: a token, case-sensitive (RFC 9110 9.1)."""
    return None if _TOKEN.fullmatch(method) else "is not a token (RFC 9110 5.6.2)"


def name_fault(name: str) -> str | None:
    """Check a field's name: a token without upper-case letters (RFC 9114 4.2)."""
    if _NAME.fullmatch(name):
        return None
    if not name:
        return "is empty"
    if name[0] == ":":
        return "is a pseudo-header field"
    if _TOKEN.fullmatch(name):
        return "has upper-case letters (RFC 9114 4.2)"
    return "is not a token (RFC 9110 5.6.2)"


def beginning_of_name(text: str) -> str:
    """Return how far a text is a field's name, a pseudo-header's colon included."""
    name = _TOKEN.match(text, 1 if text[:1] == ":" else 0)
    return text[: name.end()] if name else text[:1]


def value_fault(value: str) -> str | None:
    """Check a value: no control character but TAB, no white space at its ends (RFC 9110 5.5)."""
    if not _VALUE.fullmatch(value):
        bad = next(place for place, each in enumerate(value) if not _VALUE.fullmatch(each))
        if ord(value[bad]) > 0xFF:
            return f"has a character beyond latin-1, at {bad}"
        return f"has a control character, {value[bad]!r} at {bad}"
    if value and (value[0] in " \t" or value[-1] in " \t"):
        return "begins or ends with white space"
    return None


def connection_fault(name: str, value: str) -> str | None:
    """Check that it says nothing about a connection; `te` only "trailers" (RFC 9114 4.2)."""
    if name in CONNECTION_SPECIFIC:
        return "is connection-specific and not allowed from HTTP/2 on (RFC 9114 4.2)"
    if name == "te" and value.lower() != "trailers":
        return 'may only be "trailers" in HTTP/3 (RFC 9114 4.2)'
    return None


def field_fault(name: str, value: str) -> str | None:
    """Check a whole field line: its name, its value, and that it may be here at all."""
    return name_fault(name) or value_fault(value) or connection_fault(name, value)


def path_fault(path: str) -> str | None:
    """Check a path: visible ASCII that begins with a slash (RFC 9114 4.3.1). "*" is not judged."""
    if not path:
        return "is empty"
    if not _VISIBLE.fullmatch(path):
        return "has a space, a control character or one beyond ASCII: percent-encode it"
    return None if path[0] == "/" else 'does not begin with "/"'


def normal_host(host: str) -> str:
    """Return a host as origins are compared: lower-case ASCII, IPv6 compressed, without brackets.

    Raises:
        ValueError: with what is wrong, as the end of a sentence.
    """
    if not isinstance(host, str) or not host:
        raise ValueError("there is no host")
    if ":" in host:
        return _ipv6(host)
    name = _ascii_host(host)
    if name.endswith("."):
        raise ValueError("leave out the dot after the host, certificates have none")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("the host is no name and no address")
    if _NUMBER.fullmatch(labels[-1]):  # no top-level domain is one: an address is meant
        _check_ipv4(name)
    return name


def _ascii_host(host: str) -> str:
    """As browsers have it: IDNA 2008 after UTS 46, non-transitional, so that ß stays ß."""
    if host.isascii():
        return host.lower()
    import idna  # few hosts need it, and its tables take a while

    if len(host) > _LONGEST_HOST:
        raise ValueError("the host is too long for a name")
    try:
        return idna.encode(host, uts46=True).decode("ascii").lower()
    except UnicodeError as error:
        raise ValueError(f"the host is no international name (IDNA 2008: {error})") from error


def _check_ipv4(name: str) -> None:
    try:
        ipaddress.IPv4Address(name)
    except ValueError as error:
        raise ValueError("the host is no IPv4 address") from error


def _ipv6(host: str) -> str:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError as error:
        raise ValueError("the host is no IPv6 address") from error
    if address.scope_id is not None:
        raise ValueError("an IPv6 zone cannot be part of an origin")
    return str(address)
