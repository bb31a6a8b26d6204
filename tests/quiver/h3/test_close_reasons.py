"""How connections end, and which of our errors says so."""

from __future__ import annotations

from functools import partial

import pytest

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
from quiver.h3.close_reasons import Vocabulary, close_reason
from quiver.quic.engine import Cause, ConnectionClosed

ORIGIN = "https://localhost:4433"


def by_peer(
    code: int, reason: str = "", *, transport: bool = True, confirmed: bool = True
) -> ConnectionClosed:
    return ConnectionClosed(Cause.PEER, code, transport, reason, confirmed)


def violation(code: int, reason: str = "", *, transport: bool = True) -> ConnectionClosed:
    return ConnectionClosed(Cause.VIOLATION, code, transport, reason)


# by ourselves, by time, by a stranger -------------------------------------------------------


def test_its_owner_closed_it() -> None:
    closed = ConnectionClosed(Cause.OWNER, 0x100, False, "enough")
    error = close_reason(closed, ORIGIN, ready=True)
    assert isinstance(error, ConnectionLost)
    assert "closed by us with H3_NO_ERROR (0x100)" in str(error)
    assert (error.code, error.reason, error.origin) == (0x100, "enough", ORIGIN)


@pytest.mark.parametrize(("ready", "kind"), [(True, ConnectionLost), (False, ConnectTimeout)])
def test_silence(ready: bool, kind: type[QuiverError]) -> None:
    error = close_reason(ConnectionClosed(Cause.IDLE), ORIGIN, ready=ready)
    assert type(error) is kind
    assert "idle timeout" in str(error)


def test_a_server_that_knows_nothing_of_it() -> None:
    error = close_reason(ConnectionClosed(Cause.STATELESS_RESET), ORIGIN, ready=True)
    assert isinstance(error, ConnectionLost)
    assert "stateless reset" in str(error)


# what was raised ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ready", "by_server", "of_certificate", "raised", "kind", "said"),
    [
        (True, True, False, KeyError(7), ProtocolViolation, "broke the protocol.*KeyError: 7"),
        (False, True, False, KeyError(7), HandshakeFailed, "the handshake failed.*KeyError: 7"),
        (False, True, True, KeyError(7), CertificateInvalid, "cannot be judged .KeyError: 7"),
        (True, False, False, KeyError(7), InternalError, "on our side: KeyError: 7"),
        (False, False, False, KeyError(7), InternalError, "on our side: KeyError: 7"),
        (True, True, False, MemoryError(), InternalError, "on our side: MemoryError"),
        (True, True, False, OSError(28, "full"), InternalError, "on our side: OSError"),
    ],
)
def test_what_was_raised_blames_the_right_side(
    ready: bool,
    by_server: bool,
    of_certificate: bool,
    raised: Exception,
    kind: type[QuiverError],
    said: str,
) -> None:
    closed = ConnectionClosed(
        Cause.RAISED, error=raised, by_peer=by_server, of_certificate=of_certificate
    )
    error = close_reason(closed, ORIGIN, ready=ready)
    assert type(error) is kind
    assert error.__cause__ is raised
    with pytest.raises(kind, match=said):
        raise error


# by the server, in the handshake and after it -----------------------------------------------


@pytest.mark.parametrize(
    ("code", "lasting"),
    [(0x128, True), (0x150, False), (0x15A, False), (0x0C, False), (0x00, False), (0x01, False)],
    ids=["handshake_failure", "internal_error", "user_canceled", "0xc", "0x0", "0x1"],
)
def test_what_is_no_refusal_may_be_over_the_next_time(code: int, lasting: bool) -> None:
    error = close_reason(by_peer(code, "bye"), ORIGIN, ready=False)
    assert isinstance(error, HandshakeFailed) and error.lasting is lasting


def test_what_was_offered_is_told_where_there_is_nothing_in_common() -> None:
    over_tcp = Vocabulary("HTTP/2 or HTTP/1.1", hex, "ssl", "h2, http/1.1")
    by_us = ConnectionClosed(Cause.VIOLATION, 0x178)
    for closed in (by_peer(0x178), by_us):
        error = close_reason(closed, ORIGIN, ready=False)
        assert isinstance(error, HandshakeFailed) and error.lasting
        assert "does not speak HTTP/3 here (offered by ALPN: h3)" in str(error)
        said = str(close_reason(closed, ORIGIN, ready=False, words=over_tcp))
        assert "HTTP/2 or HTTP/1.1 here (offered by ALPN: h2, http/1.1)" in said


def test_a_server_too_busy_for_us_is_worth_another_try() -> None:
    error = close_reason(by_peer(2, "busy"), ORIGIN, ready=False)
    assert isinstance(error, ConnectionRefused)
    assert "CONNECTION_REFUSED (0x2): busy" in str(error)


ABOUT_OURS = {
    42: "bad_certificate",
    43: "unsupported_certificate",
    44: "certificate_revoked",
    45: "certificate_expired",
    46: "certificate_unknown",
    48: "unknown_ca",
    49: "access_denied",
    116: "certificate_required",
}


@pytest.mark.parametrize("alert", ABOUT_OURS)
@pytest.mark.parametrize("confirmed", [True, False])
def test_a_server_that_wants_another_certificate_of_ours(alert: int, confirmed: bool) -> None:
    """It comes when the handshake is done on our side: the server had to see ours first."""
    closed = by_peer(0x100 + alert, "no", confirmed=confirmed)
    ended = partial(close_reason, closed, ORIGIN, ready=True)
    named = f"TLS {ABOUT_OURS[alert]} ({0x100 + alert:#x}): no"
    for certfile, said in [(None, "set certfile"), ("mine.pem", "certfile='mine.pem'")]:
        error = ended(certfile=certfile)
        assert type(error) is HandshakeFailed and error.kind == "unrecoverable"
        assert said in str(error) and named in str(error) and error.origin == ORIGIN
        assert error.unprocessed is not confirmed


@pytest.mark.parametrize(
    ("code", "transport", "reason", "kind"),
    [
        (0x133, True, "decrypt_error", HandshakeFailed),
        (0x100, False, "H3_NO_ERROR", ConnectionLost),
        (0x174, False, "an application's code", ConnectionLost),
        (0x0C, True, "APPLICATION_ERROR", ConnectionLost),
    ],
    ids=["decrypt_error", "H3_NO_ERROR", "0x174", "APPLICATION_ERROR"],
)
def test_a_handshake_that_only_we_took_for_done(
    code: int, transport: bool, reason: str, kind: type[QuiverError]
) -> None:
    ended = partial(by_peer, code, reason, transport=transport)
    error = close_reason(ended(confirmed=False), ORIGIN, ready=True)
    assert type(error) is kind and not error.unprocessed
    assert type(close_reason(ended(confirmed=True), ORIGIN, ready=True)) is ConnectionLost


# by what it must not do ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("closed", "ready", "kind", "said"),
    [
        (violation(0x106, "cut", transport=False), True, ProtocolViolation, "H3_FRAME_ERROR"),
        (violation(0x0A, "bits"), True, ProtocolViolation, "PROTOCOL_VIOLATION"),
        (violation(0x10), True, ConnectionLost, "NO_VIABLE_PATH"),
        (violation(0x128, "no"), False, HandshakeFailed, "handshake_failure"),
        (violation(0x178), False, HandshakeFailed, "does not speak HTTP/3"),
        (violation(0x08, "x"), False, HandshakeFailed, "TRANSPORT_PARAMETER"),
        (violation(0x12A, "odd"), False, CertificateInvalid, "odd"),
        (violation(0x12A), False, CertificateInvalid, "no reason"),
        (violation(0x11), False, HandshakeFailed, "VERSION_NEGOTIATION"),
    ],
)
def test_what_the_engine_gives_up_on(
    closed: ConnectionClosed, ready: bool, kind: type[QuiverError], said: str
) -> None:
    error = close_reason(closed, ORIGIN, ready=ready)
    assert type(error) is kind
    assert said in str(error)
    assert error.origin == ORIGIN
    assert ORIGIN in str(error)
