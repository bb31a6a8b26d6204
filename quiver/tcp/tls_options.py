"""A pool's options as TLS over TCP has them. What it would refuse later is refused here."""

from __future__ import annotations

import ssl

import attrs

from quiver import fields
from quiver.config import PoolConfig
from quiver.errors import InvalidOptions
from quiver.origin import Origin
from quiver.quic.trust_options import key_log_path, named_for, trusted_roots, unreadable
from quiver.quic.trust_roots import Roots
from quiver.tcp.tls_stream import TlsStream

__all__ = ["TlsOptions", "make_tls_options"]


@attrs.frozen
class TlsOptions:
    """What all connections of one pool share.

    Attributes:
        context: see `TlsStream`, and so of the others.
    """

    context: ssl.SSLContext
    name: str
    roots: Roots | None
    protocols: tuple[str, ...]

    def stream(self) -> TlsStream:
        """A stream that has not begun."""
        return TlsStream(self.context, self.name, self.roots, self.protocols)


def make_tls_options(config: PoolConfig, origin: Origin, *protocols: str) -> TlsOptions:
    """Read what the options name; `protocols` are ALPN's names of what may be spoken, in order.

    Raises:
        InvalidOptions: roots or a certificate of ours that cannot be read.
        ResourceExhausted: no descriptor is left to read them.
    """
    name = config.server_name
    with named_for(origin):
        return TlsOptions(
            _context(config, protocols),
            origin.host if name is None else fields.normal_host(name),
            trusted_roots(config),
            protocols,
        )


def _context(config: PoolConfig, protocols: tuple[str, ...]) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE  # see `TlsStream`
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION  # RFC 9113 9.2.1
    made.set_alpn_protocols(list(protocols))
    if config.certfile is not None:
        try:
            made.load_cert_chain(config.certfile, config.keyfile, password=_no_password)
        except (ValueError, OSError) as error:
            said = f"certfile={config.certfile!r}, keyfile={config.keyfile!r}"
            raise unreadable(said, "must be PEM", error) from error
    path = key_log_path()
    if path is not None:
        made.keylog_filename = path
    return made


def _no_password() -> str:
    """What a terminal would be asked for."""
    raise InvalidOptions("keyfile: a key that a password protects cannot be read")
