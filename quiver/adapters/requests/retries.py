"""urllib3's `Retry`, as urllib3 goes by it: what is left after an error or an answer.

A body that can be sent once is not sent again, whatever was asked for. urllib3 itself would send
what is left of it.
"""

from __future__ import annotations

from typing import Any, Final

from urllib3 import BaseHTTPResponse, Retry
from urllib3.exceptions import HTTPError, MaxRetryError

from quiver.streams.body_source import BodySource

__all__ = ["after_answer", "after_error", "retries_for"]

NO_METHOD: Final = frozenset({""})  # none at all would mean any


def retries_for(retries: Retry, source: bytes | BodySource | None) -> Retry:
    """Return the retries that a body may have: those given, if all of it can be sent again.

    Else there is none after an answer, nor after an error behind the connection; and none for want
    of a connection once it has been opened.
    """
    if not isinstance(source, BodySource) or source.replayable:
        return retries
    connect = 0 if source.opened else retries.connect
    return retries.new(connect=connect, read=False, other=0, allowed_methods=NO_METHOD)


def after_error(retries: Retry, method: str, url: str, error: HTTPError, pool: Any) -> Retry:
    """Count the error, wait, and return what is left.

    Raises:
        MaxRetryError: nothing is left; `error` is its reason.
        HTTPError: the error itself, after which this method is not tried again.
    """
    left = retries.increment(method, url, error=error, _pool=pool, _stacktrace=error.__traceback__)
    left.sleep()
    return left


def after_answer(
    retries: Retry, method: str, url: str, response: BaseHTTPResponse, pool: Any
) -> Retry | None:
    """Give up the response, wait, and return what is left; None if the response is to be had.

    Raises:
        MaxRetryError: nothing is left, and an answer such as this one is an error then.
    """
    tells_when = bool(response.headers.get("Retry-After"))
    if not retries.is_retry(method, response.status, tells_when):
        return None
    try:
        left = retries.increment(method, url, response=response, _pool=pool)
    except MaxRetryError:
        if not retries.raise_on_status:
            return None
        response.close()
        raise
    response.close()  # which costs a stream alone: there is no connection to be drained for others
    left.sleep(response)
    return left
