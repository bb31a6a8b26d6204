"""What an adapter gives urllib3's pools of TLS, as HTTP/3 has it: whom to trust.

Subclasses of HTTPAdapter give an `ssl_context`, pin a certificate, or have a `cert_verify` of their
own. What holds over TCP holds over HTTP/3, or the request goes over TCP.
"""

from __future__ import annotations

import contextlib
import ssl
import warnings
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, Protocol

from requests.utils import DEFAULT_CA_BUNDLE_PATH, extract_zipped_paths
from urllib3.exceptions import InsecureRequestWarning

from quiver.adapters.shared.clients_by_trust import Trust
from quiver.errors import InvalidOptions
from quiver.origin import Origin

__all__ = ["TLSOptions", "trust_of", "warn_of_unverified"]

_UNKNOWN: Final = ("assert_fingerprint", "assert_hostname", "server_hostname")
_CONTEXTS: Final = 32  # whose roots have been loaded, that are remembered

_BUNDLE: Final = extract_zipped_paths(DEFAULT_CA_BUNDLE_PATH)

Path = str | bytes | None


class Verified(Protocol):
    """What `cert_verify` of HTTPAdapter sets."""

    cert_reqs: str | None
    ca_certs: Path
    ca_cert_dir: Path
    cert_file: str | None
    key_file: str | None


class TLSOptions:
    """The options of urllib3's pool, of which HTTP/3 knows the context.

    Args:
        options: of the pool.
        bundled: whether the roots are those that requests brings, as nobody has named others.
        plain: of `http://`, whom to trust all the same: the proxy, if it is `https://`.

    Attributes:
        given: whether the program has given one of these.
    """

    def __init__(
        self, options: Mapping[str, Any], *, bundled: bool, plain: Trust | None = None
    ) -> None:
        self._plain = plain
        self._context: ssl.SSLContext | None = options.get("ssl_context")
        self._unknown = [name for name in _UNKNOWN if options.get(name) is not None]
        self._bundled = bundled
        self.given = self._context is not None or bool(self._unknown)

    def trust(self, verified: Verified) -> Trust:
        """Return whom to believe, and what to show of oneself.

        Raises:
            InvalidOptions: HTTP/3 knows not one of them.
        """
        if self._plain is not None:
            return self._plain
        if self._unknown:
            raise InvalidOptions(f"HTTP/3 knows no {self._unknown[0]}: it is for TCP alone")
        file, key = verified.cert_file, verified.key_file
        return Trust.of(self._judge(verified), (file, key) if file and key else file)

    def _judge(self, verified: Verified) -> bool | str | ssl.SSLContext:
        if verified.cert_reqs == "CERT_NONE":
            return False
        if self._context is not None:
            return _with_roots(self._context, verified.ca_certs, verified.ca_cert_dir)
        named: Any = verified.ca_certs or verified.ca_cert_dir
        return True if self._bundled and verified.ca_certs == _BUNDLE else named


def trust_of(verify: Any, cert: Any) -> Trust | None:
    """Return the trust of a request where no subclass has a say; None if these are none."""
    with contextlib.suppress(OSError, TypeError, ValueError):
        return Trust.of(verify or False, cert)
    return None


@lru_cache(_CONTEXTS)
def _with_roots(context: ssl.SSLContext, file: Path, folder: Path) -> ssl.SSLContext:
    """Do what urllib3 does to a context before each handshake."""
    if context.verify_mode == ssl.CERT_NONE:
        context.verify_mode = ssl.CERT_REQUIRED
    if file or folder:
        context.load_verify_locations(file or None, folder or None)
    return context


def warn_of_unverified(origin: Origin, version: str | None) -> None:
    """Warn as urllib3 does, each time."""
    said = f"Unverified HTTPS request is being made to host {origin.host!r} over {version}."
    warnings.warn(said, InsecureRequestWarning, stacklevel=2)
