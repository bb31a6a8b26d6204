"""What a transport takes from the environment, as httpx does for clients that are given none."""

from __future__ import annotations

import os
import ssl
from typing import TYPE_CHECKING, Final

import certifi

from quiver.adapters.shared.clients_by_trust import Trust
from quiver.proxies import Proxies

if TYPE_CHECKING:
    import httpx  # httpx2's are alike

__all__ = ["Environment"]

MOST: Final = 1_000  # places whose proxies are remembered


class Environment:
    """Proxies, each looked up when a place is asked for the first time; and roots.

    Args:
        name: of the transport, for what it says.
        trust_env: False takes none.
        tcp: whether what goes over TCP is ours to send through a proxy. Else a warning says once
            that none is gone through.
    """

    def __init__(self, name: str, *, trust_env: bool, tcp: bool) -> None:
        self.trusted = trust_env
        self._proxies = Proxies(name, None, trust_env=trust_env, tcp=tcp)
        self._found: dict[tuple[str, bytes], str | None] = {}

    def proxy(self, url: httpx.URL) -> str | None:
        """Return the URL of the proxy for what is asked; None: it is asked directly.

        Raises:
            InvalidOptions: the environment names one that is not spoken to, as `socks5://`.
        """
        place = url.scheme, url.netloc
        if place not in self._found:
            named = self._proxies.named(url.scheme, url.netloc.decode("ascii"))
            if named is not None and "://" not in named:
                named = f"http://{named}"
            if len(self._found) >= MOST:
                self._found.clear()
            self._found[place] = named
        return self._found[place]

    def roots(self) -> Trust | None:
        """Return who is trusted where nothing else is said; None leaves it to the pools.

        SSL_CERT_FILE goes before SSL_CERT_DIR, and either takes the place of all other roots. Pools
        would heed them too; so where the environment is not trusted it is the system's own.

        Raises:
            OSError: there is no such file or folder.
        """
        file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
        if not file and not folder:
            return None
        if not self.trusted:
            return Trust.of(_usual())
        return Trust.of(file) if file else Trust.by_folders(str(folder))


def _usual() -> str:
    """The system's roots as OpenSSL was built to look for them, or certifi's."""
    usual = ssl.get_default_verify_paths()
    paths = (usual.openssl_cafile, usual.openssl_capath)
    return next((path for path in paths if os.path.exists(path)), certifi.where())
