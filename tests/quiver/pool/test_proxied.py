"""What goes over TCP through a proxy, by CONNECT, over real sockets."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import quiver
from quiver.testing import Authority, LocalOrigin
from tests.support.servers.connect_proxy import ConnectProxy
from tests.support.servers.http1_backend import TEXT, backend
from tests.support.servers.http2_origin import Http2Origin

USER = "Basic dXNlcjpwYSBzcw=="  # user:pa ss


@pytest.fixture
def server(authority: Authority) -> Iterator[Http2Origin]:
    with Http2Origin(authority) as made:
        yield made


def client_of(authority: Authority, proxy: str | None = None, **options: Any) -> quiver.Client:
    return quiver.Client(cafile=authority.cafile, proxy=proxy, **options)


def test_http_2_through_a_proxy(authority: Authority, server: Http2Origin) -> None:
    """Also where HTTP/3 is spoken: QUIC goes through none."""
    with (
        LocalOrigin(authority=authority, port=server.port),
        ConnectProxy() as proxy,
        client_of(authority, f"http://127.0.0.1:{proxy.port}") as client,
    ):
        for _ in range(3):
            response = client.get(server.url + "/ok")
            assert (response.body, response.http_version) == (b"ok", "HTTP/2")
        large = b"0123456789" * 100_000
        assert client.post(server.url + "/echo", body=large).body == large
        place = f"localhost:{server.port}"
        head = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n"
        assert set(proxy.heads) == {head} and len(proxy.heads) <= 2


@pytest.mark.parametrize("secure", [True, False])
def test_http_1_through_a_proxy(authority: Authority, secure: bool) -> None:
    scheme = "https" if secure else "http"
    with (
        backend(authority.issue() if secure else None) as port,
        ConnectProxy() as proxy,
        client_of(authority, f"127.0.0.1:{proxy.port}") as client,
    ):
        response = client.get(f"{scheme}://localhost:{port}/back/plain")
        assert (response.body, response.http_version) == (TEXT, "HTTP/1.1")
        assert (
            client.post(f"{scheme}://localhost:{port}/back/echo", body=b"x").json()["body"] == "x"
        )
        assert len(proxy.heads) == 1


def test_a_proxy_with_tls(authority: Authority, server: Http2Origin) -> None:
    with (
        ConnectProxy(authority.issue()) as proxy,
        client_of(authority, f"https://localhost:{proxy.port}") as client,
    ):
        response = client.get(server.url + "/bytes/300000")
        assert (len(response.body), response.http_version) == (300_000, "HTTP/2")
        assert proxy.heads[0].startswith(f"CONNECT localhost:{server.port} ")


def test_a_proxy_whose_certificate_is_refused(authority: Authority, server: Http2Origin) -> None:
    with (
        Authority() as another,
        ConnectProxy(another.issue()) as proxy,
        client_of(authority, f"https://localhost:{proxy.port}") as client,
        pytest.raises(quiver.CertificateInvalid, match=r"the proxy .*: its certificate is") as told,
    ):
        client.get(server.url + "/ok")
    assert told.value.by_proxy
    assert proxy.heads == [] and server.seen == {}


def test_tls_to_a_proxy_that_has_none(authority: Authority, server: Http2Origin) -> None:
    with (
        backend(None) as port,
        client_of(authority, f"https://localhost:{port}") as client,
        pytest.raises(quiver.HandshakeFailed, match=r"the proxy .* it answers without TLS") as told,
    ):
        client.get(server.url + "/ok")
    assert told.value.by_proxy and told.value.unprocessed


def test_no_tls_to_a_proxy_that_has_it(authority: Authority, server: Http2Origin) -> None:
    """It closes the connection, before it has answered: that is not the origin's doing."""
    with (
        ConnectProxy(authority.issue()) as proxy,
        client_of(authority, f"http://localhost:{proxy.port}") as client,
        pytest.raises(quiver.HandshakeFailed, match=r"the proxy http://.*: it broke off") as told,
    ):
        client.get(server.url + "/ok")
    assert told.value.by_proxy and told.value.unprocessed and not told.value.lasting
    assert server.seen == {}


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_a_proxy_by_ipv6(authority: Authority, server: Http2Origin) -> None:
    try:
        proxy = ConnectProxy(family=socket.AF_INET6)
    except OSError:
        pytest.skip("no ::1")
    with proxy, client_of(authority, f"http://[::1]:{proxy.port}") as client:
        assert client.get(server.url + "/ok").http_version == "HTTP/2"


# credentials, and refusals ----------------------------------------------------------------------


def test_credentials(authority: Authority, server: Http2Origin) -> None:
    with ConnectProxy(authorization=USER) as proxy:
        with client_of(authority, f"http://user:pa%20ss@127.0.0.1:{proxy.port}") as client:
            assert client.get(server.url + "/ok").body == b"ok"
        for user, said in (("", "it wants credentials"), ("user:no@", "refuses these credentials")):
            with client_of(authority, f"http://{user}127.0.0.1:{proxy.port}") as client:
                with pytest.raises(quiver.HandshakeFailed, match=rf"answered 407 .*{said}") as told:
                    client.get(server.url + "/ok")
                assert told.value.unprocessed and told.value.lasting and told.value.by_proxy
                assert "user:no" not in str(told.value)


@pytest.mark.parametrize(
    ("answer", "lasting"), [("403 No\x1b[2J", True), ("502 Bad Gateway", False), ("99", True)]
)
def test_a_proxy_that_refuses(
    authority: Authority, server: Http2Origin, answer: str, lasting: bool
) -> None:
    with (
        ConnectProxy(answer=answer) as proxy,
        client_of(authority, f"http://127.0.0.1:{proxy.port}") as client,
        pytest.raises(quiver.HandshakeFailed, match=f"^{server.url}: the proxy http://127") as told,
    ):
        client.get(server.url + "/ok")
    assert told.value.lasting is lasting and told.value.unprocessed
    assert "\x1b" not in str(told.value)
    assert server.seen == {}


def test_a_proxy_that_hangs(authority: Authority, server: Http2Origin) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        client_of(authority, f"127.0.0.1:{mute.getsockname()[1]}", connect_timeout=0.5) as client,
        pytest.raises(quiver.ConnectTimeout, match=r"connect_timeout=0\.5 .*: the proxy at 127"),
    ):
        client.get(server.url + "/ok")


def test_a_proxy_that_is_not_there(authority: Authority, server: Http2Origin) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        client_of(authority, f"http://127.0.0.1:{port}") as client,
        pytest.raises(quiver.ConnectionRefused, match=rf"at the proxy http://127.*:{port}") as told,
    ):
        client.get(server.url + "/ok")
    assert told.value.by_proxy
    assert server.seen == {}, "it is not gone around"


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("socks5://user:secret@h:1", "socks5:// proxies are not spoken to"),
        ("socks5h://h:1", "socks5h:// proxies"),
        ("ftp://h", "ftp:// proxies"),
        ("http://", "no host"),
        ("http://h:x", "port"),
        (7, "must be a URL"),
    ],
)
def test_what_is_no_proxy(proxy: Any, said: str) -> None:
    with pytest.raises(quiver.InvalidOptions, match=said) as caught:
        quiver.Client(proxy=proxy)
    assert "secret" not in str(caught.value)


def test_http_3_alone_goes_through_none() -> None:
    with pytest.raises(quiver.InvalidOptions, match=r"HTTP/3 goes through none.* extra tcp"):
        quiver.Client(proxy="http://h:1", protocols=("h3",))


# the environment --------------------------------------------------------------------------------


def test_the_environments(
    authority: Authority, server: Http2Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as ends:
        proxy = ends.enter_context(ConnectProxy())
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        with client_of(authority) as client:
            assert client.get(server.url + "/ok").body == b"ok"
            assert proxy.heads
        del proxy.heads[:]
        with client_of(authority, trust_env=False) as client:
            assert client.get(server.url + "/ok").body == b"ok"
        monkeypatch.setenv("NO_PROXY", "localhost")
        with client_of(authority) as client:
            assert client.get(server.url + "/ok").body == b"ok"
        assert proxy.heads == []
        monkeypatch.delenv("NO_PROXY")
        monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
        with (
            client_of(authority) as client,
            pytest.raises(quiver.InvalidOptions, match="socks5:// proxies are not spoken") as told,
        ):
            client.get(server.url + "/ok")
        assert "the environment names it" in str(told.value), "the program has named none"
        assert "trust_env=False" in str(told.value)
