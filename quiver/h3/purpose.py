"""What a certificate may be used for (RFC 5280 4.2.1.12), which aioquic does not look at."""

from __future__ import annotations

import ssl
from typing import Final

from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicFrameType
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from quiver.h3.codes import CRYPTO_ERROR

__all__ = ["is_for_servers", "refused_by_purpose"]

_UNSUPPORTED_CERTIFICATE: Final = CRYPTO_ERROR + 43


def refused_by_purpose(quic: QuicConnection) -> bool:
    """Close a connection whose server has shown a certificate for other uses; say whether it did.

    To be asked when the handshake is over, before anything is sent.
    """
    certificate = quic.tls._peer_certificate  # None when the session was resumed
    if quic.configuration.verify_mode == ssl.CERT_NONE or certificate is None:
        return False
    if is_for_servers(certificate):
        return False
    reason = "unsuitable certificate purpose"
    quic.close(_UNSUPPORTED_CERTIFICATE, QuicFrameType.CRYPTO, reason)
    return True


def is_for_servers(certificate: x509.Certificate) -> bool:
    """Whether its extended key usage, if it has any, lets it speak for a server."""
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return (
        ExtendedKeyUsageOID.SERVER_AUTH in usages
        or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages
    )
