"""What goes through a proxy goes over TCP, by CONNECT, and nobody goes around one."""

from __future__ import annotations

import asyncio
import logging
import socket
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import httpx
import pytest
import requests

import quiver
from quiver import telemetry
from quiver.adapters.httpx import AsyncHTTP3Transport, HTTP3Transport
from quiver.adapters.requests import HTTP3Adapter
from quiver.testing import Authority, LocalOrigin
from tests.support.servers.connect_proxy import ConnectProxy
from tests.support.servers.http1_backend import backend
from tests.support.servers.http2_origin import Http2Origin

USER = "Basic dXNlcjpwYSBzcw=="  # user:pa ss
Asked = tuple[str, bytes]  # the protocol that answered, and the body
Ask = Callable[..., Asked]

LIMIT = 30.0  # seconds, on a loaded machine
VERSIONS = {30: "HTTP/3", 20: "HTTP/2", 11: "HTTP/1.1"}


@pytest.fixture
def server(authority: Authority) -> Iterator[Http2Origin]:
    """It speaks HTTP/2, and HTTP/3 at the same port."""
    with (
        Http2Origin(authority) as made,
        LocalOrigin(authority=authority, port=made.port) as over_quic,
    ):
        yield made
        assert over_quic.requests_served() == 0, "a proxy was gone around"


def by_requests(cafile: str, fallback: str | None) -> Ask:
    """The environment is read by the session."""

    def ask(url: str, **options: Any) -> Asked:
        with requests.Session() as session:
            for scheme in ("https://", "http://"):
                session.mount(scheme, HTTP3Adapter(fallback=fallback))
            limits = (options.get("connect", LIMIT), LIMIT)
            response = session.get(url, timeout=limits, verify=cafile)
            return VERSIONS[response.raw.version], response.content

    return ask


def by_httpx(cafile: str, fallback: str | None) -> Ask:
    def ask(url: str, **options: Any) -> Asked:
        timeout = httpx.Timeout(LIMIT, connect=options.get("connect", LIMIT))
        pools = {"default": {"cafile": cafile}}
        transport = HTTP3Transport(verify=cafile, fallback=fallback, pools=pools)
        with httpx.Client(transport=transport, timeout=timeout) as client:
            response = client.get(url)
            return response.http_version, response.content

    return ask


def by_asyncio(cafile: str, fallback: str | None) -> Ask:
    async def asked(url: str, **options: Any) -> Asked:
        timeout = httpx.Timeout(LIMIT, connect=options.get("connect", LIMIT))
        transport = AsyncHTTP3Transport(verify=cafile, fallback=fallback)
        async with httpx.AsyncClient(transport=transport, timeout=timeout) as client:
            response = await client.get(url)
            return response.http_version, response.content

    return lambda url, **options: asyncio.run(asked(url, **options))


WAYS = [by_requests, by_httpx, by_asyncio]
OF_THE_PROXY = (requests.exceptions.ProxyError, httpx.ProxyError)
LATE = (requests.exceptions.ConnectTimeout, httpx.ConnectTimeout)


@pytest.fixture(params=WAYS, ids=lambda way: str(way.__name__))
def ask(request: pytest.FixtureRequest, authority: Authority) -> Ask:
    """Asks by one of the three, which falls back to Quiver's own TCP."""
    made: Ask = request.param(authority.cafile, "quiver")
    return made


@pytest.fixture(params=WAYS, ids=lambda way: str(way.__name__))
def stock(request: pytest.FixtureRequest, authority: Authority) -> Ask:
    """The same, which falls back to the library's own."""
    made: Ask = request.param(authority.cafile, None)
    return made


@pytest.fixture
def through(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Names a proxy in the environment, for both schemes."""

    def name(url: str) -> None:
        for each in ("HTTPS_PROXY", "HTTP_PROXY"):
            monkeypatch.setenv(each, url)

    return name


Through = Callable[[str], None]


def test_over_quivers_own_tcp(ask: Ask, through: Through, server: Http2Origin) -> None:
    with ConnectProxy() as proxy:
        through(f"http://127.0.0.1:{proxy.port}")
        assert ask(server.url + "/ok") == ("HTTP/2", b"ok")
        place = f"localhost:{server.port}"
        assert set(proxy.heads) == {f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n"}


def test_over_the_librarys_own(stock: Ask, through: Through, authority: Authority) -> None:
    with backend(authority.issue()) as port, ConnectProxy() as proxy:
        through(f"http://127.0.0.1:{proxy.port}")
        assert stock(f"https://localhost:{port}/back/status/200") == ("HTTP/1.1", b"200")
        assert proxy.heads[0].startswith(f"CONNECT localhost:{port} ")


def test_http_as_well(ask: Ask, through: Through) -> None:
    """By CONNECT, too. What is the proxy's to know is not told to the origin."""
    with backend() as port, ConnectProxy(authorization=USER) as proxy:
        through(f"http://user:pa%20ss@127.0.0.1:{proxy.port}")
        version, body = ask(f"http://localhost:{port}/back/echo")
        assert version == "HTTP/1.1" and b"proxy-auth" not in body
        assert b'"path": "/back/echo"' in body
        assert proxy.heads[0].startswith(f"CONNECT localhost:{port} ")


def test_what_is_excepted(
    ask: Ask, through: Through, monkeypatch: pytest.MonkeyPatch, authority: Authority
) -> None:
    monkeypatch.setenv("NO_PROXY", "localhost")
    with ConnectProxy() as proxy, LocalOrigin(authority=authority) as origin:
        through(f"http://127.0.0.1:{proxy.port}")
        assert ask(origin.url + "/ok") == ("HTTP/3", b"ok")
        assert not proxy.heads


def test_one_for_all(ask: Ask, monkeypatch: pytest.MonkeyPatch, server: Http2Origin) -> None:
    """Also one that is written without its scheme."""
    with ConnectProxy() as proxy:
        monkeypatch.setenv("ALL_PROXY", f"127.0.0.1:{proxy.port}")
        assert ask(server.url + "/ok") == ("HTTP/2", b"ok")
        assert proxy.heads


def test_credentials(ask: Ask, through: Through, server: Http2Origin) -> None:
    with ConnectProxy(authorization=USER) as proxy:
        through(f"http://user:pa%20ss@127.0.0.1:{proxy.port}")
        assert ask(server.url + "/ok") == ("HTTP/2", b"ok")
        for user, said in (("", "it wants credentials"), ("user:no@", "refuses these credentials")):
            through(f"http://{user}127.0.0.1:{proxy.port}")
            with pytest.raises(OF_THE_PROXY, match=rf"answered 407 .*{said}") as told:
                ask(server.url + "/ok")
            assert "user:no" not in str(told.value)
            assert isinstance(told.value.__cause__, quiver.HandshakeFailed)
            assert told.value.__cause__.by_proxy
    assert server.seen == {"/ok": 1}


def test_a_proxy_with_tls(
    ask: Ask, through: Through, server: Http2Origin, authority: Authority
) -> None:
    """Whose certificate is judged by the same roots."""
    with ConnectProxy(authority.issue()) as proxy:
        through(f"https://localhost:{proxy.port}")
        assert ask(server.url + "/ok") == ("HTTP/2", b"ok")
    with Authority("somebody else") as other, ConnectProxy(other.issue()) as proxy:
        through(f"https://localhost:{proxy.port}")
        with pytest.raises(OF_THE_PROXY, match="certificate"):
            ask(server.url + "/ok")
        assert not proxy.heads


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_a_proxy_by_ipv6(ask: Ask, through: Through, server: Http2Origin) -> None:
    try:
        proxy = ConnectProxy(family=socket.AF_INET6)
    except OSError:
        pytest.skip("no ::1")
    with proxy:
        through(f"http://[::1]:{proxy.port}")
        assert ask(server.url + "/ok") == ("HTTP/2", b"ok")


def test_a_proxy_that_hangs(ask: Ask, through: Through, server: Http2Origin) -> None:
    with ConnectProxy(answer="") as proxy, socket.create_server(("127.0.0.1", 0)) as mute:
        for port in (proxy.port, mute.getsockname()[1]):
            through(f"http://127.0.0.1:{port}")
            with pytest.raises(LATE):
                ask(server.url + "/ok", connect=0.4)
    assert not server.seen


def test_a_proxy_that_is_not_there(ask: Ask, through: Through, server: Http2Origin) -> None:
    """Or has no address: it is not gone around."""
    for place in ("127.0.0.1:1", "nowhere.invalid:3128"):
        through(f"http://{place}")
        with pytest.raises(OF_THE_PROXY) as told:
            ask(server.url + "/ok")
        assert place.partition(":")[0] in str(told.value)
    assert not server.seen


@pytest.mark.parametrize("named", ["socks5://user:s3cret@127.0.0.1:1", "socks4://127.0.0.1:1"])
def test_what_is_not_spoken_to_is_refused_by_name(
    named: str, ask: Ask, through: Through, server: Http2Origin
) -> None:
    through(named)
    refused = (requests.exceptions.InvalidProxyURL, httpx.ProxyError)
    with pytest.raises(refused, match=r"socks.:// proxies are not spoken to") as told:
        ask(server.url + "/ok")
    assert "s3cret" not in str(told.value)
    assert not server.seen


def test_it_is_said(
    ask: Ask, through: Through, server: Http2Origin, caplog: pytest.LogCaptureFixture
) -> None:
    """In the log, without the password, and by telemetry."""
    gone: set[object] = set()
    telemetry.attach("gone", ["connection.ready"], lambda *told: gone.add(told[2]["proxy"]))
    try:
        with ConnectProxy() as proxy, caplog.at_level(logging.DEBUG, "quiver.adapters"):
            through(f"http://user:s3cret@127.0.0.1:{proxy.port}")
            ask(server.url + "/ok?token=s3cret")
            assert gone == {f"http://127.0.0.1:{proxy.port}"}
    finally:
        telemetry.detach("gone")
    (said,) = [each for each in caplog.messages if "proxy" in each]
    assert "HTTP/3 does not go through the proxy http://***@127.0.0.1" in said
    assert "s3cret" not in caplog.text


# a session's own ------------------------------------------------------------------------------


def test_a_header_for_the_proxy_is_not_sent_to_the_origin() -> None:
    """requests puts credentials there when it is redirected to `http://`."""
    with backend() as port, ConnectProxy() as proxy, requests.Session() as session:
        session.trust_env = False
        session.mount("http://", HTTP3Adapter(fallback="quiver"))
        session.proxies = {"http": f"http://user:pa%20ss@127.0.0.1:{proxy.port}"}
        there = f"http://localhost:{port}/back"
        response = session.get(f"{there}/to?url={there}/echo", timeout=LIMIT)
        assert response.history and "proxy-auth" not in response.text.lower()
        assert "Proxy-Authorization: " + USER in proxy.heads[0]


def test_sessions_with_other_proxies_have_other_connections(
    authority: Authority, server: Http2Origin
) -> None:
    with ConnectProxy() as one, ConnectProxy() as other, requests.Session() as session:
        session.trust_env, session.verify = False, authority.cafile
        session.mount("https://", HTTP3Adapter(fallback="quiver"))
        for proxy in (one, other, one):
            proxies = {"https": f"http://127.0.0.1:{proxy.port}"}
            assert session.get(server.url + "/ok", proxies=proxies, timeout=LIMIT).raw.version == 20
        assert one.heads and other.heads


def test_a_proxy_with_tls_is_verified_for_http_too(authority: Authority) -> None:
    """Though there is nothing else to verify, and a certificate of ours is shown to nobody."""
    with backend() as port, requests.Session() as session:
        session.trust_env = False
        session.mount("http://", HTTP3Adapter(fallback="quiver"))
        session.request = partial(session.request, timeout=LIMIT)  # type: ignore[method-assign]
        url = f"http://localhost:{port}/back/status/200"
        with ConnectProxy(authority.issue()) as proxy:
            session.proxies = {"http": f"https://localhost:{proxy.port}"}
            assert session.get(url, verify=authority.cafile).content == b"200"
            told = len(proxy.heads)
            with pytest.raises(requests.exceptions.ProxyError, match="certificate"):
                session.get(url)
            assert len(proxy.heads) == told
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert session.get(url, verify=False).content == b"200"
        session.proxies = {}
        assert session.get(url, verify="/nowhere", cert=".").content == b"200"


@pytest.mark.parametrize(
    "named", ["http:/badproxyurl:3128", "http://:8080", "https://", "http:///example.com:8080"]
)
def test_what_is_no_url(named: str) -> None:
    with requests.Session() as session:
        session.mount("https://", HTTP3Adapter(fallback="quiver"))
        with pytest.raises(requests.exceptions.InvalidProxyURL):
            session.get("https://localhost:1/", proxies={"https": named})
