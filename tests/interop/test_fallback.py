"""The way back to TCP: UDP that is blocked, Alt-Svc that is learned, and who answered."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from quiver.adapters.httpx import AsyncHTTP3Transport, HTTP3Transport
from quiver.adapters.policy import Policy
from quiver.adapters.requests import HTTP3Adapter
from quiver.testing import Authority, LocalOrigin, Origin
from tests.support.backend import backend
from tests.support.blackhole import mute
from tests.support.servers import Caddy

AFTER = 0.3  # seconds
SLACK = 0.7  # seconds for a round trip on a machine that is busy

Asked = tuple[str, bytes]  # the protocol that answered, and the body


def by_requests(policy: Policy, cafile: str) -> Iterator[Callable[..., Asked]]:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = cafile
        session.mount("https://", HTTP3Adapter(policy=policy))

        def ask(url: str, pieces: list[bytes] | None = None) -> Asked:
            method = "GET" if pieces is None else "POST"
            data = None if pieces is None else iter(pieces)
            response = session.request(method, url, data=data)
            return {30: "HTTP/3", 11: "HTTP/1.1"}[response.raw.version], response.content

        yield ask


def by_httpx(policy: Policy, cafile: str) -> Iterator[Callable[..., Asked]]:
    with httpx.Client(transport=HTTP3Transport(verify=cafile, policy=policy)) as client:

        def ask(url: str, pieces: list[bytes] | None = None) -> Asked:
            method = "GET" if pieces is None else "POST"
            content = None if pieces is None else iter(pieces)
            response = client.request(method, url, content=content)
            return response.http_version, response.content

        yield ask


def by_asyncio(policy: Policy, cafile: str) -> Iterator[Callable[..., Asked]]:
    async def asked(url: str, pieces: list[bytes] | None) -> Asked:
        transport = AsyncHTTP3Transport(verify=cafile, policy=policy)
        async with httpx.AsyncClient(transport=transport) as client:
            content = None if pieces is None else _in_asyncio(pieces)
            method = "GET" if pieces is None else "POST"
            response = await client.request(method, url, content=content)
            return response.http_version, response.content

    def ask(url: str, pieces: list[bytes] | None = None) -> Asked:
        return asyncio.run(asked(url, pieces))

    yield ask


async def _in_asyncio(pieces: list[bytes]) -> Any:
    for piece in pieces:
        yield piece


WAYS = [by_requests, by_httpx, by_asyncio]
Open = Callable[[Policy], AbstractContextManager[Callable[..., Asked]]]


@pytest.fixture(params=WAYS, ids=lambda way: str(way.__name__))
def opened(request: pytest.FixtureRequest, authority: Authority) -> Open:
    """Opens one of the three clients with a policy."""
    way = contextlib.contextmanager(request.param)
    return lambda policy: way(policy, authority.cafile)


@pytest.fixture
def over_tcp(authority: Authority) -> Iterator[int]:
    """The port of a server that speaks HTTPS, and no HTTP/3."""
    with backend(authority.issue()) as port:
        yield port


@pytest.fixture(scope="module")
def caddy(authority: Authority) -> Iterator[Caddy]:
    with Caddy(authority) as started:
        yield started


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    began = time.monotonic()
    return call(), time.monotonic() - began


@pytest.mark.parametrize("silent", [False, True], ids=["nobody listens", "nobody answers"])
def test_udp_is_blocked(silent: bool, opened: Open, over_tcp: int) -> None:
    hole = mute(over_tcp) if silent else contextlib.nullcontext()
    url = f"https://localhost:{over_tcp}/back/status/200"
    with hole, opened(Policy(fallback_after=AFTER)) as ask:
        first, seconds = timed(lambda: ask(url))
        assert first == ("HTTP/1.1", b"200")
        assert seconds < AFTER + SLACK
        assert not silent or seconds >= AFTER
        again, seconds = timed(lambda: ask(url))
        assert again == ("HTTP/1.1", b"200")
        assert seconds < AFTER, "it was not left alone"


def test_a_body_goes_out_whole_and_once(opened: Open, over_tcp: int) -> None:
    with mute(over_tcp), opened(Policy(fallback_after=0.1)) as ask:
        protocol, body = ask(f"https://localhost:{over_tcp}/back/echo", [b"one ", b"two"])
    assert protocol == "HTTP/1.1" and b'"body": "one two"' in body


def test_what_was_sent_is_not_sent_again(opened: Open, origin: Origin) -> None:
    """The origin has no TCP: a second try there would say so."""
    with opened(Policy()) as ask, pytest.raises((requests.ConnectionError, httpx.TransportError)):
        ask(origin.url + "/reset/0x102?id=once")
    assert origin.seen("once") == 1


def test_http3_first(opened: Open, caddy: Caddy) -> None:
    with opened(Policy(fallback_after=10.0)) as ask:
        assert ask(caddy.url + "/small") == ("HTTP/3", b"ok")


def test_alt_svc_is_learned_and_kept(opened: Open, caddy: Caddy, tmp_path: Path) -> None:
    file = tmp_path / "alternatives"
    with opened(Policy("alt-svc", fallback_after=10.0, file=file)) as ask:
        assert [ask(caddy.url + "/small")[0] for _ in range(3)] == ["HTTP/1.1", "HTTP/3", "HTTP/3"]
    with opened(Policy("alt-svc", fallback_after=10.0, file=file)) as ask:
        assert ask(caddy.url + "/small") == ("HTTP/3", b"ok")


def test_a_hint(opened: Open, caddy: Caddy) -> None:
    with opened(Policy("alt-svc", fallback_after=10.0, hints=[caddy.url])) as ask:
        assert ask(caddy.url + "/small") == ("HTTP/3", b"ok")


def test_an_alternative_elsewhere(opened: Open, over_tcp: int, origin: Origin) -> None:
    """The origin on TCP names another host and port, which answers for it."""
    url = f"https://localhost:{over_tcp}"
    field = f'h3="127.0.0.1:{origin.port}"'
    with opened(Policy("alt-svc", fallback_after=10.0)) as ask:
        assert ask(url + "/back/status/200") == ("HTTP/1.1", b"200")
        ask(f"{url}/back/announce?field={field}")
        protocol, body = ask(url + "/headers")
        assert protocol == "HTTP/3"
        assert f"localhost:{over_tcp}".encode() in body
        assert f"127.0.0.1:{origin.port}".encode() in body, "no alt-used"


def test_an_alternative_that_is_cleared(opened: Open, over_tcp: int, authority: Authority) -> None:
    """It says so itself, over HTTP/3, for the origin that it answers for."""
    url, policy = (
        f"https://localhost:{over_tcp}/back/status/200",
        Policy("alt-svc", fallback_after=9),
    )
    with LocalOrigin(authority=authority) as other, opened(policy) as ask:
        other.route("/back/status/200")(lambda asked: (200, {"alt-svc": "clear"}, b"gone"))
        ask(f'https://localhost:{over_tcp}/back/announce?field=h3="127.0.0.1:{other.port}"')
        assert ask(url) == ("HTTP/3", b"gone")
        assert ask(url) == ("HTTP/1.1", b"200")


def test_both_ways_fail(opened: Open) -> None:
    """What is raised is what TCP came to; it is what would have been raised without us."""
    with opened(Policy()) as ask, pytest.raises((requests.ConnectionError, httpx.ConnectError)):
        ask("https://127.0.0.1:1/")
