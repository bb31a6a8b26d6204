"""Routes of a test's own, in a server that runs in a thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest

import quiver
from quiver.testing import (
    Answer,
    Asked,
    Authority,
    Close,
    LocalOrigin,
    Origin,
    OriginFailed,
    Receiver,
    Reset,
    Silence,
    pattern,
)
from tests.support.waiting import until


@pytest.fixture
def local(authority: Authority) -> Iterator[LocalOrigin]:
    with LocalOrigin(authority=authority) as started:
        yield started


@pytest.fixture
def client(local: LocalOrigin) -> Iterator[quiver.Client]:
    rule = {"cafile": local.cafile, "max_connections": 1}
    with quiver.Client(pools={"default": rule}) as made:
        yield made


def test_a_route_hears_the_whole_request(local: LocalOrigin, client: quiver.Client) -> None:
    heard: list[Asked] = []

    @local.route("/items/*", method="PUT")
    def put(asked: Asked) -> tuple[int, dict[str, str], bytes]:
        heard.append(asked)
        return 201, {"Location": asked.path}, b"made"

    response = client.put(
        local.url + "/items/7?kind=a",
        headers={"X-Tag": "t"},
        body=iter([b"ab", b"cd"]),
        trailers={"x-sum": "4"},
    )
    assert (response.status, response.header("location"), response.body) == (
        201,
        "/items/7",
        b"made",
    )
    (asked,) = heard
    assert (asked.method, asked.arguments, asked.body) == ("PUT", {"kind": "a"}, b"abcd")
    assert asked.header("x-tag") == "t" and asked.header("absent", "-") == "-"
    assert list(asked.trailers) == [(b"x-sum", b"4")]
    assert local.requests_served("/items/7") == 1
    assert client.get(local.url + "/items/7").json() == {"id": 7}  # another method: built in


def test_the_latest_route_goes_first(local: LocalOrigin, client: quiver.Client) -> None:
    assert client.get(local.url + "/ok").body == b"ok"
    local.route("/ok")(lambda asked: b"first")
    local.route("/*")(lambda asked: b"any")
    assert client.get(local.url + "/ok").body == b"any"
    local.route("/ok")(lambda asked: "last")
    assert client.get(local.url + "/ok").text == "last"
    with pytest.raises(ValueError, match="'nowhere'"):
        local.route("nowhere")(lambda asked: b"")


def test_a_route_that_blocks_blocks_nobody_else(local: LocalOrigin, client: quiver.Client) -> None:
    go_on = threading.Event()

    @local.route("/wait")
    def wait(asked: Asked) -> bytes:
        assert go_on.wait(10)
        return b"waited"

    pool = client.pool(local.url)
    waiting = pool.ask(quiver.Request("GET", "/wait"), block=False)
    assert client.get(local.url + "/ok").status == 200
    assert not waiting.done
    go_on.set()
    assert waiting.get(timeout=5).body == b"waited"


def test_a_coroutine_may_command_its_server(local: LocalOrigin, client: quiver.Client) -> None:
    @local.route("/last")
    async def last(asked: Asked) -> bytes:
        await asyncio.sleep(0)
        assert local.goaway() == 1
        return b"last"

    assert client.get(local.url + "/last").body == b"last"
    assert client.get(local.url + "/ok").status == 200
    assert local.connections_accepted() == 2


def test_a_delay(local: LocalOrigin, client: quiver.Client) -> None:
    local.route("/late")(lambda asked: Answer(body=b"late", delay=0.2))
    started = time.monotonic()
    assert client.get(local.url + "/late").body == b"late"
    assert time.monotonic() - started >= 0.2


def test_trailers_and_a_body_in_pieces(local: LocalOrigin, client: quiver.Client) -> None:
    whole = pattern(1_000_000)
    pieces = [whole[at : at + 10_000] for at in range(0, len(whole), 10_000)]
    local.route("/short")(lambda asked: Answer(body=b"x", trailers={"x-end": "1"}))
    local.route("/long")(lambda asked: Answer(body=pieces, trailers={"x-end": "2"}))
    local.route("/endless")(lambda asked: Answer(body=iter(pieces)))
    short, long = client.get(local.url + "/short"), client.get(local.url + "/long")
    assert (short.body, short.trailers) == (b"x", [("x-end", "1")])
    assert (long.body, long.trailers) == (whole, [("x-end", "2")])
    assert client.get(local.url + "/endless").body == whole
    assert client.head(local.url + "/long").body == b""


def test_faults(local: LocalOrigin, client: quiver.Client) -> None:
    local.route("/reset")(lambda asked: Reset(0x10E))
    local.route("/half")(lambda asked: Answer(body=b"half", then=Reset(0x102)))
    local.route("/lie")(lambda asked: Answer(headers={"content-length": "9"}, body=b"short"))
    local.route("/silent")(lambda asked: Silence())
    local.route("/close")(lambda asked: Close(0x101))
    with pytest.raises(quiver.StreamReset) as reset:
        client.get(local.url + "/reset")
    assert reset.value.code == 0x10E
    with client.stream("GET", local.url + "/half") as response:
        assert response.read(4) == b"half"
        with pytest.raises(quiver.StreamReset):
            response.read()
    with pytest.raises(quiver.ProtocolViolation):
        client.get(local.url + "/lie")
    with pytest.raises(quiver.RequestTimeout):
        client.get(local.url + "/silent", timeout=0.2)
    with pytest.raises(quiver.ConnectionLost) as lost:
        client.get(local.url + "/close")
    assert lost.value.code == 0x101


def test_goaway_before_an_answer(local: LocalOrigin, client: quiver.Client) -> None:
    local.route("/last")(lambda asked: Answer(body=b"last", goaway=True))
    assert client.get(local.url + "/last").body == b"last"
    assert client.get(local.url + "/ok").status == 200
    assert local.connections_accepted() == 2


def test_datagrams(local: LocalOrigin, client: quiver.Client) -> None:
    replies = {b"one": b"1", b"two": [b"2a", b"2b"], b"none": None}
    local.datagrams("/game")(replies.__getitem__)
    with client.open_channel(local.url + "/game", protocol="connect-udp") as channel:
        for payload in (b"none", b"two", b"one"):
            channel.send(payload)
        got = [e.payload for e in islice(channel, 4) if isinstance(e, quiver.Datagram)]
    assert got == [b"2a", b"2b", b"1"]


def test_a_receiver_has_the_whole_stream(local: LocalOrigin, client: quiver.Client) -> None:
    @local.channel("/count/*")
    class Count(Receiver):
        def body(self, piece: bytes) -> None:
            self.size = getattr(self, "size", 0) + len(piece)

        def ended(self, trailers: object) -> None:
            self.stream.answer(200, [], b"%d" % self.size)

    assert client.post(local.url + "/count/x", body=b"x" * 100_000).body == b"100000"


def test_an_error_in_a_route_is_the_tests(authority: Authority) -> None:
    def fails(asked: Asked) -> bytes:
        raise LookupError("no such thing")

    with pytest.raises(LookupError, match="no such thing") as caught:  # noqa: SIM117
        with LocalOrigin(authority=authority) as local:
            local.route("/fails")(fails)
            local.route("/nothing")(lambda asked: None)
            with quiver.Client(pools={"default": {"cafile": local.cafile}}) as client:
                response = client.get(local.url + "/fails")
                assert (response.status, response.text) == (500, "LookupError: no such thing\n")
                assert client.get(local.url + "/nothing").status == 500
            assert [type(error) for error in local.errors] == [LookupError, TypeError]
    assert caught.value.__notes__ == ["in the route of GET /fails"]


def test_the_tests_own_error_goes_before_that_of_a_route(authority: Authority) -> None:
    with pytest.raises(AssertionError, match="mine"), LocalOrigin(authority=authority) as local:
        local.errors.append(LookupError("the route's"))
        raise AssertionError("mine")


def test_it_starts_again_on_its_port(local: LocalOrigin, client: quiver.Client) -> None:
    port = local.port
    assert client.get(local.url + "/ok").status == 200
    local.stop()
    local.stop()
    with pytest.raises(OriginFailed, match="does not run"):
        local.requests_served()
    # A request that meets the CONNECTION_CLOSE on its way may have been acted upon: it is lost.
    until(lambda: client.stats(local.url).connections == 0)
    local.start()
    assert local.port == port
    assert client.get(local.url + "/ok").status == 200
    assert local.requests_served() == 1


def test_a_port_that_is_taken(local: LocalOrigin, authority: Authority) -> None:
    with pytest.raises(OriginFailed, match="could not start"):
        LocalOrigin(authority=authority, port=local.port).start()


def test_stopping_waits_for_no_route(authority: Authority) -> None:
    held = threading.Event()
    try:
        with LocalOrigin(authority=authority) as local:
            local.route("/held")(lambda asked: b"" if held.wait(30) else b"never")
            rule = {"cafile": local.cafile}
            with quiver.Client(pools={"default": rule}) as client, pytest.raises(TimeoutError):
                client.get(local.url + "/held", timeout=0.2)
    finally:
        held.set()
    assert not [t for t in threading.enumerate() if t.name == "quiver-testing-origin"]


@pytest.mark.parametrize("kind", [Origin, LocalOrigin])
def test_a_misspelt_option(kind: Any) -> None:
    with pytest.raises(TypeError, match="session_ticket is no option: did you mean session_ticke"):
        kind(session_ticket=True)
