"""Servers that serve something over HTTP/1.1 alone (RFC 9113 7, 9114 8.1), over real sockets."""

from __future__ import annotations

import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest

import quiver
from quiver.pool import choice, fallback_table
from quiver.pool.http2_pool import HTTP2Pool
from quiver.pool.ref import PoolRef
from quiver.testing import Authority, LocalOrigin
from tests.support.servers.http2_origin import Http2Origin
from tests.support.waiting import until

OVER_TCP = ("h2", "http/1.1")


class BothOrigin(Http2Origin):
    """The same with HTTP/1.1 for those who offer that alone: it echoes. `old` counts its paths."""

    old: ClassVar[Counter[str]] = Counter()

    def _serve_securely(self, stream: ssl.SSLSocket) -> None:
        if stream.selected_alpn_protocol() == "http/1.1":
            self._serve_http1(stream)
        else:
            super()._serve_securely(stream)

    def _serve_http1(self, stream: socket.socket) -> None:
        with stream, stream.makefile("rb") as reader:
            while line := reader.readline():
                self.old[line.split()[1].decode()] += 1
                length = 0
                while (field := reader.readline()) != b"\r\n":
                    name, _, value = field.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                body = reader.read(length)
                stream.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


@pytest.fixture
def server(authority: Authority) -> Iterator[BothOrigin]:
    BothOrigin.old = Counter()
    with BothOrigin(authority, alpn=OVER_TCP) as made:
        yield made


def speaking(authority: Authority, *protocols: str, **options: Any) -> quiver.Client:
    return quiver.Client(cafile=authority.cafile, protocols=protocols or None, **options)


def test_what_http_2_does_not_serve_is_asked_over_http_1_1(
    authority: Authority, server: BothOrigin
) -> None:
    with speaking(authority, *OVER_TCP, max_connections=2) as client:
        pool = client.pool(server.url)
        for _ in range(3):
            assert client.get(server.url + "/ok").http_version == "HTTP/2"
        until(lambda: _states(pool) == ["connected"] * 2, what="both are there")
        response = client.post(server.url + "/http1", body=b"once more", timeout=30.0)
        assert (response.http_version, response.body) == ("HTTP/1.1", b"once more")
        assert server.seen["/http1"] == server.old["/http1"] == 1
        assert quiver.protocol_of(pool) == "http/1.1"
        for _ in range(5):
            assert client.get(server.url + "/http1").http_version == "HTTP/1.1"
        assert server.seen["/http1"] == 1, "it is remembered"
        until(lambda: all(peer.over.is_set() for peer in server.peers), what="they are left")


def _states(pool: PoolRef) -> list[str]:
    return [each.state for each in pool.ask(quiver.GetConnections())]


def test_after_a_while_http_2_is_asked_again(
    authority: Authority, server: BothOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback_table, "FIRST_PAUSE", 1.0)
    with speaking(authority, *OVER_TCP, idle_timeout=0.05) as client:
        assert client.get(server.url + "/http1", timeout=30.0).http_version == "HTTP/1.1"

        def over_http2() -> bool:
            until(lambda: not client.stats(server.url).connections, what="idle ones are closed")
            return client.get(server.url + "/ok").http_version == "HTTP/2"

        until(over_http2, what="the while is over")


def test_all_who_ask_at_once(authority: Authority, server: BothOrigin) -> None:
    with speaking(authority, *OVER_TCP) as client, ThreadPoolExecutor(20) as threads:
        asked = [
            threads.submit(client.get, server.url + "/http1", timeout=30.0) for _ in range(100)
        ]
        assert {each.result().http_version for each in asked} == {"HTTP/1.1"}
        assert server.old["/http1"] == 100


def test_a_body_that_was_read_is_not_sent_again(authority: Authority, server: BothOrigin) -> None:
    with speaking(authority, *OVER_TCP) as client:
        with pytest.raises(quiver.StreamReset, match=r"over HTTP/1\.1 alone") as caught:
            client.post(server.url + "/http1", body=iter([b"a", b"b"]), timeout=30.0)
        assert "not sent again" in caught.value.__notes__[0]
        assert client.get(server.url + "/ok").http_version == "HTTP/1.1", "it has said so"


def test_where_http_1_1_may_not_be_spoken_the_error_says_what_to_do(
    authority: Authority, server: BothOrigin
) -> None:
    pool = HTTP2Pool.start(server.url, cafile=authority.cafile, max_connections=1)
    try:
        with pytest.raises(quiver.StreamReset, match="HTTP_1_1_REQUIRED") as caught:
            pool.ask(quiver.Request("GET", "/http1"), timeout=30.0)
        assert "over HTTP/1.1 alone" in str(caught.value) and caught.value.code == 0xD
        assert caught.value.unprocessed
        (note,) = caught.value.__notes__
        assert "`protocols`" in note and "HTTP1Pool" in note
        assert pool.ask(quiver.Request("GET", "/ok"), timeout=30.0).http_version == "HTTP/2"
        assert server.seen["/http1"] == len(server.peers) == 1, "its connection goes on"
    finally:
        pool.stop()


@pytest.fixture
def third(
    authority: Authority, server: BothOrigin, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LocalOrigin]:
    """HTTP/3 at the same port, which is always there first."""
    monkeypatch.setattr(choice, "HEAD_START", 60.0)
    with LocalOrigin(authority=authority, port=server.port) as made:
        yield made


@pytest.mark.usefixtures("third")
def test_what_http_3_does_not_serve_is_asked_over_http_1_1(
    authority: Authority, server: BothOrigin
) -> None:
    """Not over HTTP/2, which is spoken there as well."""
    with speaking(authority, max_connections=1) as client:
        assert client.get(server.url + "/ok").http_version == "HTTP/3"
        response = client.get(server.url + "/reset/0x110", timeout=30.0)
        assert response.http_version == "HTTP/1.1"
        assert client.get(server.url + "/ok").http_version == "HTTP/1.1"
        assert server.peers == []


@pytest.mark.usefixtures("third")
@pytest.mark.parametrize("protocols", [("h3",), ("h3", "h2")], ids="+".join)
def test_http_3_without_http_1_1_behind_it(
    authority: Authority, server: BothOrigin, protocols: tuple[str, ...]
) -> None:
    with speaking(authority, *protocols) as client:
        with pytest.raises(quiver.StreamReset, match="H3_VERSION_FALLBACK") as caught:
            client.get(server.url + "/reset/0x110", timeout=30.0)
        assert caught.value.unprocessed and "`protocols`" in caught.value.__notes__[0]
        assert client.get(server.url + "/ok").http_version == "HTTP/3"


def test_a_silent_http_1_1_does_not_take_the_rest_along(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One resource that wants it, and no TCP, are not the end of the origin's HTTP/3."""
    monkeypatch.setattr(choice, "PATIENCE", 0.1)
    with LocalOrigin(authority=authority) as made, socket.socket() as silent:
        silent.bind(("127.0.0.1", made.port))
        silent.listen()
        with speaking(authority, connect_timeout=20.0) as client:
            assert client.get(made.url + "/ok", timeout=30.0).http_version == "HTTP/3"
            with pytest.raises(quiver.StreamReset, match=r"over HTTP/1\.1 alone"):
                client.get(made.url + "/reset/0x110", timeout=30.0)
            assert client.get(made.url + "/ok", timeout=30.0).http_version == "HTTP/3"
