"""TLS over TCP, by Python's ssl in memory; who the server is is judged as over QUIC.

ssl itself verifies nothing here (CERT_NONE): it hands over the chain, and `certificate_judgement`
judges that, by the roots and the rules that QUIC's handshakes have. It is judged as soon as the
server has proved that it has the key, and before anything that follows is sent: in TLS 1.3 the
end of our handshake, our own certificate with it; in TLS 1.2 all but our first message.
"""

from __future__ import annotations

import re
import ssl
from typing import Any, ClassVar, Final, Protocol, cast

from quiver.errors import QuiverError
from quiver.models import Handshake
from quiver.quic.certificate_judgement import CertificateRefused, judge
from quiver.quic.codes import CRYPTO_ERROR, alert_named
from quiver.quic.engine import Cause, ConnectionClosed
from quiver.quic.trust_roots import Roots
from quiver.tcp.byte_stream import ByteStreamFault, broken_off

__all__ = ["TlsStream"]

_LONGEST: Final = 65_536  # bytes of one read
_ALERT: Final = 21  # of records (RFC 5246 6.2.1)
_FATAL: Final = 2
_RECORDS: Final = range(20, 24)  # their types, by which each begins (RFC 8446 5.1)
_HANDSHAKE_FAILURE: Final = 40
_NO_APPLICATION_PROTOCOL: Final = 120
_BAD_CERTIFICATE: Final = 42
_OF_OLD: Final = "http/1.1"  # which servers spoke before there was ALPN


class TlsStream:
    """The client's end of a TLS connection.

    Args:
        context: that makes it: it verifies nothing, and offers `protocols` by ALPN.
        name: host or address that the server's certificate should be for, and that it is asked by.
        roots: who is trusted; None trusts anybody.
        protocols: one of which must be agreed on.

    Attributes:
        protocol: which one it was, from `ready` on.
    """

    says_its_end: ClassVar[bool] = True  # close_notify (RFC 8446 6.1)

    def __init__(
        self,
        context: ssl.SSLContext,
        name: str,
        roots: Roots | None,
        protocols: tuple[str, ...],
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._name = name
        self._roots = roots
        self._protocols = protocols
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self._chain: tuple[bytes, ...] = ()
        self._judged = False
        self._first: int | None = None  # byte that has come
        self._refused = False  # nothing is sent to who is not who it should be,
        self._farewell = b""  # but why
        self.protocol = ""
        self.ready = False
        self.ended = False
        self.fault: ByteStreamFault | None = None

    def begin(self) -> None:
        self._shake_hands()

    def receive_handshake(self, chunk: bytes) -> bool:
        if self._first is None and chunk:
            self._first = chunk[0]
        self._incoming.write(chunk)
        if not self.ready:
            self._shake_hands()
        return self.ready

    def receive(self, chunk: bytes) -> bytes:
        if not self.receive_handshake(chunk):
            return b""
        pieces = []
        try:
            while piece := self._tls.read(_LONGEST):
                pieces.append(piece)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            if not pieces:
                raise self._fault(error) from error
            self.fault = self._fault(error)  # what came before it counts
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write(self, content: bytes) -> None:
        try:
            self._tls.write(content)
        except ssl.SSLError as error:
            raise self._fault(error) from error

    def end(self) -> None:
        if self.ready and not self._refused:
            try:
                self._tls.unwrap()
            except (ssl.SSLError, ValueError):  # its answer is not waited for
                pass

    def take(self) -> bytes:
        if not self._refused:
            return self._outgoing.read()
        said, self._farewell = self._farewell, b""
        return said

    def handshake(self, max_streams: int) -> Handshake:
        cipher, certificate = self._tls.cipher(), self._chain[0] if self._chain else None
        name = "" if cipher is None else cipher[0].removeprefix("TLS_")
        version = self._tls.version() or ""
        return Handshake(version, self.protocol, name, certificate, float("inf"), max_streams, 0)

    def broken_off(self, why: str | None, origin: str) -> QuiverError:
        return broken_off(why, origin)

    # the handshake --------------------------------------------------------------------------

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._judge()
            return
        except ssl.SSLError as error:
            raise self._fault(error) from error
        self._judge()
        if not self._judged:
            raise self._broken(_BAD_CERTIFICATE, "it shows no certificate")
        self.protocol = self._tls.selected_alpn_protocol() or _OF_OLD
        if self.protocol not in self._protocols:
            raise self._broken(_NO_APPLICATION_PROTOCOL, "")
        self.ready = True

    def _judge(self) -> None:
        """Judge the server's chain, if it has come and was not judged yet."""
        if self._judged:
            return
        self._chain = _chain_of(self._tls)
        if not self._chain:
            return
        self._judged = True
        if self._roots is None:
            return
        try:
            judge(self._roots.value, self._chain, self._name)
        except CertificateRefused as refused:
            raise self._broken(refused.alert, refused.reason) from refused
        except Exception as raised:
            self._refused = True
            cause = Cause.RAISED
            raise ByteStreamFault(
                ConnectionClosed(cause, error=raised, by_peer=True, of_certificate=True)
            ) from raised

    def _broken(self, alert: int, reason: str) -> ByteStreamFault:
        self._refused = True
        cipher = self._tls.cipher()
        if self._tls.version() is None and cipher and not cipher[0].startswith("TLS_"):
            # In TLS 1.2 nothing is encrypted yet. In TLS 1.3 it is, by keys that ssl keeps.
            self._farewell = bytes([_ALERT, 3, 3, 0, 2, _FATAL, alert])
        return ByteStreamFault(
            ConnectionClosed(Cause.VIOLATION, CRYPTO_ERROR + alert, reason=reason)
        )

    def _fault(self, error: ssl.SSLError) -> ByteStreamFault:
        """What ssl has raised: the server's alert, or something that ssl itself takes for wrong."""
        said = _words_of(error)
        alert = alert_named(said.replace(" ", "_").upper())
        if alert is not None:
            return ByteStreamFault(ConnectionClosed(Cause.PEER, CRYPTO_ERROR + alert))
        if self._first is not None and self._first not in _RECORDS:
            said = f"the server answers without TLS ({said})"
        code = CRYPTO_ERROR + _HANDSHAKE_FAILURE
        return ByteStreamFault(ConnectionClosed(Cause.VIOLATION, code, reason=said))


def _words_of(error: ssl.SSLError) -> str:
    """OpenSSL's reason; of one that ssl has no name for it is in the message: "[SSL] tlsv1 alert no
    application protocol (_ssl.c:1006)"."""
    said = error.reason or re.sub(r"^\[SSL\] | \(_ssl\.c:\d+\)$", "", str(error))
    return said.replace("_", " ").lower()


class _Certificate(Protocol):
    def public_bytes(self, encoding: int, /) -> bytes: ...


_DER: Final = 2  # _ssl.ENCODING_DER


def _chain_of(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """The certificates that the server has sent, in DER; none before that."""
    if hasattr(tls, "get_unverified_chain"):  # from Python 3.13 on
        return tuple(cast("list[bytes]", tls.get_unverified_chain()))
    within: Any = tls._sslobj  # type: ignore[attr-defined]
    chain: list[_Certificate] | None = within.get_unverified_chain()
    return tuple([each.public_bytes(_DER) for each in chain or ()])
