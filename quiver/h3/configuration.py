"""A pool's options as aioquic's configuration. What TLS would refuse later is refused here."""

from __future__ import annotations

import contextlib
import os
import ssl
from typing import Any, Final, TextIO, cast

import certifi
import cryptography.hazmat.backends.openssl.backend  # noqa: F401 - else the first handshake would
from aioquic.quic.configuration import QuicConfiguration
from aioquic.tls import load_pem_x509_certificates
from cryptography.hazmat.primitives.asymmetric import x25519
from OpenSSL import crypto

from quiver import fields
from quiver.config import PoolConfig
from quiver.errors import InvalidOptions
from quiver.h3.qlog import QlogFolder
from quiver.origin import Origin

__all__ = ["make_configuration"]

# OpenSSL makes its tables of algorithms when it is first asked for one: here, a millisecond of the
# import, instead of in the first handshake.
x25519.X25519PrivateKey.generate()

MIB: Final = 1024 * 1024

_UNLIMITED_IDLE: Final = 600.0
"""Seconds; aioquic knows no connection without an idle timeout."""

_IDLE_MARGIN: Final = 5.0
"""Seconds that QUIC waits longer than the pool, so that the pool closes properly first."""

_DATAGRAM_FRAME: Final = 65_536


def make_configuration(config: PoolConfig, origin: Origin) -> QuicConfiguration:
    """The configuration that all connections of one pool share.

    Reads the environment: SSL_CERT_FILE names the roots to trust when no option does, and keys
    are appended to the file that SSLKEYLOGFILE names.

    Raises:
        InvalidOptions: roots that cannot be read, or a qlog folder that is none.
    """
    idle = config.idle_timeout
    name = config.server_name
    try:
        made = QuicConfiguration(
            alpn_protocols=["h3"],
            server_name=origin.host if name is None else fields.normal_host(name),
            idle_timeout=_UNLIMITED_IDLE if idle is None else idle + _IDLE_MARGIN,
            congestion_control_algorithm=config.congestion_control,
            max_data=8 * MIB,
            max_stream_data=config.receive_window,
            max_datagram_frame_size=_DATAGRAM_FRAME if config.datagrams else None,
            quic_logger=None if config.qlog_dir is None else QlogFolder(config.qlog_dir),
            secrets_log_file=_key_log(),
            **_trust(config),
        )
        _present(config, made)
        return made
    except InvalidOptions as error:
        raise InvalidOptions(error.message, origin=str(origin)) from error.__cause__


def _present(config: PoolConfig, made: QuicConfiguration) -> None:
    """Our own certificate, which is sent when the server asks for one (RFC 8446 4.3.2)."""
    if config.certfile is None:
        return
    try:
        made.load_cert_chain(config.certfile, config.keyfile)
    except (ValueError, TypeError, IndexError, OSError) as error:
        said = f"certfile={config.certfile!r}, keyfile={config.keyfile!r}: cannot be read as PEM"
        raise InvalidOptions(f"{said} ({error})") from error
    if made.private_key is None:
        raise InvalidOptions(f"certfile={config.certfile!r}: it holds no key, and keyfile=None")


def _trust(config: PoolConfig) -> dict[str, Any]:
    if not config.verify:
        return {"verify_mode": ssl.CERT_NONE}
    roots: dict[str, Any] = {"verify_mode": ssl.CERT_REQUIRED}
    if config.cadata is not None:
        roots["cadata"] = _readable_pem(config.cadata)
    if config.cafile is not None:
        roots["cafile"] = _readable_roots(config.cafile, "cafile")
    if config.cadata is None and config.cafile is None:
        roots["cafile"] = _default_roots()
    return roots


def _default_roots() -> str:
    named = os.environ.get("SSL_CERT_FILE")
    return _readable_roots(named, "SSL_CERT_FILE") if named else certifi.where()


def _readable_roots(path: str, option: str) -> str:
    try:
        # As aioquic does it at each handshake.
        crypto.X509Store().load_locations(path)
    except crypto.Error as error:
        said = f"{option}={path!r}: must be a file of certificates in PEM"
        raise InvalidOptions(said) from error
    return path


def _readable_pem(pem: bytes) -> bytes:
    try:
        load_pem_x509_certificates(pem)
    except ValueError as error:
        raise InvalidOptions("cadata: must be certificates in PEM; one cannot be read") from error
    return pem


class _KeyLog:
    """Appends to SSLKEYLOGFILE. Opened for each line: no file to leak, or to share by fork."""

    def __init__(self, path: str) -> None:
        self._path = path

    def write(self, line: str) -> int:
        with contextlib.suppress(OSError), open(self._path, "a", encoding="ascii") as file:
            file.write(line)
        return len(line)

    def flush(self) -> None:
        """Each line has been written through."""


def _key_log() -> TextIO | None:
    path = os.environ.get("SSLKEYLOGFILE")
    if not path:
        return None
    try:
        open(path, "a").close()
    except OSError as error:
        said = f"SSLKEYLOGFILE={path!r}: must be a file that can be written"
        raise InvalidOptions(said) from error
    return cast(TextIO, _KeyLog(path))
