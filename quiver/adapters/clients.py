"""Clients: one `quiver.Client` for each way to trust, since trust is an option of a pool."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from quiver.adapters.turn import Turn
from quiver.client import Client

__all__ = ["Clients", "Trust"]

Pools = Mapping[str, Mapping[str, object]]

# The libraries above have time limits of their own, and None means none there.
UNLIMITED: Final[Mapping[str, object]] = {"checkout_timeout": None, "receive_timeout": None}

Certificate = str | tuple[str, str] | None


@attrs.frozen
class Trust:
    """Whom to believe, and what to show of oneself. Hashable: it names a client.

    Attributes:
        verify: whether the server needs a valid certificate.
        cafile: PEM file of the roots; None takes the pool's, or the usual ones.
        cadata: PEM of the roots.
        certfile: PEM file of our own certificate.
        keyfile: PEM file of its key.
        server_name: to verify instead of the host's, for an alternative service.
    """

    verify: bool = True
    cafile: str | None = None
    cadata: bytes | None = None
    certfile: str | None = None
    keyfile: str | None = None
    server_name: str | None = None

    @classmethod
    def of(cls, verify: bool | str | ssl.SSLContext, cert: Certificate = None) -> Trust:
        """From `verify=` and `cert=` as requests and httpx have them.

        A context is asked for its roots and for whether it verifies; nothing else of it counts.

        Raises:
            OSError: there is no such file or folder.
        """
        certfile, keyfile = (cert, None) if cert is None or isinstance(cert, str) else cert
        own: dict[str, Any] = {"certfile": _existing(certfile), "keyfile": _existing(keyfile)}
        if isinstance(verify, ssl.SSLContext):
            return cls(**_roots_of(verify), **own)
        if isinstance(verify, bool):
            return cls(verify=verify, **own)
        if os.path.isdir(verify):
            return cls(cadata=_in_folder(Path(verify)), **own)
        return cls(cafile=_existing(verify), **own)

    def applied(self, rule: Mapping[str, object]) -> dict[str, object]:
        """A pool's options with this trust; what is said here goes before what is said there."""
        said = attrs.asdict(self, filter=lambda attribute, value: value != attribute.default)
        kept = dict(UNLIMITED) | dict(rule)
        if {"verify", "cafile", "cadata"} & set(said):
            for option in ("verify", "cafile", "cadata"):
                kept.pop(option, None)
        return kept | said


def _existing(path: str | None) -> str | None:
    if path is not None and not os.path.exists(path):
        raise OSError(f"Could not find the TLS certificate file, invalid path: {path}")
    return path


def _roots_of(context: ssl.SSLContext) -> dict[str, Any]:
    if context.verify_mode == ssl.CERT_NONE:
        return {"verify": False}
    roots = [ssl.DER_cert_to_PEM_cert(each) for each in context.get_ca_certs(binary_form=True)]
    return {"cadata": "".join(roots).encode()} if roots else {}


def _in_folder(folder: Path) -> bytes:
    files = [file for file in sorted(folder.iterdir()) if file.is_file()]
    texts = [file.read_bytes() for file in files]
    return b"\n".join(text for text in texts if b"-----BEGIN CERTIFICATE-----" in text)


class Clients:
    """By trust, each made when it is first needed. For any number of threads.

    Args:
        pools: as `quiver.Client` has them.

    Raises:
        InvalidOptions: a rule or an option in `pools` is wrong.
    """

    def __init__(self, pools: Pools | None = None) -> None:
        self._pools = {"default": {}, **(pools or {})}
        self._made: dict[Trust, Client] = {}
        self._lock = Turn()
        self.of(Trust())

    def of(self, trust: Trust) -> Client:
        """The client that trusts so.

        Raises:
            InvalidOptions: there is no certificate in a file, say.
        """
        with self._lock:
            client = self._made.get(trust)
            if client is None:
                pools = {key: trust.applied(rule) for key, rule in self._pools.items()}
                client = self._made[trust] = Client(pools=pools)
            return client

    def close(self) -> None:
        """Stop them all. They are made anew when they are needed again."""
        with self._lock:
            clients, self._made = list(self._made.values()), {}
        for client in clients:
            client.close()
