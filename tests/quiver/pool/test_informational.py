"""Callbacks for interim responses where nobody waits: asks that do not block, streams, channels."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

import pytest

import quiver
from quiver.testing import Authority, LocalOrigin, Receiver
from tests.support.waiting import until

LIMIT = 5.0  # seconds


class Hinting(Receiver):
    """Gives a 103 at once, and its answer at the end of the request; on /hold never."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.stream.send_headers([(b":status", b"103")])

    def ended(self, trailers: Any) -> None:
        if self.asked.path == "/hint":
            self.stream.answer(200, [], b"ok")


@pytest.fixture(scope="module")
def origin(authority: Authority) -> Iterator[LocalOrigin]:
    with LocalOrigin(authority=authority) as started:
        started.channel("/hint")(Hinting)
        started.channel("/hold")(Hinting)
        yield started


@pytest.fixture
def client(origin: LocalOrigin) -> Iterator[quiver.Client]:
    rule = {"cafile": origin.cafile, "max_connections": 1}
    with quiver.Client(pools={"default": rule}) as made:
        yield made


def refuse(status: int, _: object) -> None:
    raise LookupError(status)


def ask(client: quiver.Client, origin: LocalOrigin, path: str, **options: Any) -> Any:
    """The future of a POST that nobody waits for yet."""
    request = quiver.Request("POST", path, timeout=options.pop("timeout", LIMIT), **options)
    return client.pool(origin.url).ask(request, block=False)


@pytest.mark.parametrize("path", ["/hint", "/hold"])
def test_what_it_raises_ends_that_request(
    client: quiver.Client, origin: LocalOrigin, path: str
) -> None:
    """Whether the answer came behind it, or is waited for; and no other on the connection."""
    beside = [ask(client, origin, "/delay/0.2") for _ in range(3)]
    future = ask(client, origin, path, on_informational=refuse)
    with pytest.raises(LookupError, match="103"):
        future.get(timeout=LIMIT)
    assert not future.cancelled
    assert [each.get(timeout=LIMIT).status for each in beside] == [200] * 3
    until(lambda: not origin.streams_open())
    assert client.stats(origin.url).connections == 1


WHO: Final[ContextVar[str]] = ContextVar("WHO", default="nobody")


@pytest.mark.parametrize("way", ["waits", "streams", "asks"])
def test_it_sees_the_context_variables_of_its_caller(
    client: quiver.Client, origin: LocalOrigin, way: str
) -> None:
    """In whatever thread it is called; also where one request is asked twice at a time."""
    seen: list[str] = []
    options: Any = {"on_informational": lambda *_: seen.append(WHO.get()), "timeout": LIMIT}
    token = WHO.set("me")
    try:
        request = quiver.Request("POST", "/hint", **options)
    finally:
        WHO.reset(token)
    if way == "asks":
        futures = [client.pool(origin.url).ask(request, block=False) for _ in range(2)]
        assert [each.get(timeout=LIMIT).status for each in futures] == [200, 200]
    else:
        token = WHO.set("me")
        try:
            send = client.post if way == "waits" else partial(client.stream, "POST")
            assert send(origin.url + "/hint", **options).status == 200
        finally:
            WHO.reset(token)
    assert set(seen) == {"me"}


def test_what_it_raises_ends_that_channel(client: quiver.Client, origin: LocalOrigin) -> None:
    url = origin.url + "/hold"
    with client.open_channel(url, method="GET", on_informational=refuse) as channel:
        with pytest.raises(LookupError, match="103"):
            next(iter(channel))
        until(lambda: not origin.streams_open())
    assert client.get(origin.url + "/ok").status == 200


def test_one_that_does_not_return_holds_the_answer_up_no_longer_than_it_may(
    client: quiver.Client, origin: LocalOrigin
) -> None:
    go_on = threading.Event()
    future = ask(
        client, origin, "/hint", on_informational=lambda *_: go_on.wait(LIMIT), timeout=0.5
    )
    try:
        with pytest.raises(quiver.RequestTimeout, match="on_informational"):
            future.get(timeout=LIMIT)
    finally:
        go_on.set()


def test_a_body_that_waits_for_it(client: quiver.Client, origin: LocalOrigin) -> None:
    """Who reads the body does not make the call, so neither waits for the other."""
    hinted = threading.Event()

    def body() -> Iterator[bytes]:
        yield b"x"
        assert hinted.wait(LIMIT)
        yield b"y"

    future = ask(client, origin, "/hint", body=body(), on_informational=lambda *_: hinted.set())
    assert future.get(timeout=LIMIT).status == 200
