"""HTTP1Pool over real sockets: one request at a time on each of several connections."""

from __future__ import annotations

import collections
import contextlib
import itertools
import socket
import ssl
import statistics
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Self

import pytest

import quiver
from quiver import telemetry
from quiver.origin import Origin
from quiver.pool.http1_pool import HTTP1Pool
from quiver.pool.http2_pool import HTTP2Pool
from quiver.pool.receive_turns import SLICE
from quiver.pool.ref import PoolRef
from quiver.pool.tcp_transport import TcpTransport
from quiver.testing import Authority
from tests.support.servers.http1_backend import TEXT, backend
from tests.support.servers.tls_accept import secured
from tests.support.waiting import until


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    with backend(authority.issue()) as port:
        yield f"https://localhost:{port}"


@contextlib.contextmanager
def running(url: str, authority: Authority, **options: Any) -> Iterator[PoolRef]:
    pool = HTTP1Pool.start(url, cafile=authority.cafile, **options)
    try:
        yield pool
    finally:
        pool.stop()


def get(path: str, **more: Any) -> quiver.Request:
    return quiver.Request("GET", path, **more)


def test_an_answer_tells_what_it_came_by(url: str, authority: Authority) -> None:
    with running(url, authority) as pool:
        response = pool.ask(get("/back/status/200"))
        assert (response.body, response.http_version) == (b"200", "HTTP/1.1")
        assert quiver.protocol_of(pool) == "http/1.1"
        with pytest.raises(quiver.ConnectDisabled, match="over HTTP/3 only"):
            pool.ask(quiver.OpenChannel("CONNECT", "/", protocol="webtransport"))


def test_an_origin_without_tls(authority: Authority) -> None:
    with backend() as port, running(f"http://localhost:{port}", authority) as pool:
        response = pool.ask(quiver.Request("POST", "/back/echo", body=b"abc"))
        assert response.json()["body"] == "abc" and pool.origin == f"http://localhost:{port}"
        made = response.connection
        assert made is not None and made.http_version == "HTTP/1.1" and made.cipher == ""
        assert (made.certificate, made.handshake.version) == (None, "")
        asked = quiver.Request("GET", f"http://localhost:{port}/back/plain")
        assert pool.ask(asked).body == TEXT
        with pytest.raises(quiver.InvalidRequest, match="not the origin of this pool"):
            pool.ask(quiver.Request("GET", f"https://localhost:{port}/back/plain"))


def test_nobody_listens_without_tls(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        running(f"http://localhost:{port}", authority) as pool,
        pytest.raises(quiver.ConnectionRefused),
    ):
        pool.ask(get("/"))


@pytest.mark.parametrize("kind", [HTTP2Pool, quiver.HTTP3Pool])
def test_no_other_protocol_is_without_tls(kind: type[HTTP2Pool]) -> None:
    for origin in ("http://localhost", Origin("http", "localhost")):
        said = f"the scheme must be https, {kind.stack.name.upper()} knows no other"
        with pytest.raises(quiver.InvalidURL, match=said):
            kind.start(origin)


def test_who_waits_for_too_long_is_told_of_the_limit(url: str, authority: Authority) -> None:
    with running(url, authority, max_connections_http1=1) as pool:
        assert pool.ask(get("/back/status/204")).status == 204
        slow = pool.ask(get("/back/delay/30"), block=False)
        with pytest.raises(quiver.CheckoutTimeout, match=r"\(max_connections_http1=1\)"):
            pool.ask(get("/back/plain", checkout_timeout=0.1))
        slow.cancel()


def test_one_caller_has_one_connection(url: str, authority: Authority) -> None:
    """It is not as with HTTP/3, where a second one costs little and is there when it is needed."""
    with running(url, authority) as pool:
        for _ in range(20):
            assert pool.ask(get("/back/status/204")).status == 204
        (connection,) = pool.ask(quiver.GetConnections())
        assert connection.opened == 20


def test_many_callers_share_as_many_as_there_may_be(url: str, authority: Authority) -> None:
    with (
        running(url, authority, max_connections_http1=5) as pool,
        ThreadPoolExecutor(20) as threads,
    ):
        asked = [get("/back/plain") if n % 3 else get("/back/delay/0.02") for n in range(200)]
        bodies = list(threads.map(partial(_body, pool), asked))
        assert bodies == [TEXT if n % 3 else b"late" for n in range(200)]
        stats = pool.ask(quiver.GetStats())
        assert (stats.idle, stats.active, stats.connections) == (5, 0, 5)


def _body(pool: PoolRef, request: quiver.Request) -> bytes:
    return pool.ask(request).body


def test_bodies_both_ways(url: str, authority: Authority) -> None:
    with running(url, authority) as pool:
        pieces = (b"y" * 1_000 for _ in range(2_000))
        told = pool.ask(quiver.Request("POST", "/back/echo", body=pieces, timeout=30.0)).json()
        assert told["body"] == "y" * 2_000_000
        # More than the kernel takes at once, of which nothing tells when it has gone.
        put = quiver.Request("PUT", "/back/echo", body=b"x" * 3_000_000, timeout=20.0)
        told = pool.ask(put).json()
        assert len(told["body"]) == 3_000_000 and ["content-length", "3000000"] in told["headers"]
        asked = quiver.Request("POST", "/back/echo", body=b"abc", trailers={"x-sum": "1"})
        assert pool.ask(asked).json()["body"] == "abc"
        with pool.ask(quiver.StreamRequest("GET", "/back/drip/20/0.001")) as dripped:
            assert b"".join(dripped) == b"." * 20
        assert pool.ask(quiver.Request("HEAD", "/back/plain")).header("content-length") == "4000"


def test_a_body_that_ends_too_soon(url: str, authority: Authority) -> None:
    with (
        running(url, authority) as pool,
        pytest.raises(quiver.ConnectionLost, match="in the midst of its answer"),
    ):
        pool.ask(get("/back/short"))


def test_a_cancelled_ask_costs_its_connection(authority: Authority) -> None:
    half = b"200 OK\r\ncontent-length: 9\r\n\r\nhalf"
    with (
        Scripted(authority, {"/half": [half]}) as server,
        running(server.url, authority, max_connections_http1=1) as pool,
    ):
        slow = pool.ask(get("/half"), block=False)
        until(lambda: server.seen["/half"], what="it is out")
        slow.cancel()
        assert _number(pool.ask(get("/ok"), timeout=10.0)) == 2


def test_a_stalled_reader_stops_its_socket_and_no_other(authority: Authority) -> None:
    with (
        Scripted(authority, {"/large": [b"200 OK\r\ncontent-length: 50000000\r\n\r\n"]}) as server,
        running(server.url, authority, receive_window=65_536) as pool,
    ):
        server.fill = b"x" * 50_000_000
        with pool.ask(quiver.StreamRequest("GET", "/large", timeout=60.0)) as stalled:
            first = next(iter(stalled))
            assert pool.ask(get("/ok")).body == b"ok"
            assert server.filled < 30_000_000, "kernels hold some megabytes"
            assert len(first) + sum(map(len, stalled)) == 50_000_000


def test_a_cut_upload_behind_a_stalled_reader_costs_no_turns(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told of when the reader comes to it, and the loop rests until then."""
    turns = itertools.count()
    receive = TcpTransport.receive

    def counted(transport: TcpTransport, now: float) -> bool:
        next(turns)
        return receive(transport, now)

    monkeypatch.setattr(TcpTransport, "receive", counted)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://localhost:{listener.getsockname()[1]}"
        with running(url, authority, receive_window=65_536) as pool:
            body = itertools.repeat(b"y" * 65_536)
            asked = quiver.StreamRequest("POST", "/", body=body, timeout=60.0)
            coming = pool.ask(asked, block=False)
            peer, _ = listener.accept()
            assert peer.recv(10) == b"POST / HTT"
            peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 400_000)
            stalled = coming.get(timeout=30.0)
            until(lambda: _met_within(0.3, turns) == 0, what="neither side takes any more")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            until(lambda: _met_within(0.3, turns) < 10, what="it is at rest")
            with pytest.raises(quiver.ConnectionLost):
                collections.deque(stalled, 0)


def test_a_flood_of_tiny_chunks_takes_slices_of_the_loop(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One read brings thousands of them: so it brings less."""
    costs: list[float] = []
    receive = TcpTransport.receive

    def timed(transport: TcpTransport, now: float) -> bool:
        begun = time.thread_time()
        try:
            return receive(transport, now)
        finally:
            costs.append(time.thread_time() - begun)

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            assert connection.recv(10) == b"GET / HTTP"
            connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            while True:
                connection.sendall(b"1\r\nx\r\n" * 50_000)

    monkeypatch.setattr(TcpTransport, "receive", timed)
    with accepting(serve) as port, running(f"http://localhost:{port}", authority) as pool:
        endless = pool.ask(get("/", timeout=60.0), block=False)
        until(lambda: len(costs) > 40, within=40.0, what="it has had some turns")
        endless.cancel()
        # A machine may be slow, and what it runs traced: 64 KiB of them say what is dear here.
        whole = max(costs[:20])
        assert whole > SLICE
        assert statistics.median(costs[20:]) < max(SLICE, whole / 8), costs


def _met_within(seconds: float, turns: Iterator[int]) -> int:
    """How often the loop has come to a connection in so long."""
    before = next(turns)
    time.sleep(seconds)
    return next(turns) - before - 1


# connections that are closed --------------------------------------------------------------------


@contextlib.contextmanager
def repeats() -> Iterator[list[str]]:
    """The targets of requests that were sent once more, as telemetry counts them."""
    heard: list[str] = []
    name = "repeats"
    telemetry.attach(name, ["request.repeated"], lambda *event: heard.append(event[2]["target"]))
    try:
        yield heard
    finally:
        telemetry.detach(name)


def test_what_got_no_byte_on_a_used_connection_is_asked_again_once(authority: Authority) -> None:
    with (
        repeats() as repeated,
        Scripted(authority, {"/closed": [b"", b""], "/once": [b""]}) as server,
        running(server.url, authority, max_connections_http1=1) as pool,
    ):
        assert pool.ask(get("/ok")).body == b"ok"
        assert pool.ask(get("/once")).body == b"ok"
        assert server.seen["/once"] == 2
        assert pool.ask(get("/ok")).body == b"ok"
        with pytest.raises(quiver.ConnectionLost):
            pool.ask(get("/closed"))
        assert server.seen["/closed"] == 2
    assert repeated == ["/once", "/closed"], "once each"


def test_it_goes_again_on_a_connection_of_its_own(authority: Authority) -> None:
    """As after a restart, or behind a router that has forgotten all that were idle."""
    held = threading.Barrier(3, timeout=30.0)

    def serve(connection: socket.socket) -> None:
        warm = False
        with contextlib.suppress(OSError), connection:
            while head := connection.recv(65_536):
                if b"/warm" in head:
                    held.wait()  # so that there are three
                elif warm:
                    return
                warm = b"/warm" in head
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    with accepting(serve) as port, repeats() as repeated:
        url = f"http://localhost:{port}"
        with running(url, authority, max_connections_http1=3) as pool:
            warm = [pool.ask(get("/warm"), block=False) for _ in range(3)]
            assert [each.get(timeout=30.0).status for each in warm] == [200] * 3
            assert pool.ask(get("/asked")).body == b"ok"
            assert pool.ask(get("/more")).body == b"ok"
    assert repeated == ["/asked"]


@pytest.mark.parametrize("fresh", [True, False])
def test_what_may_have_been_carried_out_is_not(authority: Authority, fresh: bool) -> None:
    """A POST on a used connection, a GET on a new one."""
    with (
        Scripted(authority, {"/closed": [b""]}) as server,
        running(server.url, authority, max_connections_http1=1) as pool,
    ):
        if not fresh:
            assert pool.ask(get("/ok")).body == b"ok"
        with pytest.raises(quiver.ConnectionLost):
            pool.ask(quiver.Request("GET" if fresh else "POST", "/closed"))
        assert server.seen["/closed"] == 1


def test_connection_close(authority: Authority) -> None:
    said = b"200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"
    with (
        Scripted(authority, {"/bye": [said] * 3}) as server,
        running(server.url, authority, max_connections_http1=1) as pool,
    ):
        numbers = [_number(pool.ask(get("/bye"))) for _ in range(3)]
        assert numbers == [1, 2, 3]


def _number(response: quiver.Response) -> int:
    assert response.connection is not None
    return response.connection.number


@contextlib.contextmanager
def accepting(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port of a server that serves each connection in a thread."""

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


class Scripted:
    """A server that answers a path with the next of its lines, an empty one closes; else "ok".

    Attributes:
        fill: what follows a head that a script gives without content; `filled` bytes of it so far.
    """

    def __init__(self, authority: Authority, scripts: dict[str, list[bytes]]) -> None:
        self.seen: Counter[str] = Counter()
        self.fill, self.filled = b"", 0
        self._scripts = {path: list(lines) for path, lines in scripts.items()}
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*authority.issue())
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self._listener.getsockname()[1]}"
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), secured(self._context, sock) as tls:
            self._sockets.append(tls)
            while True:
                section = b""
                while b"\r\n\r\n" not in section:
                    chunk = tls.recv(65_536)
                    if not chunk:
                        return
                    section += chunk
                path = section.split(b" ")[1].decode()
                self.seen[path] += 1
                script = self._scripts.get(path)
                answer = script.pop(0) if script else b"200 OK\r\ncontent-length: 2\r\n\r\nok"
                if not answer:
                    return
                tls.sendall(b"HTTP/1.1 " + answer)
                if answer.endswith(b"\r\n\r\n"):
                    for at in range(0, len(self.fill), 65_536):
                        tls.sendall(self.fill[at : at + 65_536])
                        self.filled = at
