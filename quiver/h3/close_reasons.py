"""Why a connection is over: the engine's ConnectionClosed as one of our errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import attrs

from quiver.errors import (
    CertificateInvalid,
    ConnectionLost,
    ConnectionRefused,
    ConnectTimeout,
    HandshakeFailed,
    InternalError,
    ProtocolViolation,
    QuiverError,
)
from quiver.h3.codes import name_of
from quiver.printable import in_message
from quiver.quic.codes import TransportCode, alert_of, transport_name_of
from quiver.quic.engine import Cause, ConnectionClosed

__all__ = ["HTTP3", "Vocabulary", "close_reason"]

_CERTIFICATE_ALERTS: Final = frozenset({42, 43, 44, 45, 46, 48})  # RFC 8446 6.2

# What a server says of our certificate, once it has seen what we have, or that we have none.
_ABOUT_OURS: Final = _CERTIFICATE_ALERTS | {49, 116}  # access_denied, certificate_required

_NO_APPLICATION_PROTOCOL: Final = 120  # RFC 7301 3.2
_PASSING_ALERTS: Final = frozenset({80, 90})  # internal_error, user_canceled

_NOBODYS_FAULT: Final = (TransportCode.NO_VIABLE_PATH, TransportCode.AEAD_LIMIT_REACHED)

_UNKNOWN: Final = "its issuer is unknown"
_SELF_SIGNED: Final = "it is self-signed"

# Part of what the TLS library or OpenSSL says, and what that means. The first found holds.
_CERTIFICATE_FAULTS: Final = (
    ("Certificate is not valid yet", "it is not yet valid"),
    ("Certificate is no longer valid", "it has expired"),
    ("hostname '", "it is for another host"),
    ("subjectAltName", "it is for no host at all"),
    ("self-signed certificate in certificate chain", f"{_UNKNOWN}: a self-signed root"),
    ("self-signed certificate", _SELF_SIGNED),
    ("unable to get local issuer certificate", _UNKNOWN),
    ("unable to verify the first certificate", _UNKNOWN),
    ("certificate has expired", "an issuer's certificate has expired"),
    ("certificate is not yet valid", "an issuer's certificate is not yet valid"),
    ("unsuitable certificate purpose of an issuer", "an issuer's certificate is not for servers"),
    ("unsuitable certificate purpose", "it is not for a server"),
    ("invalid CA certificate", "an issuer's certificate is not one of a CA"),
    ("certificate key too weak", "its key, or an issuer's, is too weak"),
    ("digest algorithm too weak", "it, or an issuer's, is signed with a digest that is too weak"),
)

_QUOTED: Final = re.compile(r"'([^']*)'")
_MOST_NAMES: Final = 5  # some certificates have hundreds
_LONGEST: Final = 500  # characters of a reason phrase, or of a name in a certificate


@attrs.frozen
class Vocabulary:
    """How a protocol is called, its codes, the library that speaks it, and ALPN's names for it."""

    protocol: str
    name_of: Callable[[int], str]
    library: str
    offered: str


HTTP3: Final = Vocabulary("HTTP/3", name_of, "the QUIC library", "h3")


def close_reason(
    closed: ConnectionClosed,
    origin: str,
    *,
    ready: bool,
    certfile: str | None = None,
    words: Vocabulary = HTTP3,
) -> QuiverError:
    """What the callers are told.

    Args:
        ready: the handshake was done on our side.
        certfile: where the certificate is from that we have shown.
    """
    match closed.cause:
        case Cause.OWNER:
            return _by_owner(closed, origin, words)
        case Cause.PEER:
            return _by_peer(closed, origin, ready, certfile, words)
        case Cause.VIOLATION:
            return _violation(closed, origin, ready, words)
        case Cause.IDLE:
            return _silence(origin, ready)
        case Cause.STATELESS_RESET:
            said = "connection lost: the server knows nothing of it any more (stateless reset)"
            return ConnectionLost(said, origin=origin)
        case Cause.RAISED:
            return _raised(closed, origin, ready, words)


def _by_owner(closed: ConnectionClosed, origin: str, words: Vocabulary) -> QuiverError:
    return ConnectionLost(
        f"the connection was closed by us with {words.name_of(closed.code)}",
        origin=origin,
        code=closed.code,
        reason=closed.reason,
    )


def _by_peer(
    closed: ConnectionClosed, origin: str, ready: bool, certfile: str | None, words: Vocabulary
) -> QuiverError:
    """The server sent CONNECTION_CLOSE."""
    said = _said(closed, words)
    alert = alert_of(closed.code) if closed.transport else None
    if ready and alert in _ABOUT_OURS:
        error = HandshakeFailed(_refused_ours(said, certfile), origin=origin)
        # It looks at no request before its handshake is done (RFC 9001 5.7).
        error.unprocessed = not closed.confirmed
        return error
    if ready and (closed.confirmed or alert is None):
        return ConnectionLost(
            f"connection lost: the server closed it with {said}",
            origin=origin,
            code=closed.code,
            reason=closed.reason,
        )
    if closed.transport and closed.code == TransportCode.CONNECTION_REFUSED:
        return ConnectionRefused(f"the server takes no new connection: {said}", origin=origin)
    if alert == _NO_APPLICATION_PROTOCOL:
        said = f"{said}: {_nothing_in_common(words)}"
    return HandshakeFailed(
        f"the server broke off the handshake with {said}",
        origin=origin,
        lasting=alert is not None and alert not in _PASSING_ALERTS,
    )


def _violation(
    closed: ConnectionClosed, origin: str, ready: bool, words: Vocabulary
) -> QuiverError:
    """The server did what it must not, of which the handshake may have failed."""
    alert = alert_of(closed.code) if closed.transport else None
    if alert in _CERTIFICATE_ALERTS and not ready:
        fault = _certificate_fault(closed.reason)
        return CertificateInvalid(f"the server's certificate is refused: {fault}", origin=origin)
    if not ready and closed.transport:
        return HandshakeFailed(
            f"the handshake failed: {_failure(closed, alert, words)}", origin=origin
        )
    if closed.transport and closed.code in _NOBODYS_FAULT:
        lost = f"connection lost: {_said(closed, words)}"
        return ConnectionLost(lost, origin=origin, code=closed.code)
    return ProtocolViolation(
        f"the server broke the protocol: {_said(closed, words)}", origin=origin
    )


def _refused_ours(said: str, certfile: str | None) -> str:
    """Our certificate goes out with the end of our handshake: this comes after it (RFC 8446 2)."""
    if certfile is None:
        return f"the server refuses us without a certificate of our own: set certfile ({said})"
    return f"the server refuses our certificate: certfile={certfile!r} ({said})"


def _raised(closed: ConnectionClosed, origin: str, ready: bool, words: Vocabulary) -> QuiverError:
    """A library raised what it should not, or code of ours did.

    For what is raised on what the peer has sent the peer is to answer, unless memory or a file of
    ours is to blame.
    """
    raised = closed.error
    assert raised is not None
    if isinstance(raised, QuiverError):  # a proxy's word, say
        return raised
    said = f"{type(raised).__name__}: {raised}" if str(raised) else type(raised).__name__
    error: QuiverError
    if not closed.by_peer or isinstance(raised, MemoryError | OSError):
        error = InternalError(f"connection lost: it failed on our side: {said}", origin=origin)
    elif ready:
        made = f"what it sent made {words.library} fail"
        error = ProtocolViolation(f"the server broke the protocol: {made} ({said})", origin=origin)
    elif closed.of_certificate:
        fault = f"it cannot be judged ({said})"
        error = CertificateInvalid(f"the server's certificate is refused: {fault}", origin=origin)
    else:
        made = f"what the server sent made {words.library} fail"
        error = HandshakeFailed(f"the handshake failed: {made} ({said})", origin=origin)
    error.__cause__ = raised
    return error


def _silence(origin: str, ready: bool) -> QuiverError:
    if ready:
        return ConnectionLost("connection lost: silent for the idle timeout", origin=origin)
    return ConnectTimeout("no answer within the idle timeout", origin=origin)


def _failure(closed: ConnectionClosed, alert: int | None, words: Vocabulary) -> str:
    if alert == _NO_APPLICATION_PROTOCOL:
        return _nothing_in_common(words)
    if closed.reason == "Could not find a common protocol version":
        return "no common version of QUIC"
    return _said(closed, words)


def _nothing_in_common(words: Vocabulary) -> str:
    return f"the server does not speak {words.protocol} here (offered by ALPN: {words.offered})"


def _certificate_fault(reason: str) -> str:
    meaning = next((says for part, says in _CERTIFICATE_FAULTS if part in reason), None)
    if meaning is None:
        return reason or "no reason given"
    if reason.startswith("hostname '"):
        return f"{meaning}: {_names_of(reason)}"
    what_to_do = ": set cafile or cadata, if it is to be trusted"
    hint = what_to_do if meaning.startswith((_UNKNOWN, _SELF_SIGNED)) else ""
    return f"{meaning} ({reason}){hint}"


def _names_of(reason: str) -> str:
    """What the library says of names, without the classes that they are in."""
    asked, _, patterns = reason.removeprefix("hostname '").partition("' doesn't match ")
    names = _QUOTED.findall(patterns)
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"not for {asked}, but for {', '.join(names[:_MOST_NAMES])}{more}"


def _said(closed: ConnectionClosed, words: Vocabulary) -> str:
    name = transport_name_of(closed.code) if closed.transport else words.name_of(closed.code)
    return f"{name}: {in_message(closed.reason, _LONGEST)}" if closed.reason else name
