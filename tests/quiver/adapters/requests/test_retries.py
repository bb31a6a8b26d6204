"""Which retries a body has, of those that were asked for; and what is left of them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from urllib3 import HTTPResponse, Retry
from urllib3.exceptions import (
    HTTPError,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ResponseError,
    SSLError,
)

from quiver.adapters.requests.bodies import body_source
from quiver.adapters.requests.retries import after_answer, after_error, retries_for

POOL: Any = "HTTP/3"
ASKED = Retry(5, status_forcelist=[503], allowed_methods=None, backoff_factor=0)
BROKEN = ProtocolError("it broke")
NONE_THERE = NewConnectionError(POOL, "nobody listens")
NOT_TRUSTED = SSLError("who?")

AGAIN = [None, b"abc", "text", ["a", b"b"], io.BytesIO(b"abc"), io.StringIO("text")]


@pytest.mark.parametrize("body", AGAIN, ids=lambda body: type(body).__name__)
def test_what_can_be_sent_again_has_what_was_asked_for(body: Any) -> None:
    assert retries_for(ASKED, body_source(body)) is ASKED


@pytest.mark.parametrize("error", [BROKEN, NOT_TRUSTED])
def test_what_can_be_sent_once_is_not_sent_after_an_error(error: HTTPError) -> None:
    retries = retries_for(ASKED, body_source(iter([b"abc"])))
    with pytest.raises((type(error), MaxRetryError)):
        after_error(retries, "PUT", "/", error, POOL)


def test_what_can_be_sent_once_waits_for_a_connection_as_long_as_none_of_it_was_read() -> None:
    source = body_source(iter([b"abc"]))
    assert not isinstance(source, bytes | None)
    left = after_error(retries_for(ASKED, source), "PUT", "/", NONE_THERE, POOL)
    assert left.total == 4
    source.open()
    with pytest.raises(MaxRetryError):
        after_error(retries_for(left, source), "PUT", "/", NONE_THERE, POOL)


def answer(status: int, **fields: str) -> HTTPResponse:
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    return HTTPResponse(io.BytesIO(b"body"), headers, status, preload_content=False)


def test_an_answer_that_is_to_be_had() -> None:
    once = retries_for(ASKED, body_source(iter([b"abc"])))
    assert after_answer(ASKED, "GET", "/", answer(200), POOL) is None
    assert after_answer(once, "PUT", "/", answer(503), POOL) is None
    assert after_answer(Retry(5), "POST", "/", answer(503, retry_after="1"), POOL) is None
    assert after_answer(Retry(0), "GET", "/", answer(503, retry_after="1"), POOL) is None
    kept = answer(503)
    calm = Retry(0, status_forcelist=[503], raise_on_status=False)
    assert after_answer(calm, "GET", "/", kept, POOL) is None
    assert kept.read() == b"body"


def test_an_answer_that_is_given_up() -> None:
    given_up = answer(503)
    left = after_answer(ASKED, "POST", "/x", given_up, POOL)
    assert left is not None
    assert (left.total, left.history[0].status, left.history[0].url) == (4, 503, "/x")
    assert given_up.closed


def test_the_last_is_an_error() -> None:
    given_up = answer(503)
    with pytest.raises(MaxRetryError) as caught:
        after_answer(Retry(0, status_forcelist=[503]), "GET", "/", given_up, POOL)
    assert isinstance(caught.value.reason, ResponseError)
    assert given_up.closed
