"""A client that speaks all protocols, over real sockets: which one an origin gets, and when."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import quiver
from quiver import telemetry
from quiver.pool import choice, fallback_table, liveness
from quiver.pool.protocols import ALL
from quiver.pool.ref import PoolRef
from quiver.testing import Authority, LocalOrigin, Origin
from tests.support.servers.blackhole import mute
from tests.support.servers.http1_backend import TEXT, backend
from tests.support.servers.http2_origin import Http2Origin
from tests.support.waiting import until

LONG = 60.0  # seconds: more than any test takes


@pytest.fixture
def server(authority: Authority) -> Iterator[Http2Origin]:
    with Http2Origin(authority) as made:
        yield made


@contextlib.contextmanager
def speaking(
    authority: Authority, protocols: tuple[str, ...] = ALL, **options: Any
) -> Iterator[quiver.Client]:
    with quiver.Client(cafile=authority.cafile, protocols=protocols, **options) as client:
        yield client


@pytest.fixture
def quic_has_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine may take longer than TCP waits; what it says here is not told by a clock."""
    monkeypatch.setattr(choice, "HEAD_START", LONG)


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP/3 that has failed is asked again at once."""
    monkeypatch.setattr(fallback_table, "FIRST_PAUSE", 1e-6)


# which one --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quic_has_time")
def test_http_3_where_it_is_spoken(authority: Authority, server: Http2Origin) -> None:
    with LocalOrigin(authority=authority, port=server.port), speaking(authority) as client:
        pool = client.pool(server.url)
        assert quiver.protocol_of(pool) is None, "no handshake has said it"
        assert client.get(server.url + "/ok").http_version == "HTTP/3"
        assert quiver.protocol_of(pool) == "http/3"
        assert server.peers == []


@pytest.mark.usefixtures("quic_has_time")
def test_a_closed_port_of_udp_is_over_tcp_at_once(
    authority: Authority, server: Http2Origin
) -> None:
    """It does not wait for its time, which is a minute here."""
    with speaking(authority) as client:
        pool = client.pool(server.url)
        response = pool.ask(quiver.Request("GET", "/ok"))
        assert (response.body, response.http_version) == (b"ok", "HTTP/2")
        assert quiver.protocol_of(pool) == "http/2"
        assert client.stats(server.url).connections <= 2


def test_udp_that_is_silent(authority: Authority, server: Http2Origin) -> None:
    with mute(server.port), speaking(authority) as client:
        assert client.get(server.url + "/ok").http_version == "HTTP/2"


def test_what_was_silent_goes_second_the_next_time(
    authority: Authority, server: Http2Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mute(server.port), speaking(authority, max_connections=1) as client:
        assert client.get(server.url + "/ok").http_version == "HTTP/2"
        monkeypatch.setattr(choice, "HEAD_START", LONG)
        server.peers[0].cut()
        until(lambda: client.stats(server.url).connections == 0, what="it has heard")
        assert client.get(server.url + "/ok").http_version == "HTTP/2", "or it waits a minute"


@pytest.mark.usefixtures("quic_has_time")
def test_alpn_says_what_is_spoken_over_tcp(authority: Authority) -> None:
    """A server that knows no ALPN is one of HTTP/1.1, of which there are as many as are needed."""
    with backend(authority.issue()) as port, speaking(authority) as client:
        url = f"https://localhost:{port}"
        with ThreadPoolExecutor(8) as threads:
            told = list(threads.map(client.get, [f"{url}/back/delay/0.2"] * 8))
        assert {each.http_version for each in told} == {"HTTP/1.1"}
        assert quiver.protocol_of(client.pool(url)) == "http/1.1"
        assert client.get(f"{url}/back/plain").body == TEXT
        assert client.stats(url).connections > 2, "that is HTTP/3's and HTTP/2's limit"


def test_without_tls_it_is_http_1(authority: Authority) -> None:
    with backend() as port, speaking(authority) as client:
        url = f"http://localhost:{port}"
        response = client.get(f"{url}/back/plain")
        assert (response.body, response.http_version) == (TEXT, "HTTP/1.1")
        assert quiver.protocol_of(client.pool(url)) == "http/1.1"
        assert client.stats(url).started
    with speaking(authority, ("h3", "h2")) as client:
        for ask in (client.get, client.pool):
            with pytest.raises(quiver.InvalidURL, match="the scheme must be https"):
                ask(url)


@pytest.mark.parametrize("protocols", [("h2",), ("h2", "http/1.1"), ("h3", "h2")])
@pytest.mark.usefixtures("quic_has_time")
def test_some_of_them(
    authority: Authority, server: Http2Origin, protocols: tuple[str, ...]
) -> None:
    with speaking(authority, protocols) as client:
        assert client.get(server.url + "/ok").http_version == "HTTP/2"
        assert client.get(server.url + "/trailers").trailers == [("x-sum", "1")]


def test_none_in_common(authority: Authority) -> None:
    with (
        backend(authority.issue()) as port,
        speaking(authority, ("h2",)) as client,
        pytest.raises(quiver.HandshakeFailed, match="does not speak HTTP/2 here"),
    ):
        client.get(f"https://localhost:{port}/back/plain")


@pytest.mark.usefixtures("quic_has_time")
def test_channels_are_http_3s(authority: Authority, server: Http2Origin) -> None:
    with speaking(authority) as client:
        for _ in range(2):  # before a handshake has said what is spoken, and after
            with pytest.raises(
                quiver.ConnectDisabled, match="over HTTP/3 only, and this is HTTP/2"
            ):
                client.open_channel(server.url + "/ok", protocol="webtransport")
        with pytest.raises(quiver.ConnectDisabled):
            client.open_channel(server.url + "/ok", method="GET")
        assert server.seen == {}


# errors -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quic_has_time")
def test_who_is_nowhere_refuses(authority: Authority, server: Http2Origin) -> None:
    port = server.port
    server.__exit__()
    with speaking(authority) as client, pytest.raises(quiver.ConnectionRefused) as caught:
        client.get(f"https://localhost:{port}/")
    assert "over TCP: connection refused: nobody listens there" in caught.value.__notes__


@pytest.mark.usefixtures("quic_has_time")
def test_a_certificate_is_judged_over_tcp_as_well(server: Http2Origin) -> None:
    with (
        quiver.Client(protocols=ALL) as client,
        pytest.raises(quiver.CertificateInvalid, match="its issuer is unknown") as caught,
    ):
        client.get(server.url + "/ok")
    assert caught.value.__notes__[-1].startswith("over HTTP/3: connection refused")
    assert server.seen == {}


# in the course of time --------------------------------------------------------------------------


@pytest.mark.usefixtures("quic_has_time", "no_pause")
def test_http_3_that_comes_later_takes_over(authority: Authority, server: Http2Origin) -> None:
    """It is tried beside requests, and what is open over TCP goes on to its end."""
    with speaking(authority) as client:
        pool = client.pool(server.url)
        assert client.get(server.url + "/ok").http_version == "HTTP/2"
        held = pool.ask(quiver.Request("GET", "/held"), block=False)
        until(lambda: server.held == 1, what="it is there")
        with LocalOrigin(authority=authority, port=server.port):
            until(lambda: _version(client, server) == "HTTP/3", what="it is found")
            assert quiver.protocol_of(pool) == "http/3"
            server.release()
            answer = held.get(timeout=10.0)
            assert (answer.body, answer.http_version) == (b"released", "HTTP/2")
            # A dial that had begun before may bring one more over TCP; HTTP/3 is tried beside it.
            until(lambda: _versions(client, server) == {"HTTP/3"}, what="it is all that is taken")
            until(lambda: all(each.over.is_set() for each in server.peers), what="TCP is left")
    assert server.seen["/held"] == 1


@pytest.mark.usefixtures("quic_has_time", "no_pause")
def test_channels_alone_lead_to_http_3_as_well(authority: Authority, server: Http2Origin) -> None:
    """Those that are refused over TCP have HTTP/3 tried beside."""
    with speaking(authority) as client:
        assert client.get(server.url + "/ok").http_version == "HTTP/2"
        with LocalOrigin(authority=authority, port=server.port):
            until(lambda: _opens(client, server), what="it is found")


@pytest.mark.usefixtures("quic_has_time", "no_pause")
def test_what_is_gone_keeps_no_channel_away(authority: Authority, server: Http2Origin) -> None:
    """What was spoken over TCP counts no more when no connection is there."""
    with speaking(authority, max_connections=1) as client:
        assert client.get(server.url + "/ok").http_version == "HTTP/2"
        server.peers[0].cut()
        until(lambda: client.stats(server.url).connections == 0, what="it has heard")
        with LocalOrigin(authority=authority, port=server.port):
            assert _opens(client, server)


def _opens(client: quiver.Client, server: Http2Origin) -> bool:
    try:
        with client.open_channel(server.url + "/hang", method="GET"):
            return True
    except quiver.ConnectDisabled:
        return False


@pytest.mark.usefixtures("quic_has_time")
def test_http_3_that_goes_away_gives_way(authority: Authority, server: Http2Origin) -> None:
    with speaking(authority) as client:
        with LocalOrigin(authority=authority, port=server.port):
            assert _version(client, server) == "HTTP/3"
        until(lambda: _version(client, server) == "HTTP/2", what="TCP is taken")
        assert quiver.protocol_of(client.pool(server.url)) == "http/2"


def test_while_http_3_is_suspended_what_answers_is_told(
    authority: Authority, server: Http2Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connection is there still, and gets no requests while it is asked by PINGs."""
    monkeypatch.setattr(liveness, "LEAST", LONG)
    with (
        Origin(authority=authority, port=server.port) as third,
        speaking(authority, max_connections=2) as client,
    ):
        pool = client.pool(server.url)
        with monkeypatch.context() as patched:
            patched.setattr(choice, "HEAD_START", LONG)
            assert _version(client, server) == "HTTP/3"
        third.suspend()
        silent = quiver.Request("GET", "/hang", receive_timeout=2 * liveness.SILENCE)
        with pytest.raises(quiver.ReceiveTimeout):
            pool.ask(silent, timeout=30.0)
        until(lambda: _states(pool) >= {"suspended"}, what="it is suspended")
        until(lambda: _version(client, server) == "HTTP/2", what="TCP is taken")
        seen = quiver.protocol_of(pool), "suspended" in _states(pool)
        third.resume()
        assert seen == ("http/2", True)
        until(lambda: quiver.protocol_of(pool) == "http/3", what="it is resumed")


def _states(pool: PoolRef) -> set[str]:
    return {each.state for each in pool.ask(quiver.GetConnections())}


def _versions(client: quiver.Client, server: Http2Origin) -> set[str | None]:
    return {_version(client, server) for _ in range(20)}


def _version(client: quiver.Client, server: Http2Origin) -> str | None:
    try:
        return client.get(server.url + "/ok", timeout=10.0).http_version
    except quiver.TransientError:
        return None


def test_each_request_is_carried_out_once_whatever_wins(
    authority: Authority, server: Http2Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both lanes begin at the same moment, in each of many clients."""
    monkeypatch.setattr(choice, "HEAD_START", 0.0)
    versions: Counter[str | None] = Counter()
    with LocalOrigin(authority=authority, port=server.port) as third:
        counted: Counter[str] = Counter()
        third.route("/bytes/3")(lambda asked: counted.update(["/bytes/3"]) or b"abc")
        for _ in range(10):
            with speaking(authority) as client, ThreadPoolExecutor(10) as threads:
                urls = [server.url + "/bytes/3"] * 20
                versions.update(each.http_version for each in threads.map(client.get, urls))
    assert sum(versions.values()) == 200 == counted["/bytes/3"] + server.seen["/bytes/3"]
    assert versions["HTTP/2"] == server.seen["/bytes/3"]


@pytest.mark.long
def test_http_3_that_comes_and_goes_amid_a_load(
    authority: Authority, server: Http2Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ask has a path of its own, and one reply; the server over TCP sees none twice."""
    monkeypatch.setattr(fallback_table, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(fallback_table, "LONGEST_PAUSE", 0.1)
    numbers, told, over = itertools.count(1), Counter[str | None](), threading.Event()
    with speaking(authority) as client, ThreadPoolExecutor(12) as threads:

        def ask_on() -> int:
            asked = 0
            while not over.is_set():
                number, asked = next(numbers), asked + 1
                try:
                    response = client.get(f"{server.url}/bytes/{number}", timeout=30.0)
                except quiver.TransientError:  # it was open on a server that has ended
                    told.update([None])
                else:
                    assert len(response.body) == number
                    told.update([response.http_version])
            return asked

        asking = [threads.submit(ask_on) for _ in range(12)]
        try:
            for _ in range(3):
                for version in ("HTTP/3", "HTTP/2"):
                    more = told[version] + 100
                    with contextlib.ExitStack() as ends:
                        if version == "HTTP/3":
                            ends.enter_context(LocalOrigin(authority=authority, port=server.port))
                        until(lambda: told[version] >= more, within=60.0, what=version)  # noqa: B023
        finally:
            over.set()
        assert sum(each.result(60.0) for each in asking) == told.total()
    assert max(server.seen.values()) == 1


@pytest.mark.usefixtures("quic_has_time")
def test_telemetry_tells_what_was_tried(authority: Authority, server: Http2Origin) -> None:
    heard: list[tuple[str, Any, Any]] = []
    telemetry.attach("race", telemetry.EVENTS, lambda *event: heard.append(event))
    try:
        with speaking(authority, max_connections=1) as client:
            client.get(server.url + "/ok")
    finally:
        telemetry.detach("race")
    by_name = {name: metadata for name, _, metadata in heard}
    assert by_name["connection.start"]["http_version"] is None
    assert by_name["connection.ready"]["http_version"] == "HTTP/2"
    assert by_name["connection.stop"]["http_version"] == "HTTP/2"
    attempts = [metadata["address"] for name, _, metadata in heard if name == "connection.attempt"]
    assert attempts == [("127.0.0.1", server.port)] * 2, "one over each"
