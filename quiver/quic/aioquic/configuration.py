"""A pool's options as aioquic's configuration. What TLS would refuse later is refused here."""

from __future__ import annotations

import contextlib
import ssl
from functools import lru_cache
from typing import Any, Final, TextIO, cast

import cryptography.hazmat.backends.openssl.backend  # noqa: F401 - else the first handshake would
from aioquic.quic.configuration import QuicConfiguration
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import x25519

from quiver import fields
from quiver.chain_verifier import UNTRUSTED
from quiver.config import PoolConfig
from quiver.errors import InvalidOptions
from quiver.origin import Origin
from quiver.quic.aioquic.certificates import Configuration
from quiver.quic.aioquic.qlog import QlogFolder
from quiver.quic.file_cache import CACHE_SIZE, FileCache
from quiver.quic.flow_control import AT_ONCE
from quiver.quic.trust_options import append_to, key_log_path, named_for, trusted_roots, unreadable
from quiver.quic.varint import LARGEST_VARINT

__all__ = ["make_configuration"]

# OpenSSL makes its tables of algorithms when it is first asked for one, and some for each kind of
# key and signature: here, a millisecond of the import, instead of in the first handshake. ssl has
# an OpenSSL of its own: see `trust_roots`.
x25519.X25519PrivateKey.generate()
_self_signed: Final = x509.load_der_x509_certificate(UNTRUSTED)
_self_signed.verify_directly_issued_by(_self_signed)

_UNLIMITED_IDLE: Final = 600.0
"""Seconds; aioquic knows no connection without an idle timeout."""

_IDLE_MARGIN: Final = 5.0
"""Seconds that QUIC waits longer than the pool, so that the pool closes properly first."""

_DATAGRAM_FRAME: Final = 65_536


def make_configuration(config: PoolConfig, origin: Origin) -> Configuration:
    """The configuration that all connections of one pool share.

    Reads the environment: SSL_CERT_FILE and SSL_CERT_DIR name the roots to trust when no option
    does, and keys are appended to the file that SSLKEYLOGFILE names.

    Raises:
        InvalidOptions: roots that cannot be read, or a qlog folder that is none.
        ResourceExhausted: no descriptor is left to read them.
    """
    idle = config.idle_timeout
    name = config.server_name
    with named_for(origin):
        made = Configuration(
            alpn_protocols=["h3"],
            server_name=origin.host if name is None else fields.normal_host(name),
            idle_timeout=_UNLIMITED_IDLE if idle is None else idle + _IDLE_MARGIN,
            congestion_control_algorithm=config.congestion_control,
            max_data=AT_ONCE,
            max_stream_data=min(config.receive_window, LARGEST_VARINT),
            receive_window_max=config.receive_window_max,
            max_datagram_frame_size=_DATAGRAM_FRAME if config.datagrams else None,
            quic_logger=_qlog(config),
            secrets_log_file=_key_log(),
            session_tickets=config.session_tickets,
            **_trust(config),
        )
        _present(config, made)
        return made


def _qlog(config: PoolConfig) -> QlogFolder | None:
    if config.qlog_dir is None:
        return None
    return QlogFolder(config.qlog_dir, credentials=config.qlog_credentials)


def _present(config: PoolConfig, made: Configuration) -> None:
    """Our own certificate, which is sent when the server asks for one (RFC 8446 4.3.2)."""
    if config.certfile is None:
        return
    try:
        own = _own(config.certfile, config.keyfile).value
    except (ValueError, OSError) as error:
        said = f"certfile={config.certfile!r}, keyfile={config.keyfile!r}"
        raise unreadable(said, "must be PEM", error) from error
    made.certificate, made.certificate_chain, made.private_key = own
    if made.private_key is None:
        raise InvalidOptions(f"certfile={config.certfile!r}: it holds no key, and keyfile=None")
    assert made.certificate is not None
    made.own = made.certificate.fingerprint(hashes.SHA256())


@lru_cache(CACHE_SIZE)
def _own(certfile: str, keyfile: str | None) -> FileCache[tuple[Any, list[Any], Any]]:
    def read() -> tuple[Any, list[Any], Any]:
        read = QuicConfiguration()
        try:
            read.load_cert_chain(certfile, keyfile)
        except (TypeError, IndexError) as error:
            raise ValueError(f"{error}") from error
        return read.certificate, read.certificate_chain, read.private_key

    return FileCache([certfile] if keyfile is None else [certfile, keyfile], read)


def _trust(config: PoolConfig) -> dict[str, Any]:
    roots = trusted_roots(config)
    if roots is None:
        return {"verify_mode": ssl.CERT_NONE}
    return {"verify_mode": ssl.CERT_REQUIRED, "roots": roots}


class _KeyLog:
    """Appends to SSLKEYLOGFILE. Opened for each line: no file to leak, or to share by fork."""

    def __init__(self, path: str) -> None:
        self._path = path

    def write(self, line: str) -> int:
        with contextlib.suppress(OSError), append_to(self._path) as file:
            file.write(line)
        return len(line)

    def flush(self) -> None:
        """Each line has been written through."""


def _key_log() -> TextIO | None:
    path = key_log_path()
    return None if path is None else cast(TextIO, _KeyLog(path))
