"""Origin: scheme, host and port, and how a URL names one (RFC 3986, RFC 6454)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import attrs

from quiver import fields
from quiver.errors import InvalidURL
from quiver.redaction import HIDDEN, redacted_url

__all__ = ["Origin", "no_tls", "split_url"]

DEFAULT_PORTS: Final = {"https": 443, "http": 80}

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#]*)([^#]*)")
_AUTHORITY: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]*))?")
_BAD_IN_URL: Final = re.compile(r"[\x00-\x20\x7f\\]")


def _default_port(origin: Origin) -> int:
    return DEFAULT_PORTS.get(str(origin.scheme).lower(), 443)


@attrs.frozen(cache_hash=True)
class Origin:
    """Scheme, host and port: what one pool talks to (RFC 6454).

    The host is lower-case ASCII (international names in their IDNA form), an IPv6 address
    without its brackets; the port that of the scheme unless it is given. Raises InvalidURL when one
    of the three is none.
    """

    scheme: str
    host: str
    port: int = attrs.field(default=attrs.Factory(_default_port, takes_self=True))

    def __attrs_post_init__(self) -> None:
        scheme = _scheme(self.scheme, f"scheme={self.scheme!r}", plain=True)
        _check_port(self.port, f"port={self.port!r}")
        object.__setattr__(self, "scheme", scheme)
        object.__setattr__(self, "host", _host(self.host, f"host={self.host!r}"))

    @classmethod
    def parse(cls, text: str, *, plain: bool = False) -> Origin:
        """Return the origin of a URL, whatever path follows; see `split_url`. Raises InvalidURL."""
        return split_url(text, plain=plain)[0]

    @classmethod
    def only(cls, text: str, *, plain: bool = False) -> Origin:
        """Return the origin of a URL without a path; see `split_url`. Raises InvalidURL."""
        origin, target = split_url(text, plain=plain)
        if target != "/":
            raise InvalidURL(
                f"url={redacted_url(text)!r} has a path: a pool is of an origin, {origin}, and is "
                f"asked for paths: Request('GET', {redacted_url(target)!r})"
            )
        return origin

    @property
    def authority(self) -> str:
        """The `:authority` of its requests: `host` or `host:port`, IPv6 in brackets."""
        usual = self.port == DEFAULT_PORTS[self.scheme]
        return self._bracketed if usual else self.host_and_port

    @property
    def host_and_port(self) -> str:
        """`host:port`, IPv6 in brackets, as CONNECT and Alt-Used have them (RFC 7838 5)."""
        return f"{self._bracketed}:{self.port}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def split_url(url: str, *, plain: bool = False) -> tuple[Origin, str]:
    """Split an absolute https URL into its origin and its target: path and query, no fragment.

    Args:
        plain: take `http://` as well, which HTTP/1.1 alone speaks.

    Raises:
        InvalidURL: it is no text, has no host, another scheme, user information or a bad port.
    """
    if not isinstance(url, str):
        raise InvalidURL(f"url is a {type(url).__name__}, not a str")
    if _BAD_IN_URL.search(url):
        raise InvalidURL(f"url={redacted_url(url)!r} has a space, backslash or control character")
    parts = _URL.match(url)
    if parts is None:
        raise InvalidURL(
            f"url={redacted_url(url)!r} is not absolute: write https://host[:port]/path"
        )
    scheme, authority, rest = parts.groups()
    if scheme != "https":
        scheme = _scheme(scheme, f"url={redacted_url(url)!r}", plain=plain)
    target = rest if rest.startswith("/") else "/" + rest
    if fields.PATH.fullmatch(target) is None:
        raise InvalidURL(f"url={redacted_url(url)!r}: the path {fields.path_fault(target)}")
    return _origin_of(scheme, authority), target


@lru_cache(maxsize=1024)
def _origin_of(scheme: str, authority: str) -> Origin:
    if "@" in authority:
        raise InvalidURL("url has user information before its host: send an authorization header")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or len(parts[2] or "") > 5:
        # Of what is no port the beginning of a password is not echoed, if it had a slash in it.
        host, colon, _ = authority.partition(":")
        said = f"url authority {host + colon and f'{host}:{HIDDEN}'!r}"
        if parts is not None:
            raise InvalidURL(f"{said}: the port is not between 1 and 65535")
        raise InvalidURL(f"{said}: the port is no number, or an IPv6 address lacks its brackets")
    said = f"url authority {authority!r}"
    host, port = parts.groups()
    number = int(port) if port else DEFAULT_PORTS[scheme]
    _check_port(number, said)
    return Origin(scheme, _bracketless(host, said), number)


def _bracketless(host: str, said: str) -> str:
    if not host.startswith("["):
        return host
    if ":" not in host:
        raise InvalidURL(f"{said}: brackets are for IPv6 addresses")
    return host[1:-1]


def no_tls(origin: Origin, *protocols: str) -> InvalidURL:
    """The error about an origin of `http://` where all that is spoken has TLS always."""
    known = f"{' and '.join(protocols)} {'know' if len(protocols) > 1 else 'knows'} no other"
    return InvalidURL(f"url={str(origin)!r}: the scheme must be https, {known}")


def _scheme(scheme: str, said: str, *, plain: bool) -> str:
    known = scheme.lower() if isinstance(scheme, str) else ""
    if known not in DEFAULT_PORTS or (known != "https" and not plain):
        accepted = "https or http" if plain else "https, HTTP/3 knows no other"
        raise InvalidURL(f"{said}: the scheme must be {accepted}")
    return known


def _check_port(port: int, said: str) -> None:
    if type(port) is not int or not 1 <= port <= 65535:
        raise InvalidURL(f"{said}: the port is not between 1 and 65535")


def _host(host: str, said: str) -> str:
    try:
        return fields.normal_host(host)
    except ValueError as error:
        raise InvalidURL(f"{said}: {error}") from error
