"""A pool's options of trust: whose certificates are taken, and where keys are logged; read once.

What is wrong with them is refused here, and not at the first handshake.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import stat
from collections.abc import Iterator
from typing import TextIO

from quiver.config import PoolConfig
from quiver.errors import EXHAUSTED, InvalidOptions, QuiverError, ResourceExhausted
from quiver.origin import Origin
from quiver.quic.trust_roots import Roots, roots_by, roots_of, system_roots

__all__ = ["append_to", "key_log_path", "named_for", "trusted_roots", "unreadable"]


@contextlib.contextmanager
def named_for(origin: Origin) -> Iterator[None]:
    """Have errors that are raised within name the origin; nothing has gone out then."""
    try:
        yield
    except QuiverError as error:
        named = type(error)(error.message, origin=str(origin))
        named.unprocessed = True
        raise named from error.__cause__


def trusted_roots(config: PoolConfig) -> Roots | None:
    """Who is trusted; None for anybody.

    Raises:
        InvalidOptions: roots that cannot be read.
        ResourceExhausted: no descriptor is left to read them.
    """
    if not isinstance(config.verify, bool):
        return _roots_by(config.verify)
    if not config.verify:
        return None
    said = "cadata" if config.cafile is None else f"cafile={config.cafile!r}"
    try:
        if config.cafile is not None or config.cadata is not None:
            return roots_of(config.cafile, config.cadata)
        said = _environment()
        return system_roots()
    except (OSError, ValueError) as error:
        raise unreadable(said, "must be certificates in PEM", error) from error


def _roots_by(context: ssl.SSLContext) -> Roots:
    try:
        return roots_by(context)
    except ValueError as error:  # it has been changed since it was given
        raise InvalidOptions(f"verify={context!r}: {error}") from error


def _environment() -> str:
    """What names the system's roots, as it is said in errors."""
    named = {name: os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")}
    given = [f"{name}={value!r}" for name, value in named.items() if value is not None]
    return ", ".join(given) or "cafile=None (the system's roots)"


def unreadable(given: str, wanted: str, error: Exception) -> QuiverError:
    """What was given cannot be read; that no descriptor is left for it is no fault of its own."""
    if not isinstance(error, OSError) or isinstance(error, ssl.SSLError):
        return InvalidOptions(f"{given}: {wanted} ({error})")
    if error.errno in EXHAUSTED:
        return ResourceExhausted(f"{given}: it cannot be opened now ({error.strerror})")
    return InvalidOptions(f"{given}: {wanted} ({error.strerror})")


# SSLKEYLOGFILE --------------------------------------------------------------------------------


def key_log_path() -> str | None:
    """The file that SSLKEYLOGFILE names, if it does; it can be written.

    It is for its owner alone, also one of ours that was there: who has the keys reads everything.
    """
    path = os.environ.get("SSLKEYLOGFILE")
    if not path:
        return None
    try:
        append_to(path).close()
    except OSError as error:
        said, wanted = f"SSLKEYLOGFILE={path!r}", "must be a file that can be written"
        raise unreadable(said, wanted, error) from error
    return path


def append_to(path: str) -> TextIO:
    """Open a file of keys."""
    return open(path, "a", encoding="ascii", opener=_private)


def _private(path: str, flags: int) -> int:
    descriptor = os.open(path, flags, 0o600)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_mode & 0o077 and found.st_uid == os.geteuid():
        with contextlib.suppress(OSError):  # some file systems have no permissions
            os.fchmod(descriptor, 0o600)
    return descriptor
