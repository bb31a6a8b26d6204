"""Quiver's errors as urllib3 has them: its `Retry` counts by kind, and requests names them anew."""

from __future__ import annotations

from typing import Any, Final

from urllib3 import exceptions

from quiver import errors
from quiver.adapters.policy import cause_of
from quiver.adapters.shared.dispatch import kind_of, said_of, with_notes

__all__ = ["as_urllib3_error", "cause_among"]

KINDS: Final[tuple[tuple[type[errors.QuiverError], type[exceptions.HTTPError]], ...]] = (
    (errors.ConnectTimeout, exceptions.ConnectTimeoutError),
    (errors.CheckoutTimeout, exceptions.ConnectTimeoutError),
    (errors.ReceiveTimeout, exceptions.ReadTimeoutError),
    (errors.RequestTimeout, exceptions.ReadTimeoutError),
    (errors.CertificateInvalid, exceptions.SSLError),
    (errors.HandshakeFailed, exceptions.SSLError),
    (errors.QuiverError, exceptions.ProtocolError),
)
"""The first that an error is one of tells its kind. The rest are to urllib3 a connection that broke
with the request on it; or none at all, where it is proved that the server did not act on that."""


def as_urllib3_error(error: errors.QuiverError, pool: Any, url: str) -> exceptions.HTTPError:
    """Return what urllib3 would have raised, with the notes of the error."""
    return with_notes(_made(error, pool, url), error)


def _made(error: errors.QuiverError, pool: Any, url: str) -> exceptions.HTTPError:
    kind, said = kind_of(error, KINDS), said_of(error)
    if cause_of(error).by_proxy:
        return exceptions.ProxyError(said, error)
    if kind is exceptions.ReadTimeoutError:
        return exceptions.ReadTimeoutError(pool, url, f"Read timed out. {said}")
    if kind is exceptions.ProtocolError and error.unprocessed:
        return exceptions.NewConnectionError(pool, said)
    return kind(said)


def cause_among(error: BaseException | None) -> errors.QuiverError | None:
    """Return the error of Quiver that one of urllib3 or requests comes from, if there is one."""
    while error is not None and not isinstance(error, errors.QuiverError):
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return error
