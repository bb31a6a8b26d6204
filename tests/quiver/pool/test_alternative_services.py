"""Alternative services (RFC 7838), over real sockets: heard over TCP, found over QUIC."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import pytest

import quiver
from quiver import telemetry
from quiver.pool import choice, fallback_table
from quiver.testing import Asked, Authority, LocalOrigin
from tests.support.servers.blackhole import blackhole
from tests.support.servers.http1_backend import backend
from tests.support.servers.http2_origin import Http2Origin
from tests.support.waiting import until


@pytest.fixture
def quic_has_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded machine may take longer than TCP waits; what it says here is not told by a clock."""
    monkeypatch.setattr(choice, "HEAD_START", 60.0)


@pytest.fixture(scope="module")
def url(authority: Authority) -> Iterator[str]:
    """An origin of HTTP/1.1 alone, whose answers name what they are asked to."""
    with backend(authority.issue()) as port:
        yield f"https://localhost:{port}"


@contextlib.contextmanager
def elsewhere(authority: Authority) -> Iterator[LocalOrigin]:
    """An origin of HTTP/3 on a port of its own, which tells how it was asked."""
    with LocalOrigin(authority=authority) as third:

        @third.route("/back/*")
        def answer(asked: Asked) -> bytes:
            return json.dumps(
                {name.decode(): value.decode() for name, value in asked.headers}
            ).encode()

        yield third


def speaking(authority: Authority, **options: Any) -> quiver.Client:
    return quiver.Client(cafile=authority.cafile, **{"max_connections": 1, **options})


def announce(client: quiver.Client, url: str, field: str) -> quiver.Response:
    """Have the origin say so, in an answer of HTTP/1.1."""
    response = client.get(f"{url}/back/announce?field={quote(field)}")
    assert (response.status, response.http_version) == (200, "HTTP/1.1")
    return response


def ask(client: quiver.Client, url: str) -> quiver.Response:
    return client.get(f"{url}/back/plain", timeout=30.0)


def becomes(client: quiver.Client, url: str, version: str) -> quiver.Response:
    until(lambda: ask(client, url).http_version == version, what=version)
    return ask(client, url)


@contextlib.contextmanager
def attempts() -> Iterator[list[tuple[str, int, str]]]:
    """The lanes that are tried, each with its port and why."""
    tried: list[tuple[str, int, str]] = []

    def heard(_: str, __: Any, about: Any) -> None:
        tried.append((about["lane"], about["address"][1], about["why"]))

    telemetry.attach("attempts", ["connection.attempt"], heard)
    try:
        yield tried
    finally:
        telemetry.detach("attempts")


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


@pytest.mark.usefixtures("quic_has_time")
def test_another_port_leads_to_http_3(authority: Authority, url: str) -> None:
    with elsewhere(authority) as third, speaking(authority) as client:
        pool = client.pool(url)
        announce(client, url, f'h3=":{third.port}"; ma=60')
        response = becomes(client, url, "HTTP/3")
        place = f"localhost:{third.port}"
        asked = response.json()
        assert asked[":authority"] == url.removeprefix("https://"), "it is the origin that is asked"
        assert asked["alt-used"] == place
        assert response.connection is not None
        assert response.connection.address == ("127.0.0.1", third.port)
        assert response.connection.alternative == place
        assert quiver.protocol_of(pool) == "http/3"


@pytest.mark.usefixtures("quic_has_time")
def test_another_host_is_looked_up_and_judged_as_the_origin(authority: Authority, url: str) -> None:
    """Its certificate is for localhost; by its own name it would be refused."""
    with elsewhere(authority) as third:
        given = {f"edge.invalid:{third.port}": ["127.0.0.1"]}
        with speaking(authority, resolve=given) as client:
            announce(client, url, f'h3="edge.invalid:{third.port}"')
            response = becomes(client, url, "HTTP/3")
            assert response.json()["alt-used"] == f"edge.invalid:{third.port}"


@pytest.mark.usefixtures("quic_has_time")
def test_who_cannot_prove_to_be_the_origin_is_left_alone(authority: Authority, url: str) -> None:
    certfile, keyfile = authority.issue(["edge.example"])
    with (
        LocalOrigin(authority=authority, certfile=certfile, keyfile=keyfile) as other,
        speaking(authority) as client,
        attempts() as tried,
    ):
        announce(client, url, f'h3=":{other.port}"')
        until(lambda: ask(client, url) and _tried(tried, other.port) == 1, what="it was tried")
        for _ in range(20):
            assert ask(client, url).http_version == "HTTP/1.1"
        assert _tried(tried, other.port) == 1
        assert other.requests_served() == 0


def _tried(tried: list[tuple[str, int, str]], port: int) -> int:
    return sum(each[:2] == (choice.HTTP3, port) for each in tried)


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "closed"])
def test_who_is_not_there_costs_no_request(authority: Authority, url: str, silent: bool) -> None:
    with blackhole() as port, speaking(authority) as client, attempts() as tried:
        if not silent:
            port = _closed()
        announce(client, url, f'h3=":{port}"')
        until(lambda: ask(client, url) and _tried(tried, port) == 1, what="it was tried")
        assert {ask(client, url).http_version for _ in range(20)} == {"HTTP/1.1"}
        assert _tried(tried, port) == 1, "it is left alone for a while"


def _closed() -> int:
    with blackhole() as port:
        return port


@pytest.mark.usefixtures("quic_has_time")
def test_a_name_that_is_unknown_costs_no_request(authority: Authority, url: str) -> None:
    with speaking(authority, resolver=_only_localhost) as client, attempts() as tried:
        announce(client, url, 'h3="nowhere.invalid:443"')
        assert {ask(client, url).http_version for _ in range(20)} == {"HTTP/1.1"}
        assert _tried(tried, 443) == 0


def _only_localhost(host: str, port: int) -> list[str]:
    if host != "localhost":
        raise OSError(f"{host} is unknown")
    return ["127.0.0.1"]


@pytest.mark.usefixtures("quic_has_time")
def test_what_was_left_alone_is_asked_again(
    authority: Authority, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fallback_table, "FIRST_PAUSE", 1e-6)
    port = _closed()
    with speaking(authority) as client, attempts() as tried:
        announce(client, url, f'h3=":{port}"')
        until(lambda: ask(client, url) and _tried(tried, port) > 1, what="twice")
        with LocalOrigin(authority=authority, port=port) as third:
            third.route("/back/*")(lambda asked: b"third")
            assert becomes(client, url, "HTTP/3").body == b"third"


@pytest.mark.usefixtures("quic_has_time")
def test_clear_takes_it_back(authority: Authority) -> None:
    with elsewhere(authority) as third, LocalOrigin(authority=authority) as first:
        for path, field in (("/tell", f'h3=":{third.port}"'), ("/clear", "clear")):
            first.route(path)(lambda _, field=field: (200, [("alt-svc", field)], b""))
        with speaking(authority, max_requests_per_connection=10) as client:
            for path in ("/tell", "/clear", *["/ok"] * 30):
                assert client.get(first.url + path).status == 200
        assert first.connections_accepted() > 2 and third.connections_accepted() == 0


@pytest.mark.usefixtures("quic_has_time")
def test_who_does_not_answer_for_the_origin_is_forgotten(authority: Authority, url: str) -> None:
    """421 is no answer: the request goes to the origin (RFC 7838 6)."""
    with LocalOrigin(authority=authority) as third, speaking(authority) as client:
        refused: list[str] = []

        @third.route("/back/*")
        def answer(asked: Asked) -> Any:
            refused.append(asked.path)
            return 421, [("alt-svc", f'h3=":{third.port}"')], b""

        announce(client, url, f'h3=":{third.port}"')
        told: list[quiver.Response] = []
        while not refused:  # pytest's own limit ends it
            told.append(ask(client, url))
        for _ in range(10):  # the origin goes on to say so
            told += [announce(client, url, f'h3=":{third.port}"'), ask(client, url)]
        assert {(each.status, each.http_version) for each in told} == {(200, "HTTP/1.1")}
        assert len(refused) <= 2, "what was lent to it in that moment"


@pytest.mark.usefixtures("quic_has_time")
def test_a_421_of_the_origin_is_its_answer(authority: Authority, url: str) -> None:
    with speaking(authority) as client:
        assert client.get(f"{url}/back/status/421").status == 421


@pytest.mark.usefixtures("quic_has_time")
def test_over_http_3_it_is_heard_as_well(authority: Authority) -> None:
    """The connection stays; the next one goes there."""
    with elsewhere(authority) as third, LocalOrigin(authority=authority) as first:
        first.route("/tell")(lambda _: (200, [("alt-svc", f'h3=":{third.port}"')], b"told"))
        with speaking(authority, max_requests_per_connection=2) as client:
            told = client.get(first.url + "/tell")
            assert (told.body, told.http_version) == (b"told", "HTTP/3")
            until(lambda: _place(client, first.url) == f"localhost:{third.port}", what="there")


def _place(client: quiver.Client, url: str) -> str | None:
    response = client.get(url + "/back/plain")
    return None if response.connection is None else response.connection.alternative


@pytest.mark.usefixtures("quic_has_time")
def test_the_own_port_is_the_last_resort(authority: Authority) -> None:
    """Neither the other place is there nor TCP, and nothing is remembered of a dial that failed."""
    with LocalOrigin(authority=authority) as first, attempts() as tried:
        field = f'h3=":{_closed()}"'
        first.route("/tell")(lambda _: (200, [("alt-svc", field)], b"told"))
        with speaking(authority, max_requests_per_connection=1) as client:
            for _ in range(3):
                assert client.get(first.url + "/tell").http_version == "HTTP/3"
    assert "tcp" in {lane for lane, _, _ in tried}


@pytest.mark.usefixtures("quic_has_time")
def test_by_the_policy_alt_svc_nobody_is_asked_who_has_not_said_so(
    authority: Authority, url: str
) -> None:
    with elsewhere(authority) as third, attempts() as tried:
        with speaking(authority, policy="alt-svc") as client:
            assert ask(client, url).http_version == "HTTP/1.1"
            assert {lane for lane, _, _ in tried} == {"tcp"}
            announce(client, url, f'h3=":{third.port}"')
            assert becomes(client, url, "HTTP/3").status == 200
        assert _tried(tried, port_of(url)) == 0
        del tried[:]
        with speaking(authority, policy="alt-svc", hints=[third.url]) as client:
            assert ask(client, third.url).http_version == "HTTP/3"
        assert tried == [("http/3", third.port, "by a hint")]


@pytest.mark.usefixtures("quic_has_time")
def test_a_session_is_resumed_there_and_requests_go_early(authority: Authority, url: str) -> None:
    with LocalOrigin(authority=authority, session_tickets=True) as third:
        third.route("/back/*")(lambda asked: dict(asked.headers).get(b"alt-used", b"none"))
        with speaking(authority, early_data=True, idle_timeout=0.1) as client:
            announce(client, url, f'h3=":{third.port}"')
            until(lambda: _early(client, url), what="a connection that took it early")


def _early(client: quiver.Client, url: str) -> bool:
    until(lambda: client.stats(url).connections == 0, what="it was idle")
    response = ask(client, url)
    if response.connection is None or not response.connection.early:
        return False
    assert response.text == response.connection.alternative
    return True


@pytest.mark.long
def test_a_place_that_comes_and_goes_amid_a_load(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ask has a path of its own, and one reply; neither server sees one twice."""
    monkeypatch.setattr(fallback_table, "FIRST_PAUSE", 0.1)
    monkeypatch.setattr(fallback_table, "LONGEST_PAUSE", 0.1)
    numbers, told, over = itertools.count(1), Counter[str | None](), threading.Event()
    seen: Counter[str] = Counter()
    with (
        Http2Origin(authority) as server,
        speaking(authority, max_connections=2) as client,
        ThreadPoolExecutor(12) as threads,
    ):
        port = _closed()
        server.fields.append(("alt-svc", f'h3=":{port}"'))

        def answer(asked: Asked) -> bytes:
            seen.update([asked.path])
            return b"x" * int(asked.path.rpartition("/")[2])

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
                            third = ends.enter_context(LocalOrigin(authority=authority, port=port))
                            third.route("/bytes/*")(answer)
                        until(lambda: told[version] >= more, within=60.0, what=version)  # noqa: B023
        finally:
            over.set()
        assert sum(each.result(60.0) for each in asking) == told.total()
    assert max((seen + server.seen).values()) == 1


def test_what_is_no_policy_and_no_hint() -> None:
    wrong: Any = "never"
    with pytest.raises(quiver.InvalidOptions, match="policy='never': must be always or alt-svc"):
        quiver.Client(policy=wrong)
    with pytest.raises(quiver.InvalidOptions, match="hints='https://a'"):
        quiver.Client(hints="https://a")
    with pytest.raises(quiver.InvalidURL, match=r"hints: url='http://a.example': .* be https"):
        quiver.Client(hints=["http://a.example"])


def test_without_tls_nobody_is_believed(authority: Authority) -> None:
    with backend() as port, LocalOrigin(authority=authority) as third:
        url = f"http://localhost:{port}"
        with speaking(authority) as client:
            announce(client, url, f'h3=":{third.port}"')
            assert {ask(client, url).http_version for _ in range(10)} == {"HTTP/1.1"}
        assert third.connections_accepted() == 0
