"""The grammar of methods, paths, fields and hosts, for both directions (RFC 9110, 9114).

Each `..._fault` returns what is wrong, as the end of a sentence, or None. They take text; what
came off the wire is decoded as latin-1 first, which maps every octet to one character.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

CONNECTION_SPECIFIC: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
)
"""Fields that speak about an HTTP/1.1 connection and are malformed here (RFC 9114 4.2)."""

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 5.6.2
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")  # ... in lower case: RFC 9114 4.2
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110 5.5, obs-text included
_PATH: Final = re.compile(r"[\x21-\x7e]+")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_\-]{0,61}[a-z0-9_])?")


def method_fault(method: str) -> str | None:
    """RFC 9110 9.1: a token, case-sensitive."""
    return None if _TOKEN.fullmatch(method) else "is not a token (RFC 9110 5.6.2)"


def name_fault(name: str) -> str | None:
    """RFC 9114 4.2: a token without upper-case letters."""
    if _NAME.fullmatch(name):
        return None
    if not name:
        return "is empty"
    if name[0] == ":":
        return "is a pseudo-header field"
    if _TOKEN.fullmatch(name):
        return "has upper-case letters (RFC 9114 4.2)"
    return "is not a token (RFC 9110 5.6.2)"


def value_fault(value: str) -> str | None:
    """RFC 9110 5.5: no control characters but TAB, and no white space at either end."""
    if not _VALUE.fullmatch(value):
        if any(ord(character) > 0xFF for character in value):
            return "has a character beyond latin-1"
        return "has a control character"
    if value and (value[0] in " \t" or value[-1] in " \t"):
        return "begins or ends with white space"
    return None


def connection_fault(name: str, value: str) -> str | None:
    """RFC 9114 4.2: nothing that speaks about the connection; `te` may only say trailers."""
    if name in CONNECTION_SPECIFIC:
        return "is connection-specific and not allowed in HTTP/3 (RFC 9114 4.2)"
    if name == "te" and value.lower() != "trailers":
        return 'may only be "trailers" in HTTP/3 (RFC 9114 4.2)'
    return None


def field_fault(name: str, value: str) -> str | None:
    """The first fault of a whole field line: its name, its value, or its being here at all."""
    return name_fault(name) or value_fault(value) or connection_fault(name, value)


def path_fault(path: str) -> str | None:
    """RFC 9114 4.3.1: visible ASCII that begins with a slash. The asterisk is not looked at."""
    if not path:
        return "is empty"
    if not _PATH.fullmatch(path):
        return "has a space, a control character or one beyond ASCII: percent-encode it"
    return None if path[0] == "/" else 'does not begin with "/"'


def normal_host(host: str) -> str:
    """A host as origins are compared: lower-case ASCII, IPv6 compressed and without brackets.

    Raises ValueError that ends a sentence with what is wrong.
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
    if labels[-1].isdigit():  # no top-level domain is a number, so an address is meant
        _check_ipv4(name)
    return name


def _ascii_host(host: str) -> str:
    if host.isascii():
        return host.lower()
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise ValueError("the host is no international name (IDNA)") from error


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
