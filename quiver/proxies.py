"""Proxies: those that are gone through, by CONNECT; HTTP/3 goes through none, and that is said.

A program that is told of a proxy would leave its network by another way than it was meant to, and
nobody would know. So each client, command and httpx transport says once that it goes directly,
unless it is told not to trust the environment.
"""

from __future__ import annotations

import base64
import os
import sys
import warnings
from types import FrameType
from typing import Final
from urllib.parse import unquote

import attrs

from quiver.errors import InvalidOptions, InvalidURL
from quiver.origin import Origin
from quiver.printable import escaped
from quiver.redaction import redacted_url

__all__ = ["Proxies", "Proxy", "ProxyNotice", "notice", "proxy_for"]

_MOST: Final = 1_000  # places that are remembered
_NAMED: Final = "the environment names it: no_proxy excepts a host, trust_env=False heeds none"
_LIBRARIES: Final = ("quiver", "httpx", "httpx2")  # between the warning and who has asked


@attrs.frozen
class Proxy:
    """A proxy that is gone through by CONNECT.

    Attributes:
        place: host and port, as an origin: of `https://` one that is spoken to by TLS.
        authorization: the field's value, or None.
    """

    place: Origin
    authorization: str | None = attrs.field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """Read "http://[user:password@]host[:port]", or the same with https.

        Raises:
            InvalidOptions: it is no such URL.
        """
        shown = redacted_url(url) if isinstance(url, str) else type(url).__name__
        if not isinstance(url, str):
            raise InvalidOptions(f"proxy={shown}: must be a URL, http://host:port")
        scheme, mark, rest = url.partition("://")
        if not mark:
            scheme, rest = "http", url  # as curl and urllib take it
        if scheme.lower() not in ("http", "https"):
            said = f"{scheme.lower()}:// proxies are not spoken to, but http:// and https:// ones"
            raise InvalidOptions(f"proxy={shown!r}: {said}")
        authority = rest.partition("/")[0]
        user, at, place = authority.rpartition("@")
        if not mark and place.endswith(":"):  # as in http:/host
            raise InvalidOptions(f"proxy={shown!r}: must be a URL, http://host:port")
        try:
            origin = Origin.parse(f"{scheme}://{place}", plain=True)
        except InvalidURL as error:
            raise InvalidOptions(f"proxy={shown!r}: {error.message}") from None
        return cls(origin, _basic(user) if at else None)

    def __str__(self) -> str:
        return str(self.place)


def _basic(user: str) -> str:
    """The credentials of a URL as a field has them (RFC 7617)."""
    name, _, password = user.partition(":")
    pair = f"{unquote(name)}:{unquote(password)}".encode()
    return f"Basic {base64.b64encode(pair).decode('ascii')}"


def proxy_for(scheme: str, authority: str) -> str | None:
    """Return the proxy that the environment names for a place, by urllib's rules, or None.

    Those are `https_proxy`, `all_proxy` and `no_proxy`, in upper case as well, and the settings of
    the system on macOS.

    Args:
        authority: host, or host:port.
    """
    if sys.platform.startswith("linux") and b"_proxy" not in b"\0".join(os.environb).lower():
        return None  # without the import, which costs a first request 20 ms
    from urllib import request

    proxies = request.getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    return None if not proxy or request.proxy_bypass(authority) else proxy


def notice(scheme: str, authority: str) -> str | None:
    """Return what is to be said of the proxy for a place; None when there is none."""
    proxy = proxy_for(scheme, authority)
    if proxy is None:
        return None
    shown = escaped(redacted_url(proxy))
    return (
        f"the environment names the proxy {shown} for {scheme}://{authority}, and HTTP/3 goes "
        "through none: the connection is made directly"
    )


class Proxies:
    """Which proxy a client goes through to which place. For any thread.

    Args:
        name: of the client, for what it says.
        given: a proxy for all places; None takes those of the environment.
        trust_env: False looks at no environment.
        tcp: whether anything over TCP is spoken: only that goes through a proxy.

    Raises:
        InvalidOptions: no proxy, or one that could not be gone through.
    """

    def __init__(self, name: str, given: str | None, *, trust_env: bool, tcp: bool) -> None:
        self._given = None if given is None else Proxy.parse(given)
        if given is not None and not tcp:
            said = "HTTP/3 goes through none; HTTP/2 and HTTP/1.1 do, by the extra tcp"
            raise InvalidOptions(f"proxy={redacted_url(given)!r}: {said}")
        self._looks = trust_env and given is None
        self._tcp = tcp
        self._notice = ProxyNotice(name, trust_env=self._looks)

    def find(self, scheme: str, authority: str) -> Proxy | None:
        """Return the one for a place; None where it is to be spoken to directly.

        Raises:
            InvalidOptions: the environment names one that cannot be gone through.
        """
        named = None if self._given is not None else self.named(scheme, authority)
        return self._given if named is None else Proxy.parse(named)

    def named(self, scheme: str, authority: str) -> str | None:
        """Return the URL of the one that the environment names for a place, and is gone through.

        Raises:
            InvalidOptions: it cannot be.
        """
        if not self._looks:
            return None
        if not self._tcp:
            self._notice.look(scheme, authority)
            return None
        named = proxy_for(scheme, authority)
        if named is not None:
            try:
                Proxy.parse(named)
            except InvalidOptions as error:
                raise InvalidOptions(f"{error.message}; {_NAMED}") from None
        return named


class ProxyNotice:
    """Warns once, with a UserWarning, that a proxy is not gone through. For any thread.

    Args:
        name: who says so.
        trust_env: False says nothing, and looks at nothing.
    """

    def __init__(self, name: str, *, trust_env: bool) -> None:
        self._name = name
        self._looking = trust_env
        self._unsaid = [True]
        self._seen: set[tuple[str, str]] = set()

    def look(self, scheme: str, authority: str) -> None:
        """Warn if the environment names a proxy for this place, and it is the first."""
        place = (scheme, authority)
        if not self._looking or place in self._seen:
            return
        if len(self._seen) >= _MOST:
            self._seen.clear()
        self._seen.add(place)
        said = notice(scheme, authority)
        if said is not None and self._is_first():
            self._looking = False
            advice = "a client or transport with trust_env=False says that this is meant"
            warning = f"{self._name}: {said}; {advice}"
            warnings.warn(warning, UserWarning, stacklevel=_level_of_the_program())

    def _is_first(self) -> bool:
        """Whether no other thread has come here: only one takes the last of a list."""
        try:
            return self._unsaid.pop()
        except IndexError:
            return False


def _level_of_the_program() -> int:
    """The `stacklevel` for whoever calls this, at which the program's own code stands."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and _is_a_librarys(frame):
        level, frame = level + 1, frame.f_back
    return level


def _is_a_librarys(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in _LIBRARIES
