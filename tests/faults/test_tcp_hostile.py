"""Servers over TCP that are slow, silent or hostile: each ask has a named end, and others go on."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from h2.settings import SettingCodes
from hyperframe.frame import PingFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

import quiver
from quiver.pool.http1_pool import HTTP1Pool
from quiver.pool.http2_pool import HTTP2Pool
from quiver.pool.ref import PoolRef
from quiver.testing import Authority
from tests.support.network.conditions import Direction
from tests.support.network.tcp_relay import Fault, TcpRelay
from tests.support.servers.http1_backend import backend
from tests.support.servers.http2_origin import Http2Origin
from tests.support.waiting import until

UP, DOWN = Direction.UP, Direction.DOWN
CONCURRENT, WINDOW = SettingCodes.MAX_CONCURRENT_STREAMS, SettingCodes.INITIAL_WINDOW_SIZE
HANDSHAKE = 2_500  # bytes by which it is over, and nothing else: that of TLS, and SETTINGS
LONG: dict[str, Any] = {"timeout": 60.0, "receive_timeout": 60.0}


@pytest.fixture
def server(authority: Authority) -> Iterator[Http2Origin]:
    with Http2Origin(authority) as made:
        yield made


@pytest.fixture
def relay(server: Http2Origin) -> Iterator[TcpRelay]:
    with TcpRelay(server.port) as made:
        yield made


@contextlib.contextmanager
def running(url: str, cafile: str, **options: Any) -> Iterator[PoolRef]:
    pool = HTTP2Pool.start(url, cafile=cafile, max_connections=1, **options)
    try:
        yield pool
    finally:
        pool.stop()


def get(path: str, **more: Any) -> quiver.Request:
    return quiver.Request("GET", path, **more)


# slow ones --------------------------------------------------------------------------------------


def test_a_handshake_byte_by_byte(relay: TcpRelay, server: Http2Origin) -> None:
    with running(relay.url, server.cafile, connect_timeout=0.7) as pool:
        relay.next(Fault("drip", DOWN, 100, pause=0.02))
        with pytest.raises(quiver.ConnectTimeout, match=r"connect_timeout=0\.7 seconds"):
            pool.ask(get("/ok"))
        assert pool.ask(get("/ok"), timeout=30.0).body == b"ok"


def test_an_answer_byte_by_byte(relay: TcpRelay, server: Http2Origin) -> None:
    """A record of TLS says nothing before its end; the limit of the whole holds in any case."""
    for limit, error in (("receive_timeout", quiver.ReceiveTimeout), ("timeout", None)):
        with running(relay.url, server.cafile) as pool:
            assert pool.ask(get("/ok")).body == b"ok"
        relay.next(Fault("drip", DOWN, 4_000, pause=0.02))
        with running(relay.url, server.cafile) as pool:
            assert pool.ask(get("/ok")).body == b"ok"
            with pytest.raises(error or quiver.RequestTimeout):
                pool.ask(get("/bytes/100000", **{**LONG, limit: 0.7}))


def test_an_answer_over_http_1_byte_by_byte(authority: Authority) -> None:
    with backend() as port, TcpRelay(port) as relay:
        pool = HTTP1Pool.start(f"http://localhost:{relay.port}")
        try:
            relay.next(Fault("drip", DOWN, 30, pause=0.02))
            with pytest.raises(quiver.ReceiveTimeout):
                pool.ask(get("/back/plain", receive_timeout=0.7))
            relay.next(Fault("drip", DOWN, 300, pause=0.02))
            with pytest.raises(quiver.RequestTimeout):
                pool.ask(get("/back/plain", **{**LONG, "timeout": 0.7}))
        finally:
            pool.stop()


def test_an_upload_of_which_the_server_takes_nothing(authority: Authority) -> None:
    with (
        Http2Origin(authority, settings={WINDOW: 0}) as server,
        running(server.url, server.cafile) as pool,
    ):
        assert pool.ask(get("/ok")).body == b"ok"
        pieces = (b"x" * 65_536 for _ in range(100))
        with pytest.raises(quiver.SendTimeout):
            pool.ask(quiver.Request("POST", "/echo", body=pieces, send_timeout=0.5, **LONG))
        with pytest.raises(quiver.ReceiveTimeout):
            pool.ask(quiver.Request("POST", "/echo", body=b"x", receive_timeout=0.5))
        assert pool.ask(get("/ok")).body == b"ok" and len(server.peers) == 1


def test_a_server_that_gives_no_room_until_it_does(server: Http2Origin) -> None:
    with running(server.url, server.cafile) as pool:
        assert pool.ask(get("/ok")).body == b"ok"
        server.peers[0].settings({CONCURRENT: 0})
        until(lambda: pool.ask(quiver.GetStats()).idle == 0, what="it is told")
        with pytest.raises(quiver.CheckoutTimeout):
            pool.ask(get("/ok", checkout_timeout=0.3))
        late = pool.ask(get("/ok", **LONG), block=False)
        until(lambda: pool.ask(quiver.GetStats()).queued == 1, what="it waits")
        server.peers[0].settings({CONCURRENT: 5})
        assert late.get(timeout=20.0).body == b"ok" and len(server.peers) == 1


# hostile ones -----------------------------------------------------------------------------------

FLOODS = {
    "PING": PingFrame(0, opaque_data=bytes(8)),
    "SETTINGS": SettingsFrame(0, settings={CONCURRENT: 100}),
    "WINDOW_UPDATE": WindowUpdateFrame(0, window_increment=1),
    "RST_STREAM": RstStreamFrame(1),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_its_connection_and_others_go_on(
    authority: Authority, server: Http2Origin, name: str
) -> None:
    with (
        Http2Origin(authority) as other,
        running(server.url, server.cafile) as pool,
        running(other.url, other.cafile) as neighbour,
    ):
        assert pool.ask(get("/ok")).body == b"ok"
        held = pool.ask(get("/held", **LONG), block=False)
        until(lambda: server.held == 1, what="it is there")
        flood = FLOODS[name].serialize() * 20_000
        peer = server.peers[0]
        flooding = threading.Thread(target=_write, args=(peer, flood))
        flooding.start()
        for _ in range(20):
            assert neighbour.ask(get("/ok", timeout=20.0)).body == b"ok"
        with pytest.raises(quiver.ProtocolViolation, match="ENHANCE_YOUR_CALM"):
            held.get(timeout=20.0)
        assert pool.ask(get("/ok", timeout=20.0)).body == b"ok"
        flooding.join(20.0)


def _write(peer: Any, content: bytes) -> None:
    with contextlib.suppress(OSError, ValueError):
        peer._socket.sendall(content)


def test_every_stream_is_reset_at_once(server: Http2Origin) -> None:
    with running(server.url, server.cafile) as pool:
        asked = [pool.ask(get(f"/reset?{n}"), block=False) for n in range(300)]
        for each in asked:
            with pytest.raises(quiver.StreamReset):
                each.get(timeout=20.0)
        assert pool.ask(get("/ok")).body == b"ok"
        assert max(server.seen.values()) == 1


def test_goaways_without_end(server: Http2Origin) -> None:
    """Each connection takes nothing: what was asked goes elsewhere, but not for ever."""
    with running(server.url, server.cafile) as pool:
        for _ in range(3):
            held = pool.ask(get("/held", **LONG), block=False)
            until(lambda: server.held == 1, what="it is there")
            server.peers[-1].goaway(0)
            until(lambda: server.held == 1, what="it is there again")
            server.release()
            assert held.get(timeout=20.0).body == b"released"


# TLS --------------------------------------------------------------------------------------------

ALERTS = {
    40: "handshake_failure",
    70: "protocol_version",
    80: "internal_error",
    112: "unrecognized_name",
    120: "no_application_protocol",  # which some releases of ssl have no name for
}


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_in_place_of_a_handshake(alert: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            with contextlib.suppress(OSError):
                sock, _ = listener.accept()
                with sock:
                    sock.recv(65_536)
                    sock.sendall(bytes([21, 3, 3, 0, 2, 2, alert]))
                    sock.recv(1)

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        pool = HTTP2Pool.start(f"https://127.0.0.1:{listener.getsockname()[1]}")
        try:
            with pytest.raises(quiver.HandshakeFailed, match=ALERTS[alert]):
                pool.ask(get("/ok"))
        finally:
            pool.stop()
        thread.join(5.0)
