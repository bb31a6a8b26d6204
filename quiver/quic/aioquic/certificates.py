"""Whether a server is who it should be: aioquic hands over its chain, ssl judges it.

aioquic has a verification of its own, which reads the roots each time, looks at no purpose and at
no strength, and knows fewer names. It is turned off. `chain_verifier` takes its place, at the same
point of the handshake: the server has proved that it has the key, and we have sent nothing yet.
"""

from __future__ import annotations

import datetime
import ssl
import traceback
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from aioquic import tls
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography.hazmat.primitives.asymmetric import ec

from quiver.chain_verifier import ChainRefused, ChainVerifier
from quiver.quic.aioquic.packet_keys import UPDATE_AFTER
from quiver.quic.certificate_judgement import CertificateRefused, judge, refusal
from quiver.quic.shown_certificate import ShownCertificate
from quiver.quic.tls_messages import MessageTooLong, TlsMessages
from quiver.quic.trust import Trust, trust_by
from quiver.quic.trust_roots import Roots

__all__ = ["Configuration", "about_certificate", "demand_verified", "judge_by"]

_JUDGES: Final = frozenset(
    {
        "_set_peer_certificate",
        "_check_certificate_verify_signature",
        "_verify_chain",
        "demand_verified",
    }
)
"""The functions, of aioquic and ours, that look at what a certificate says."""

_PKCS1: Final = (0x0401, 0x0501, 0x0601)  # with SHA-256, -384, -512; in certificates only
_WITH_RSA_KEYS: Final = (0x0804, 0x0805, 0x0806)  # rsa_pss_rsae_sha256 and so on
_WITH_PSS_KEYS: Final = {0x0809: 0x0804, 0x080A: 0x0805, 0x080B: 0x0806}
_BY_CURVE: Final = {
    "secp256r1": frozenset({0x0403}),
    "secp384r1": frozenset({0x0503}),
    "secp521r1": frozenset({0x0603}),
}
_EC_KEY: Final = bytes.fromhex("2a8648ce3d0201")  # RFC 5480 2.1.1
_BY_KEY: Final = {
    bytes.fromhex("2a864886f70d010101"): frozenset(_WITH_RSA_KEYS),  # RFC 8017 A.1
    bytes.fromhex("2a864886f70d01010a"): frozenset(_WITH_PSS_KEYS),  # RFC 8017 A.2.3
    bytes.fromhex("2b6570"): frozenset({0x0807}),  # Ed25519 (RFC 8410 3)
    bytes.fromhex("2b6571"): frozenset({0x0808}),  # Ed448
}
"""The signature schemes of RFC 8446 4.2.3 by the key that may sign a handshake with them."""

_OFFERED: Final = (
    *(0x0403, 0x0804, 0x0503, 0x0805, 0x0603, 0x0806, 0x0807, 0x0808),
    *_WITH_PSS_KEYS,
    *_PKCS1,
)
"""What ssl offers at security level 2, but for what TLS 1.3 has not. No SHA-1."""


@dataclass
class Configuration(QuicConfiguration):
    """What all connections of one pool share."""

    roots: Roots | None = None
    receive_window_max: int = 0
    update_keys_after: int = UPDATE_AFTER
    session_tickets: bool = False
    own: bytes | None = None

    def trust(self) -> Trust:
        """The trust of a handshake that begins now."""
        verifier = None if self.roots is None else self.roots.value
        return trust_by(verifier, self.server_name, self.own)


def judge_by(
    roots: Roots | None, name: str | None, context: tls.Context, own: bytes | None = None
) -> None:
    """Let a handshake that has not begun verify by `roots`, and for this host or address.

    Without roots anybody is trusted who has the key of the certificate that is shown.
    """
    context._verify_mode = ssl.CERT_NONE  # it would verify itself
    context._signature_algorithms = [*_OFFERED]
    context.__class__ = _VerifyingContext
    verifying = cast(_VerifyingContext, context)
    verifying.roots, verifying.name, verifying.own = roots, name or "", own
    verifying.messages = TlsMessages()


class _VerifyingContext(tls.Context):
    roots: Roots | None
    name: str
    own: bytes | None
    messages: TlsMessages
    _peer_certificate: Any  # a ShownCertificate; what aioquic would make of it reads too much
    chain: tuple[bytes, ...] = ()
    trust: Trust | None = None  # by which the chain was accepted, and
    shown_at = 0.0  # when, in seconds since the epoch
    is_verified = False

    def handle_message(self, input_data: bytes, output_buf: Any) -> None:
        """Let aioquic have whole messages: of one that has begun it copies all, for each piece."""
        if not input_data:
            return super().handle_message(input_data, output_buf)  # it is to begin
        try:
            for message in self.messages.take(input_data):
                super().handle_message(message, output_buf)
        except MessageTooLong as error:
            raise tls.AlertDecodeError(str(error)) from error

    def _set_peer_certificate(self, certificate: Any) -> None:
        self.chain = tuple([der for der, _ in certificate.certificates])
        try:
            self._peer_certificate = ShownCertificate(self.chain[0])
        except ValueError as error:
            raise tls.AlertBadCertificate("Certificate could not be parsed") from error

    def _client_handle_certificate_verify(self, input_buf: Any) -> None:
        super()._client_handle_certificate_verify(input_buf)  # by itself, the signature only
        assert self._peer_certificate is not None, "else there was no signature to check"
        verifier = None if self.roots is None else self.roots.value
        if verifier is not None:
            self._verify_chain(self._peer_certificate, verifier)
            self.is_verified = True
        self.trust = trust_by(verifier, self._server_name, self.own)
        self.shown_at = datetime.datetime.now(datetime.UTC).timestamp()

    def _check_certificate_verify_signature(self, verify: Any) -> None:
        """Look whether the signature is one that the certificate's key may make (RFC 8446 4.2.3).

        aioquic tells RSA from curves, but no curve from another, and knows no keys for RSASSA-PSS
        alone: their signatures are the same, under other numbers.
        """
        assert self._peer_certificate is not None, "it comes before"
        algorithm = verify.algorithm
        if algorithm in _OFFERED and algorithm not in _signatures_of(self._peer_certificate):
            raise tls.AlertIllegalParameter("CertificateVerify is of another kind than the key")
        if algorithm in _WITH_PSS_KEYS:
            verify = replace(verify, algorithm=_WITH_PSS_KEYS[algorithm])
        super()._check_certificate_verify_signature(verify)

    def _verify_chain(self, certificate: ShownCertificate, verifier: ChainVerifier) -> None:
        try:
            if not _signatures_of(certificate):
                said = "its key is of a kind that TLS 1.3 has no signatures for"
                raise refusal(ChainRefused(0, said), self.chain[0], self.name)
            judge(verifier, self.chain, self.name, certificate)
        except CertificateRefused as refused:
            raise _Refused(refused) from refused


def _signatures_of(certificate: ShownCertificate) -> frozenset[int]:
    """The algorithms that its key may sign a handshake with."""
    if certificate.key_algorithm == _EC_KEY:
        key = certificate.public_key()
        curve = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else ""
        return _BY_CURVE.get(curve, frozenset())
    return _BY_KEY.get(certificate.key_algorithm, frozenset())


class _Refused(tls.Alert):
    """The alert of a refusal, with its reason."""

    def __init__(self, refused: CertificateRefused) -> None:
        super().__init__(refused.reason)
        self.description = tls.AlertDescription(refused.alert)


def demand_verified(quic: QuicConnection) -> None:
    """Raise RuntimeError if a handshake is over that should have verified, and has not.

    Where a session was resumed, it was verified when that began: see `session`.
    """
    if getattr(quic.configuration, "roots", None) is None or quic.tls.session_resumed:
        return
    if not (isinstance(quic.tls, _VerifyingContext) and quic.tls.is_verified):
        raise RuntimeError("the server's certificate was not verified")


def about_certificate(raised: BaseException) -> bool:
    """Whether it was raised while a certificate was judged."""
    frames = traceback.walk_tb(raised.__traceback__)
    return any(frame.f_code.co_name in _JUDGES for frame, _ in frames)
