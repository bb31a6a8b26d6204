"""Secrets: a URL, a field or a value in a wrong place tells none in messages and reprs."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

import quiver
from quiver.actors import log
from quiver.config import PoolConfig
from quiver.h3.events import Headers, TrailersReceived
from quiver.origin import Origin
from quiver.redaction import names_of, redacted_field, redacted_url
from quiver.request import OpenChannel, StreamRequest

SECRET: Final = "s3cret"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h:8443/a/b", "https://h:8443/a/b"),
        ("https://h/a@b/c", "https://h/a@b/c"),
        ("https://[::1]:443/a@b", "https://[::1]:443/a@b"),
        ("/a@b", "/a@b"),
        ("/", "/"),
        ("h:443", "h:443"),
        ("/a?token=s3cret", "/a?***"),
        ("https://h/#s3cret?x", "https://h/#***"),
        ("https://h?s3cret", "https://h?***"),
        ("https://u:s3cret@h/a", "https://***@h/a"),
        ("https://s3cret@h", "https://***@h"),
        ("//u:s3cret@h/", "//***@h/"),
        ("u:s3cret@h/a", "***@h/a"),
        ("https://u:s3/cr@et@h/a", "https://***@h/a"),
        ("https://u:s3?cr#et@h/a?b", "https://***@h/a?***"),
        ("https:u:s3cret@h", "***@h"),
        ("https://u:s3cret @h/", "https://***@h/"),
    ],
)
def test_urls(url: str, shown: str) -> None:
    assert redacted_url(url) == shown


password = st.text(st.characters(codec="utf-8"), max_size=8).map(lambda more: f"x{SECRET}{more}")


@given(password, st.sampled_from(["https://", "http://", "", "//", "ftp://"]), st.text(max_size=5))
def test_no_password_is_shown_whatever_is_in_it(password: str, scheme: str, rest: str) -> None:
    assert SECRET not in redacted_url(f"{scheme}user:{password}@host/{rest}")


@given(st.text(), st.text())
def test_no_query_is_shown(path: str, more: str) -> None:
    assert SECRET not in redacted_url(f"/{path.replace('@', '')}?{SECRET}{more}")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("authorization", "Bearer s3cret", "***"),
        ("proxy-authorization", "s3cret", "***"),
        ("cookie", "a=s3cret", "***"),
        ("set-cookie", "a=s3cret", "***"),
        ("x-api-key", "s3cret", "***"),
        ("X-Auth-Token", "s3cret", "***"),
        ("location", "https://u:p@h/?a=s3cret", "https://***@h/?***"),
        ("x-functions-key", "s3cret", "***"),
        ("api_key", "s3cret", "***"),
        ("x-goog-iap-jwt-assertion", "s3cret", "***"),
        (":path", "/a?s3cret", "/a?***"),
        ("x-original-url", "/a?b=s3cret", "/a?***"),
        ("destination", "https://u:s3cret@h/", "https://***@h/"),
        ("link", "<https://h/a?s3cret>; rel=next", "<https://h/a?***"),
        ("refresh", "5; a?s3cret", "5; a?***"),
        ("user-agent", "bot/1 (+https://h/bot)", "bot/1 (+https://h/bot)"),
        (":authority", "h", "h"),
        ("content-type", "text/plain", "text/plain"),
    ],
)
def test_fields(name: str, value: str, shown: str) -> None:
    assert redacted_field(name, value) == shown


# where they may stand ---------------------------------------------------------------------------

U: Final = f"https://user:{SECRET}"
CALLS: Final[dict[str, Callable[[], object]]] = {
    "a space": lambda: quiver.get(f"{U} pw@h/"),
    "a slash in the password": lambda: quiver.get(f"{U}/x@h/"),
    "not ASCII": lambda: quiver.get(f"{U}@h/ü"),
    "http": lambda: quiver.get(f"http://user:{SECRET}@h/"),
    "no scheme": lambda: quiver.get(f"user:{SECRET}@h/"),
    "a port": lambda: quiver.get(f"{U}@h:99999/"),
    "user information": lambda: quiver.get(f"{U}@h/"),
    "bytes": lambda: quiver.get(f"{U}@h/".encode()),  # type: ignore[arg-type]
    "a query": lambda: quiver.get(f"https://h/a b?token={SECRET}"),
    "a query, http": lambda: quiver.get(f"ftp://h/?token={SECRET}"),
    "a target": lambda: quiver.Request("GET", f"/a b?token={SECRET}"),
    "bytes as target": lambda: quiver.Request("GET", f"/?{SECRET}".encode()),  # type: ignore[arg-type]
    "a long target": lambda: quiver.Request("GET", f"/?{SECRET}{'x' * 70_000}"),
    "elsewhere": lambda: quiver.Request("GET", f"https://h/?{SECRET}", origin=Origin("https", "i")),
    "a pool": lambda: quiver.Client().pool(f"{U}@h"),
    "an origin": lambda: Origin.parse(f"{U}@h"),
    "a rule": lambda: quiver.Client(pools={f"{U}@h": {}}),
    "a rule with a query": lambda: quiver.Client(pools={f"https://h/?{SECRET}": {}}),
    "no rule": lambda: quiver.Client(pools={"default": SECRET}),  # type: ignore[dict-item]
    "a key as keyfile": lambda: quiver.Client(
        pools={"default": {"certfile": __file__, "keyfile": f"-----BEGIN KEY-----\n{SECRET}"}}
    ),
    "server_name": lambda: quiver.Client(pools={"default": {"server_name": f"{U}@h"}}),
    "authorization": lambda: headers({"authorization": f"Bearer {SECRET}\n"}),
    "any header": lambda: headers({"x-mine": f"{SECRET}\u2028"}),
    "padded": lambda: headers({"x-mine": f" {SECRET}"}),
    "a cookie": lambda: headers({"cookie": f"{SECRET}\0"}),
    "no text": lambda: headers({"cookie": [SECRET]}),
    "a line as name": lambda: headers({f"authorization: Bearer {SECRET}": ""}),
    "a line": lambda: headers([f"authorization: Bearer {SECRET}"]),
    "lines": lambda: headers(f"authorization: Bearer {SECRET}"),
    "three": lambda: headers([("authorization", "Bearer", SECRET)]),
    "host": lambda: headers({"host": f"user:{SECRET}@h/"}),
    "hosts": lambda: headers([("host", f"user:{SECRET}@h"), ("host", "h")]),
    "a trailer": lambda: quiver.Request("POST", "/", trailers={"host": SECRET}),
}


def headers(given: Any) -> object:
    return quiver.get("https://h/", headers=given)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_no_message_tells_a_secret(call: Callable[[], object]) -> None:
    with pytest.raises(quiver.InvalidError) as caught:
        call()
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error) and SECRET not in repr(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


@pytest.mark.parametrize("kind", [quiver.Request, StreamRequest, OpenChannel])
def test_the_repr_of_a_request_has_names_alone(kind: Any) -> None:
    method = {"method": "CONNECT", "protocol": "p"} if kind is OpenChannel else {"method": "POST"}
    given = {"headers": {"authorization": SECRET, "x-y": SECRET}, "target": f"/a?b={SECRET}"}
    made = kind(**method, **given)
    assert SECRET not in repr(made)
    assert "authorization, x-y" in repr(made) and "/a?***" in repr(made)
    assert copy.copy(made) == made


def test_nor_has_that_of_options_a_key() -> None:
    pem = f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----BEGIN CERTIFICATE-----\n".encode()
    shown = repr(PoolConfig(cadata=pem))
    assert SECRET not in shown and f"cadata=<bytes of {len(pem)}>" in shown


@pytest.mark.parametrize(
    "message", [f"{U}@h/", {"authorization": SECRET}, [SECRET]], ids=["a URL", "headers", "a list"]
)
def test_what_is_asked_by_mistake_is_not_told(
    message: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with quiver.Client() as client, caplog.at_level(logging.DEBUG):
        pool = client.pool("https://h")
        with pytest.raises(quiver.InvalidRequest, match=r" is neither a quiver\.Request") as caught:
            pool.ask(message)
        pool.tell(message)
    log.flush(5.0)
    assert SECRET not in f"{caught.value!r} {caplog.text}" and "is neither" in caplog.text


def test_neither_has_that_of_what_comes() -> None:
    fields = [("set-cookie", SECRET)]
    for made in (
        Headers(0, 200, fields, True),
        TrailersReceived(0, fields),
        quiver.Response(200, fields, SECRET.encode(), fields),
        quiver.Request("POST", "/", trailers=fields),
        quiver.Request("POST", "/", trailers=lambda: fields),
    ):
        assert SECRET not in repr(made)
    assert names_of(fields) == "<set-cookie>"
