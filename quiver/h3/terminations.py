"""How a QUIC connection ended, as one of our errors."""

from __future__ import annotations

import re
from typing import Final

from aioquic.quic.events import ConnectionTerminated

from quiver.errors import (
    CertificateInvalid,
    ConnectionLost,
    ConnectionRefused,
    ConnectTimeout,
    HandshakeFailed,
    ProtocolViolation,
    QuiverError,
)
from quiver.h3.codes import TransportCode, alert_of, name_of, transport_name_of

__all__ = ["ended_by_peer", "ended_by_us", "ended_here", "forgotten"]

_CERTIFICATE_ALERTS: Final = frozenset({42, 43, 44, 45, 46, 48})  # RFC 8446 6.2

# Part of what aioquic or OpenSSL says, and what that means. The first that is found holds.
_CERTIFICATE_FAULTS: Final = (
    ("Certificate is not valid yet", "it is not yet valid"),
    ("Certificate is no longer valid", "it has expired"),
    ("hostname '", "it is for another host"),
    ("subjectAltName", "it is for no host at all"),
    ("self-signed certificate in certificate chain", "its issuer is unknown: a self-signed root"),
    ("self-signed certificate", "it is self-signed"),
    ("unable to get local issuer certificate", "its issuer is unknown"),
    ("unable to verify the first certificate", "its issuer is unknown"),
    ("certificate has expired", "an issuer's certificate has expired"),
    ("certificate is not yet valid", "an issuer's certificate is not yet valid"),
    ("unsuitable certificate purpose", "it is not for a server"),
)

_QUOTED: Final = re.compile(r"'([^']*)'")
_MOST_NAMES: Final = 5  # some certificates have hundreds


def ended_by_us(code: int, reason: str, origin: str) -> QuiverError:
    """The owner of the session closed it."""
    return ConnectionLost(
        "the connection was closed by us", origin=origin, code=code, reason=reason
    )


def forgotten(origin: str) -> QuiverError:
    """The server sent a stateless reset: it was restarted, say."""
    return ConnectionLost(
        "connection lost: the server knows nothing of it any more (stateless reset)", origin=origin
    )


def ended_by_peer(event: ConnectionTerminated, origin: str, *, ready: bool) -> QuiverError:
    """The server sent CONNECTION_CLOSE, before or after the handshake was done."""
    said = _said(event)
    if ready:
        return ConnectionLost(
            f"connection lost: the server closed it with {said}",
            origin=origin,
            code=event.error_code,
            reason=event.reason_phrase,
        )
    if event.frame_type is not None and event.error_code == TransportCode.CONNECTION_REFUSED:
        return ConnectionRefused(f"the server takes no new connection: {said}", origin=origin)
    return HandshakeFailed(f"the server broke off the handshake with {said}", origin=origin)


def ended_here(event: ConnectionTerminated, origin: str, *, ready: bool) -> QuiverError:
    """aioquic gave up: a time limit passed, or the server did what it must not."""
    if event.error_code == TransportCode.INTERNAL_ERROR and event.reason_phrase == "Idle timeout":
        return _silence(origin, ready=ready)
    alert = None if event.frame_type is None else alert_of(event.error_code)
    if alert in _CERTIFICATE_ALERTS and not ready:
        return CertificateInvalid(
            f"the server's certificate is refused: {_certificate_fault(event.reason_phrase)}",
            origin=origin,
        )
    if not ready and event.frame_type is not None:
        return HandshakeFailed(f"the handshake failed: {_failure(event, alert)}", origin=origin)
    if event.frame_type is not None and event.error_code == TransportCode.NO_VIABLE_PATH:
        return ConnectionLost(
            f"connection lost: {_said(event)}", origin=origin, code=event.error_code
        )
    return ProtocolViolation(f"the server broke the protocol: {_said(event)}", origin=origin)


def _silence(origin: str, *, ready: bool) -> QuiverError:
    if ready:
        return ConnectionLost("connection lost: silent for the idle timeout", origin=origin)
    return ConnectTimeout("no answer within the idle timeout", origin=origin)


def _failure(event: ConnectionTerminated, alert: int | None) -> str:
    if alert == 120:
        return "the server does not speak HTTP/3 here (no common ALPN)"
    if event.reason_phrase == "Could not find a common protocol version":
        return "no common version of QUIC"
    return _said(event)


def _certificate_fault(reason: str) -> str:
    meaning = next((says for part, says in _CERTIFICATE_FAULTS if part in reason), None)
    if meaning is None:
        return reason or "no reason given"
    if reason.startswith("hostname '"):
        return f"{meaning}: {_names_of(reason)}"
    return f"{meaning} ({reason})"


def _names_of(reason: str) -> str:
    """What aioquic says of names, without the classes that they are in."""
    asked, _, patterns = reason.removeprefix("hostname '").partition("' doesn't match ")
    names = _QUOTED.findall(patterns)
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"not for {asked}, but for {', '.join(names[:_MOST_NAMES])}{more}"


def _said(event: ConnectionTerminated) -> str:
    of_http = event.frame_type is None
    name = name_of(event.error_code) if of_http else transport_name_of(event.error_code)
    return f"{name}: {event.reason_phrase}" if event.reason_phrase else name
