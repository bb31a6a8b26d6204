"""What each error of Quiver is to urllib3, and so to its Retry and to requests."""

from __future__ import annotations

import pytest
from urllib3 import exceptions

from quiver import errors
from quiver.adapters.requests.urllib3_errors import as_urllib3_error, cause_among

POOL = "HTTP/3"


def goaway() -> errors.GoAway:
    return errors.GoAway("it left")


def refused() -> errors.ConnectionRefused:
    error = errors.ConnectionRefused("nobody listens")
    error.unprocessed = True
    return error


def late() -> errors.RequestTimeout:
    error = errors.RequestTimeout("late")
    error.__cause__ = errors.ConnectTimeout("no connection")
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.ConnectTimeout("x"), exceptions.ConnectTimeoutError),
        (errors.CheckoutTimeout("x"), exceptions.ConnectTimeoutError),
        (late(), exceptions.ConnectTimeoutError),
        (errors.RequestTimeout("x"), exceptions.ReadTimeoutError),
        (errors.ReceiveTimeout("x"), exceptions.ReadTimeoutError),
        (errors.CertificateInvalid("x"), exceptions.SSLError),
        (errors.HandshakeFailed("x"), exceptions.SSLError),
        (refused(), exceptions.NewConnectionError),
        (goaway(), exceptions.NewConnectionError),
        (errors.StreamReset("x", code=0x10B), exceptions.NewConnectionError),
        (errors.StreamReset("x", code=0x102), exceptions.ProtocolError),
        (errors.ConnectionLost("x"), exceptions.ProtocolError),
        (errors.ProtocolViolation("x"), exceptions.ProtocolError),
        (errors.InternalError("x"), exceptions.ProtocolError),
    ],
    ids=lambda each: str(getattr(each, "__name__", type(each).__name__)),
)
def test_kinds(error: errors.QuiverError, kind: type[exceptions.HTTPError]) -> None:
    made = as_urllib3_error(error, POOL, "/x")
    assert type(made) is kind
    assert error.message in str(made)


def test_a_refused_certificate_is_told_in_the_words_of_ssl() -> None:
    made = as_urllib3_error(errors.CertificateInvalid("it is expired"), POOL, "/x")
    assert str(made).startswith("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: ")
    assert str(made).endswith("it is expired")
    assert "SSL" not in str(as_urllib3_error(refused(), POOL, "/x"))


def test_the_cause_is_found_through_what_wraps_it() -> None:
    ours = refused()
    try:
        try:
            raise as_urllib3_error(ours, POOL, "/x") from ours
        except exceptions.HTTPError as error:
            raise exceptions.MaxRetryError(POOL, "/x", error) from error  # type: ignore[arg-type]
    except exceptions.MaxRetryError as error:
        assert cause_among(error) is ours


def test_what_was_left_behind_is_no_cause() -> None:
    try:
        try:
            raise refused()
        except errors.QuiverError:
            raise OSError from None
    except OSError as error:
        assert cause_among(error) is None
    assert cause_among(None) is None
