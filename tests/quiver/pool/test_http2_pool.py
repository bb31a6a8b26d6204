"""HTTP2Pool over real sockets: the promise of HTTP3Pool, whatever the server does."""

from __future__ import annotations

import contextlib
import math
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from h2.settings import SettingCodes

import quiver
from quiver import telemetry
from quiver.actors.registry import Registry
from quiver.h2.codes import ErrorCode
from quiver.pool.http2_pool import HTTP2Pool
from quiver.pool.http3_pool import HTTP3Pool
from quiver.pool.ref import PoolRef
from quiver.testing import Authority, Origin
from tests.support.servers.http2_origin import Http2Origin
from tests.support.waiting import until

CONCURRENT = SettingCodes.MAX_CONCURRENT_STREAMS
ONE = {"max_connections": 1}
LATE = 3.0  # seconds that a loaded machine may add; what would end it otherwise comes later


@pytest.fixture
def server(authority: Authority) -> Iterator[Http2Origin]:
    with Http2Origin(authority) as made:
        yield made


@contextlib.contextmanager
def running(server: Http2Origin, **options: Any) -> Iterator[PoolRef]:
    pool = HTTP2Pool.start(server.url, cafile=server.cafile, **options)
    try:
        yield pool
    finally:
        pool.stop()


def get(path: str, **more: Any) -> quiver.Request:
    return quiver.Request("GET", path, **more)


# what it does -----------------------------------------------------------------------------------


def test_an_answer_tells_what_it_came_by(server: Http2Origin) -> None:
    with running(server) as pool:
        response = pool.ask(get("/ok"))
        assert (response.status, response.body) == (200, b"ok")
        made = response.connection
        assert made is not None and made.protocol == "h2" and made.handshake.version == "TLSv1.3"
        assert made.address == ("127.0.0.1", server.port) and "AES" in made.cipher
        assert made.certificate is not None and made.handshake.idle_timeout == math.inf
        assert quiver.protocol_of(pool) == "http/2" and response.http_version == "HTTP/2"
        assert "AES" in made.cipher and not made.cipher.startswith("TLS_")


def test_interim_responses_trailers_and_uploads(server: Http2Origin) -> None:
    heard: list[Any] = []
    with running(server, **ONE) as pool:
        hinted = pool.ask(get("/hints", on_informational=lambda *each: heard.append(each)))
        assert hinted.body == b"ok" and heard == [(103, [("link", "</a>")])]
        assert pool.ask(get("/trailers")).trailers == [("x-sum", "1")]
        large = b"0123456789" * 100_000
        assert pool.ask(quiver.Request("POST", "/echo", body=large)).body == large
        pieces = (large[at : at + 7_777] for at in range(0, len(large), 7_777))
        asked = quiver.Request("POST", "/echo", body=pieces, trailers={"x-a": "b"})
        assert pool.ask(asked).body == large


def test_a_thousand_asks_from_threads_within_the_servers_room(authority: Authority) -> None:
    with (
        Http2Origin(authority, settings={CONCURRENT: 3}) as server,
        running(server, max_connections=2) as pool,
        ThreadPoolExecutor(20) as threads,
    ):
        asked = [get(f"/bytes/{1 + n}") if n % 2 else get("/ok") for n in range(1_000)]
        sizes = list(threads.map(partial(_size, pool), asked))
        assert sizes == [1 + n if n % 2 else 2 for n in range(1_000)]
        assert all(peer.most <= 3 and peer.resets == [] for peer in server.peers)
        assert sum(server.seen.values()) == 1_000
        assert pool.ask(quiver.GetStats()) == quiver.Stats(6, 0, 0, 2)


def _size(pool: PoolRef, request: quiver.Request) -> int:
    return len(pool.ask(request).body)


def test_a_streamed_response_holds_what_its_reader_leaves_and_no_other(server: Http2Origin) -> None:
    with (
        running(server, **ONE, receive_window=65_536) as pool,
        pool.ask(quiver.StreamRequest("GET", "/bytes/3000000")) as stalled,
    ):
        first = next(iter(stalled))
        others = [pool.ask(get("/bytes/500000")) for _ in range(5)]
        assert [len(each.body) for each in others] == [500_000] * 5
        (peer,) = server.peers
        assert list(peer.open.values()) == ["/bytes/3000000"], "the server holds the rest"
        assert len(first) + sum(map(len, stalled)) == 3_000_000


def test_channels_are_http_3s(server: Http2Origin) -> None:
    with running(server) as pool, pytest.raises(quiver.ConnectDisabled, match="over HTTP/3 only"):
        pool.ask(quiver.OpenChannel("CONNECT", "/", protocol="webtransport"))


def test_both_pools_of_one_origin_in_one_registry(server: Http2Origin, origin: Origin) -> None:
    registry = Registry()
    url = origin.url.replace("127.0.0.1", "localhost")
    second = HTTP2Pool.start(url, registry=registry, connect_timeout=1.0)
    third = HTTP3Pool.start(url, registry=registry, cafile=origin.cafile)
    try:
        assert third is not second
        assert HTTP2Pool.start(url, registry=registry) is second
        assert [quiver.protocol_of(each) for each in (second, third)] == ["http/2", "http/3"]
        assert third.ask(get("/ok")).status == 200
        with pytest.raises(quiver.ConnectionRefused):
            second.ask(get("/ok"))
    finally:
        second.stop()
        third.stop()


# proof that nothing was processed ---------------------------------------------------------------


def test_what_a_goaway_leaves_out_goes_to_another_connection_once(server: Http2Origin) -> None:
    with running(server, **ONE) as pool:
        held = [pool.ask(get("/held"), block=False) for _ in range(5)]
        until(lambda: server.held == 5, what="all are there")
        first = server.peers[0]
        streams = sorted(first.open)
        first.goaway(streams[2])
        until(lambda: len(server.peers) == 2 and server.held == 5, what="two went on elsewhere")
        assert len(server.peers[1].open) == 2
        server.release()
        assert [each.get(timeout=10.0).body for each in held] == [b"released"] * 5
        assert server.seen["/held"] == 7
        until(first.over.is_set, what="the first is closed when it is empty")


def test_a_graceful_goaway_drains(server: Http2Origin) -> None:
    with running(server, **ONE) as pool:
        held = pool.ask(get("/held"), block=False)
        until(lambda: server.held == 1, what="it is there")
        server.peers[0].goaway(2**31 - 1)
        until(lambda: len(pool.ask(quiver.GetConnections())) and _state(pool) == "draining")
        assert pool.ask(get("/ok")).body == b"ok"
        assert len(server.peers) == 2
        server.release()
        assert held.get(timeout=10.0).body == b"released"
        assert server.seen["/held"] == 1


def _state(pool: PoolRef) -> str:
    return pool.ask(quiver.GetConnections())[0].state


def test_content_of_an_answer_to_head_is_left_aside(server: Http2Origin) -> None:
    """As an old server sends it (RFC 9110 9.3.2); with a length or without."""
    with running(server, **ONE) as pool:
        for path in ("/ok", "/bytes/100000"):
            head = quiver.Request("HEAD", path)
            response = pool.ask(head, timeout=10.0)
            assert (response.status, response.body) == (200, b"")
        assert pool.ask(get("/ok"), timeout=10.0).body == b"ok"
        assert len(server.peers) == 1


def test_a_refused_stream_is_asked_again_once(server: Http2Origin) -> None:
    with running(server, **ONE) as pool:
        assert pool.ask(get("/refused"), timeout=10.0).status
        assert server.seen["/refused"] == 2


def test_a_reset_stream_is_told_and_not_asked_again(server: Http2Origin) -> None:
    with running(server, **ONE) as pool, pytest.raises(quiver.StreamReset) as caught:
        pool.ask(get("/reset"))
    assert caught.value.code == ErrorCode.INTERNAL_ERROR and not caught.value.unprocessed
    assert "INTERNAL_ERROR (0x2)" in caught.value.message
    assert server.seen["/reset"] == 1


def test_a_connection_that_is_cut_fails_what_was_open_and_no_more(server: Http2Origin) -> None:
    with running(server, **ONE) as pool:
        held = [pool.ask(get("/held"), block=False) for _ in range(3)]
        until(lambda: server.held == 3, what="they are there")
        server.peers[0].cut()
        for each in held:
            with pytest.raises(quiver.ConnectionLost, match="connection lost") as caught:
                each.get(timeout=10.0)
            assert not caught.value.unprocessed
        assert pool.ask(get("/ok")).body == b"ok"
        assert server.seen["/held"] == 3


def test_a_broken_server_is_named(server: Http2Origin) -> None:
    with running(server, **ONE) as pool:
        held = pool.ask(get("/held"), block=False)
        until(lambda: server.held == 1, what="it is there")
        server.peers[0].write(b"\x00\x00\x05\x04\x00\x00\x00\x00\x00" + bytes(5))
        with pytest.raises(quiver.ProtocolViolation, match="FRAME_SIZE_ERROR"):
            held.get(timeout=10.0)
        assert pool.ask(get("/ok")).body == b"ok"


# callers and servers that leave -----------------------------------------------------------------


def test_a_cancelled_ask_frees_its_slot(server: Http2Origin) -> None:
    with running(server, **ONE, max_streams_per_connection=1) as pool:
        for _ in range(3):
            held = pool.ask(get("/held"), block=False)
            until(lambda: server.held == 1, what="it is there")
            held.cancel()
            assert pool.ask(get("/ok"), timeout=10.0).body == b"ok"
        assert server.peers[0].resets == [ErrorCode.CANCEL] * 3
        assert len(server.peers) == 1


def test_an_early_answer_to_an_upload(server: Http2Origin) -> None:
    more = threading.Event()

    def body() -> Iterator[bytes]:
        yield b"first"
        more.wait(20.0)
        yield b"never sent"

    with running(server, **ONE) as pool:
        try:
            response = pool.ask(quiver.Request("POST", "/early", body=body()), timeout=10.0)
        finally:
            more.set()
        assert response.status == 413
        assert pool.ask(get("/ok")).body == b"ok"
        assert server.peers[0].resets == [ErrorCode.NO_ERROR]
        assert len(server.peers) == 1


def test_a_server_that_falls_silent_is_given_up(server: Http2Origin) -> None:
    """It is asked by PINGs while nothing is lent, and another connection takes its place."""
    with running(server, **ONE) as pool:
        assert pool.ask(get("/ok")).body == b"ok"
        with server.deaf():
            with pytest.raises(quiver.ReceiveTimeout):
                pool.ask(get("/ok", receive_timeout=1.5))
            until(lambda: _number(pool) != 1, what="it is replaced", within=15.0)
        assert pool.ask(get("/ok")).body == b"ok"


def _number(pool: PoolRef) -> int:
    """The connection that there is; 0 for none."""
    connections = pool.ask(quiver.GetConnections())
    return connections[0].number if connections else 0


def test_a_server_that_was_only_slow_is_trusted_again(server: Http2Origin) -> None:
    with running(server, **ONE) as pool:
        assert pool.ask(get("/ok")).body == b"ok"
        with pytest.raises(quiver.ReceiveTimeout):
            pool.ask(get("/held", receive_timeout=1.5))
        until(lambda: _state(pool) == "connected", what="a PING was answered")
        assert pool.ask(get("/ok")).body == b"ok" and len(server.peers) == 1


def test_an_idle_connection_that_the_server_has_closed_is_not_lent(server: Http2Origin) -> None:
    with running(server, **ONE) as pool:
        for _ in range(3):
            assert pool.ask(quiver.Request("POST", "/echo", body=b"x")).body == b"x"
            peer = server.peers[-1]
            peer.cut()
            assert peer.over.wait(5.0)
            until(lambda: not _number(pool), what="it is noted")
        assert server.seen["/echo"] == 3


def test_room_that_shrinks(server: Http2Origin) -> None:
    with running(server, **ONE) as pool:
        held = [pool.ask(get("/held"), block=False) for _ in range(4)]
        until(lambda: server.held == 4, what="they are there")
        server.peers[0].settings({CONCURRENT: 2})
        until(lambda: pool.ask(quiver.GetStats()).idle == 0, what="it is told")
        waiting = [pool.ask(get("/ok"), block=False) for _ in range(3)]
        until(lambda: pool.ask(quiver.GetStats()).queued == 3, what="they wait")
        server.release()
        answers = [each.get(timeout=10.0).body for each in (*held, *waiting)]
        assert answers == [b"released"] * 4 + [b"ok"] * 3


def test_options_of_a_connections_life(server: Http2Origin) -> None:
    with running(server, **ONE, idle_timeout=0.3) as pool:
        assert pool.ask(get("/ok")).body == b"ok"
        assert server.peers[0].over.wait(10.0), "an idle one leaves"
    with running(server, **ONE, max_age=0.3) as pool:
        assert pool.ask(get("/ok")).connection is not None
        until(lambda: _number(pool) not in (0, 1), what="an old one has a successor")
    with running(server, **ONE, max_requests_per_connection=3) as pool:
        numbers = [_by(pool.ask(get("/ok"))) for _ in range(7)]
        assert numbers == sorted(numbers)  # the next one is dialled before the last request
        assert numbers[0] == numbers[1] and max(Counter(numbers).values()) <= 3


def _by(response: quiver.Response) -> int:
    assert response.connection is not None
    return response.connection.number


def test_a_stop_lets_what_is_open_finish(server: Http2Origin) -> None:
    with running(server, **ONE) as pool:
        held = pool.ask(get("/held"), block=False)
        until(lambda: server.held == 1, what="it is there")
        stopping = pool.stop(block=False)
        until(lambda: _refuses(pool), what="it takes no more")
        server.release()
        assert held.get(timeout=10.0).body == b"released"
        stopping.get(timeout=10.0)
        assert server.peers[0].over.wait(5.0)


def _refuses(pool: PoolRef) -> bool:
    try:
        pool.ask(get("/ok"), timeout=1.0)
    except quiver.PoolStopped:
        return True
    return False


# handshakes -------------------------------------------------------------------------------------


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    pool = HTTP2Pool.start(f"https://127.0.0.1:{port}")
    begun = time.monotonic()
    with pytest.raises(quiver.ConnectionRefused, match="nobody listens there"):
        pool.ask(get("/ok"))
    assert time.monotonic() - begun < LATE
    pool.stop()


def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pool = HTTP2Pool.start(f"https://127.0.0.1:{silent.getsockname()[1]}", connect_timeout=0.5)
        with pytest.raises(quiver.ConnectTimeout, match=r"connect_timeout=0\.5 seconds"):
            pool.ask(get("/ok"))
        pool.stop()


@pytest.mark.parametrize("alpn", [(), ("http/1.1",)])
def test_a_server_without_http_2(authority: Authority, alpn: tuple[str, ...]) -> None:
    with (
        Http2Origin(authority, alpn=alpn) as server,
        running(server) as pool,
        pytest.raises(quiver.HandshakeFailed, match="does not speak HTTP/2 here"),
    ):
        pool.ask(get("/ok"))


def test_a_server_that_speaks_no_tls() -> None:
    def plain(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                sock.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=plain, args=(listener,), daemon=True)
        thread.start()
        pool = HTTP2Pool.start(f"https://127.0.0.1:{listener.getsockname()[1]}")
        with pytest.raises(quiver.HandshakeFailed, match="the server answers without TLS"):
            pool.ask(get("/ok"))
        pool.stop()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5.0)


def test_a_certificate_that_is_refused(authority: Authority) -> None:
    with Http2Origin(authority, certificate=authority.issue(["elsewhere.example"])) as server:
        with (
            running(server) as pool,
            pytest.raises(quiver.CertificateInvalid, match=r"for elsewhere\.example"),
        ):
            pool.ask(get("/ok"))
        assert server.peers == [] or not server.seen
    with Http2Origin(authority) as server:
        pool = HTTP2Pool.start(server.url)
        with pytest.raises(quiver.CertificateInvalid, match="its issuer is unknown"):
            pool.ask(get("/ok"))
        pool.stop()
        pool = HTTP2Pool.start(server.url, verify=False)
        assert pool.ask(get("/ok")).body == b"ok"
        pool.stop()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_wants_a_certificate_of_ours(
    authority: Authority, version: ssl.TLSVersion
) -> None:
    def prepare(context: ssl.SSLContext) -> None:
        context.load_verify_locations(authority.cafile)
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = context.maximum_version = version

    with Http2Origin(authority, prepare=prepare) as server:
        with running(server) as pool, pytest.raises(quiver.HandshakeFailed) as caught:
            pool.ask(get("/ok"))
        tls_1_3 = version is ssl.TLSVersion.TLSv1_3  # there it comes after our handshake
        assert ("set certfile" in caught.value.message) is tls_1_3
        certfile, keyfile = authority.issue(["client"], usage=ExtendedKeyUsageOID.CLIENT_AUTH)
        pool = HTTP2Pool.start(server.url, cafile=server.cafile, certfile=certfile, keyfile=keyfile)
        try:
            response = pool.ask(get("/ok"))
            assert response.connection is not None
            assert response.connection.handshake.version == version.name.replace("_", ".")
        finally:
            pool.stop()


# telemetry --------------------------------------------------------------------------------------


def test_telemetry_tells_the_protocol(server: Http2Origin) -> None:
    heard: list[tuple[str, Any, Any]] = []
    telemetry.attach("h2", telemetry.EVENTS, lambda *event: heard.append(event))
    try:
        with running(server, **ONE) as pool:
            assert pool.ask(get("/ok")).body == b"ok"
    finally:
        telemetry.detach("h2")
    found = {name: metadata for name, _, metadata in heard}
    assert found["connection.ready"]["handshake"].alpn == "h2"
    assert found["connection.settings"]["settings"]["MAX_FRAME_SIZE"] == 16_384
    assert found["connection.stop"]["http_version"] == "HTTP/2"
