"""Requests in the first flight: each is answered once, whatever the server makes of them."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

import quiver
from quiver import telemetry
from quiver.models import Response
from quiver.pool.connection import Connection
from quiver.pool.routing import RoutingTable
from quiver.testing import Authority, Origin
from quiver.testing.authority import LOOPBACK
from tests.support.network.link import LinkConditions
from tests.support.network.long_path import LongPath
from tests.support.waiting import until

BURST = 8


class Odd(str):
    """As if the checks of a request had forgotten something."""

    def encode(self, *_: Any, **__: Any) -> bytes:
        raise LookupError("on purpose")


class Heard(Counter[str]):
    """How often each event was told; of early data, of how many requests."""

    def note(self, event: str, measured: dict[str, Any], _: dict[str, Any]) -> None:
        self[event] += measured.get("count", 1)


@pytest.fixture
def heard() -> Iterator[Heard]:
    counted = Heard()
    events = [each for each in telemetry.EVENTS if each.startswith("early_data.")]
    events += ["connection.ticket", "connection.ready", "request.repeated"]
    telemetry.attach("early", events, counted.note)
    yield counted
    telemetry.detach("early")


@pytest.fixture
def giving(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority, session_tickets=True) as started:
        yield started


@contextmanager
def resuming(origin: Origin, heard: Heard, **options: Any) -> Iterator[quiver.Client]:
    """A client with a ticket and without a connection."""
    rule = {"cafile": origin.cafile, "max_connections": 1, "early_data": True, **options}
    with quiver.Client(pools={"default": rule}) as client:
        let_it_rest(client, origin, heard)
        yield client


def let_it_rest(client: quiver.Client, origin: Origin, heard: Heard) -> None:
    assert client.get(origin.url + "/ok", timeout=20.0).body == b"ok"
    until(lambda: heard["connection.ticket"] == heard["connection.ready"], what="a ticket")
    client.pool(origin.url).stop()


def burst(client: quiver.Client, origin: Origin, **about: Any) -> list[Response]:
    """Answers to requests that are asked together."""
    pool = client.pool(origin.url)
    asked = [
        pool.ask(quiver.Request("GET", f"/ok?id={number}", **about), block=False)
        for number in range(BURST)
    ]
    answers = [each.get(timeout=100.0) for each in asked]
    assert [each.body for each in answers] == [b"ok"] * BURST
    return answers


def early(answers: list[Response]) -> set[bool]:
    return {each.connection.early for each in answers if each.connection is not None}


def test_a_burst_goes_in_the_first_flight(giving: Origin, heard: Heard) -> None:
    with resuming(giving, heard) as client:
        assert early(burst(client, giving)) == {True}
    assert giving.seen_ids() == {str(each): 1 for each in range(BURST)}
    assert 0 < heard["early_data.sent"] == heard["early_data.accepted"] <= BURST


def test_it_is_off_unless_it_is_asked_for(giving: Origin, heard: Heard) -> None:
    with resuming(giving, heard, early_data=False) as client:
        assert early(burst(client, giving)) == {False}
        let_it_rest(client, giving, heard)
        assert early(burst(client, giving, early_data=True)) == {True}, "by the request itself"


def test_a_request_may_say_no(giving: Origin, heard: Heard) -> None:
    with resuming(giving, heard) as client:
        assert early(burst(client, giving, early_data=False)) == {False}
    assert not heard["early_data.sent"]


@pytest.mark.parametrize("outcome", ["reject", "forgotten"])
def test_it_is_rejected_in_the_middle_of_a_burst(
    authority: Authority, heard: Heard, outcome: str
) -> None:
    """By a server that resumes and leaves it aside, or that knows no tickets, after a restart."""
    option: Any = "reject" if outcome == "reject" else "accept"
    with Origin(authority=authority, session_tickets=True, early_data=option) as origin:
        with resuming(origin, heard) as client:
            if outcome == "forgotten":
                origin.restart()
            answers = burst(client, origin)
            assert early(answers) == {False}
        assert origin.seen_ids() == {str(each): 1 for each in range(BURST)}
    assert 0 < heard["early_data.sent"] == heard["early_data.rejected"]
    assert not heard["early_data.accepted"]


def test_what_is_asked_between_its_rejection_and_the_end_of_the_handshake(
    authority: Authority, heard: Heard
) -> None:
    """The server's certificate is long: it takes another round trip, when all is decided."""
    long = authority.issue([*LOOPBACK, *(f"{each}.example.org" for each in range(400))])
    options: Any = {"session_tickets": True, "certfile": long[0], "keyfile": long[1]}
    with Origin(authority=authority, **options) as origin:
        conditions = LinkConditions(delay=0.25, rate=1e6, queue=1e6)
        with (
            LongPath(origin.port, conditions, seed=1) as path,
            quiver.Client(cafile=origin.cafile, max_connections=1, early_data=True) as client,
        ):
            url = f"https://localhost:{path.port}"
            client.get(url + "/ok", timeout=60.0)
            until(lambda: heard["connection.ticket"] == 1, what="a ticket")
            client.pool(url).stop()
            origin.restart()
            asked: list[Any] = []
            while heard["connection.ready"] == 1:
                request = quiver.Request("GET", f"/ok?id={len(asked)}")
                asked.append(client.pool(url).ask(request, block=False))
                threading.Event().wait(0.05)
            assert early([each.get(timeout=60.0) for each in asked]) == {False}
        assert origin.seen_ids() == {str(each): 1 for each in range(len(asked))}
    assert 0 < heard["early_data.sent"] == heard["early_data.rejected"] < len(asked)


def test_too_early_is_sent_again_once(authority: Authority, heard: Heard) -> None:
    options: Any = {"session_tickets": True, "early_data": "too_early"}
    with (
        Origin(authority=authority, **options) as origin,
        resuming(origin, heard) as client,
    ):
        answers = burst(client, origin)
        assert {each.status for each in answers} == {200}
        assert origin.seen_ids() == {str(each): 1 for each in range(BURST)}
        assert heard["early_data.accepted"] == heard["early_data.refused"] > 0
        assert not heard["request.repeated"], "it was not acted upon"
        assert client.get(origin.url + "/status/425").status == 425, "it is the answer, in time"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "FETCH"])
def test_methods_that_do_something_wait(giving: Origin, heard: Heard, method: str) -> None:
    with resuming(giving, heard) as client:
        assert client.request(method, giving.url + "/ok", timeout=20.0).status == 200
    assert not heard["early_data.sent"]


def test_bodies_and_channels_wait(giving: Origin, heard: Heard) -> None:
    with resuming(giving, heard) as client:
        client.get(giving.url + "/ok", body=b"x", timeout=20.0)
        let_it_rest(client, giving, heard)
        with client.open_channel(giving.url + "/ok", method="GET"):
            pass
    assert not heard["early_data.sent"]


def test_streams_go_too(giving: Origin, heard: Heard) -> None:
    url = giving.url + "/bytes/300000"
    with resuming(giving, heard) as client, client.stream("GET", url) as response:
        assert sum(map(len, response)) == 300_000
        assert response.connection is not None and response.connection.early
    assert heard["early_data.accepted"] == 1


def test_by_a_server_that_validates_addresses(authority: Authority, heard: Heard) -> None:
    """What had gone is sent again after its Retry."""
    with Origin(authority=authority, session_tickets=True, retry=True) as origin:
        with resuming(origin, heard) as client:
            assert early(burst(client, origin)) == {True}
        assert origin.seen_ids() == {str(each): 1 for each in range(BURST)}


@pytest.mark.parametrize("seed", range(4))
def test_on_a_path_that_loses(authority: Authority, heard: Heard, seed: int) -> None:
    with Origin(authority=authority, session_tickets=True, loss=0.25, seed=seed) as origin:
        with resuming(origin, heard, connect_timeout=100.0, receive_timeout=100.0) as client:
            burst(client, origin)
        assert origin.seen_ids() == {str(each): 1 for each in range(BURST)}


def test_who_asks_for_too_much_waits_in_line(authority: Authority, heard: Heard) -> None:
    """More than the server allows by now, after it has rejected what it allowed once."""
    wide = Origin(authority=authority, session_tickets=True, max_streams=100)
    with wide, resuming(wide, heard) as client:
        wide.kill()
        narrow = Origin(authority=authority, max_streams=2, port=wide.port)
        with narrow:
            assert early(burst(client, narrow)) == {False}
            assert narrow.seen_ids() == {str(each): 1 for each in range(BURST)}


def test_one_that_fails_on_our_side_fails_alone(giving: Origin, heard: Heard) -> None:
    with resuming(giving, heard) as client:
        pool = client.pool(giving.url)
        giving.suspend()
        try:
            fine = pool.ask(quiver.Request("GET", "/ok?id=fine"), block=False)
            odd = quiver.Request("GET", "/ok?id=odd")
            object.__setattr__(odd, "headers", (("x", Odd("x")),))
            fails = pool.ask(odd, block=False)
            last = pool.ask(quiver.Request("GET", "/ok?id=last"), block=False)
            until(lambda: heard["early_data.sent"] == 2, what="both are out")
        finally:
            giving.resume()
        with pytest.raises(quiver.InternalError, match="failed on our side"):
            fails.get(timeout=20.0)
        assert early([each.get(timeout=20.0) for each in (fine, last)]) == {True}
        assert pool.ask(quiver.GetStats()).active == 0
    assert giving.seen_ids() == {"fine": 1, "last": 1}


def test_a_server_that_is_silent(giving: Origin, heard: Heard) -> None:
    """The deadline is the one of who waits, and so is the error."""
    with resuming(giving, heard) as client:
        giving.suspend()
        try:
            with pytest.raises(quiver.RequestTimeout, match="answered nothing"):
                client.get(giving.url + "/ok", timeout=0.5)
            until(lambda: heard["early_data.sent"])
        finally:
            giving.resume()
        assert client.get(giving.url + "/ok", timeout=20.0).body == b"ok"


def test_one_that_is_given_up(giving: Origin, heard: Heard) -> None:
    with resuming(giving, heard) as client:
        pool = client.pool(giving.url)
        giving.suspend()
        try:
            gone = pool.ask(quiver.Request("GET", "/ok?id=gone"), block=False)
            stays = pool.ask(quiver.Request("GET", "/ok?id=stays"), block=False)
            until(lambda: heard["early_data.sent"] == 2, what="both are out")
            assert gone.cancel()
        finally:
            giving.resume()
        assert stays.get(timeout=20.0).body == b"ok"
        assert pool.ask(quiver.GetStats()).active == 0
        assert pool.ask(quiver.GetStats()).queued == 0


@pytest.mark.long
def test_it_saves_a_round_trip(giving: Origin, heard: Heard) -> None:
    """One of two seconds each, where it takes two at the least without."""
    trip = 2.0
    with LongPath(giving.port, LinkConditions(delay=trip / 2, rate=1e6, queue=1e6), seed=1) as path:
        took = {}
        for early_data in (False, True):
            with quiver.Client(
                cafile=giving.cafile, max_connections=1, connect_timeout=60.0, early_data=early_data
            ) as client:
                url = f"https://localhost:{path.port}/ok"
                client.get(url, timeout=60.0)
                until(lambda: heard["connection.ticket"] == heard["connection.ready"])
                client.pool(url).stop()
                began = time.monotonic()
                answer = client.get(url, timeout=60.0)
                took[early_data] = time.monotonic() - began
                assert answer.connection is not None and answer.connection.early is early_data
    assert took[True] < 2 * trip <= took[False]


def test_a_port_that_refuses(giving: Origin, heard: Heard) -> None:
    with resuming(giving, heard) as client:
        giving.stop()
        with pytest.raises(quiver.ConnectionRefused):
            client.get(giving.url + "/ok", timeout=20.0)
        giving.start()
        until(lambda: _answers(client, giving), what="an answer")


def _answers(client: quiver.Client, origin: Origin) -> bool:
    try:
        return client.get(origin.url + "/ok", timeout=5.0).status == 200
    except quiver.QuiverError:
        return False


def test_the_server_goes_away_at_once(authority: Authority, heard: Heard) -> None:
    """By GOAWAY, along with the answer, or before it: those that it has taken are answered."""
    options: Any = {"session_tickets": True, "requests_per_connection": 1}
    with (
        Origin(authority=authority, **options) as origin,
        quiver.Client(cafile=origin.cafile, max_connections=1, early_data=True) as client,
    ):
        for turn in range(8):
            assert client.get(f"{origin.url}/ok?id={turn}", timeout=20.0).status == 200
        assert origin.seen_ids() == {str(each): 1 for each in range(8)}
        assert heard["early_data.sent"] == heard["early_data.accepted"] > 0
        until(lambda: not client.pool(origin.url).ask(quiver.GetStats()).active, what="no lease")


def test_one_that_is_given_up_on_its_way_to_its_answer(
    giving: Origin, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When early data was accepted, and its connection is about to hear whose it is."""
    with resuming(giving, heard) as client:
        pool = client.pool(giving.url)
        taken = Connection._open
        asked: list[Any] = []

        def given_up(connection: Connection, exchange: Any, reply: Any) -> None:
            asked[0].cancel()
            taken(connection, exchange, reply)

        giving.suspend()
        try:
            monkeypatch.setattr(Connection, "_open", given_up)
            asked.append(pool.ask(quiver.Request("GET", "/delay/30"), block=False))
            until(lambda: heard["early_data.sent"] == 1, what="it is out")
        finally:
            giving.resume()
        until(lambda: heard["early_data.accepted"] == 1, what="its acceptance")
        until(lambda: not pool.ask(quiver.GetStats()).active, what="a free slot")
        [told] = pool.ask(quiver.GetConnections())
        assert (told.state, told.active, told.opened) == ("connected", 0, 1)


def test_the_last_that_a_connection_may_carry_is_given_up(giving: Origin, heard: Heard) -> None:
    """It has carried all it may, of which nothing is left: another one takes its place."""
    with resuming(giving, heard, max_requests_per_connection=1) as client:
        pool = client.pool(giving.url)
        giving.suspend()
        try:
            gone = pool.ask(quiver.Request("GET", "/ok"), block=False)
            until(lambda: heard["early_data.sent"] == 1, what="it is out")
            assert gone.cancel()
        finally:
            giving.resume()
        assert client.get(giving.url + "/ok", timeout=20.0).body == b"ok"


def test_many_threads(giving: Origin, heard: Heard) -> None:
    """Again and again, with more callers than go early."""
    with resuming(giving, heard, max_streams_per_connection=5) as client:
        for _ in range(3):
            wrong: list[object] = []

            def ask(number: int, wrong: list[object] = wrong) -> None:
                try:
                    assert client.get(f"{giving.url}/ok?id=t{number}", timeout=20.0).body == b"ok"
                except BaseException as error:  # noqa: BLE001 - told below
                    wrong.append(error)

            threads = [threading.Thread(target=ask, args=(each,)) for each in range(20)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            assert wrong == []
            let_it_rest(client, giving, heard)
    assert set(giving.seen_ids().values()) == {3}
    assert heard["early_data.accepted"] > 0


def test_one_whose_connection_hangs_goes_to_another_with_room(giving: Origin, heard: Heard) -> None:
    """A second connection goes to where nobody answers; meanwhile the first one has room again."""
    places = ["127.0.0.1"]
    options = {"max_connections": 2, "max_streams_per_connection": 1, "connect_timeout": 60.0}
    silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with silent, resuming(giving, heard, resolver=lambda *_: list(places), **options) as client:
        silent.bind(("127.0.0.2", giving.port))
        pool = client.pool(giving.url)
        with client.stream("GET", giving.url + "/bytes/3000000"):
            until(lambda: heard["connection.ticket"] == heard["connection.ready"], what="a ticket")
            places[:] = ["127.0.0.2"]
            sent = heard["early_data.sent"]
            asked = pool.ask(quiver.Request("GET", "/ok?id=hangs"), block=False)
            until(lambda: heard["early_data.sent"] > sent, what="it is out")
        assert asked.get(timeout=20.0).body == b"ok"
        assert [each.state for each in pool.ask(quiver.GetConnections())] == [
            "connected",
            "connecting",
        ]
    assert giving.seen_ids() == {"hangs": 1}


@pytest.mark.parametrize("answers", [False, True], ids=["connecting", "ready"])
def test_the_coordinator_dies_while_they_are_out(
    giving: Origin, heard: Heard, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    """Nobody comes for them any more, and their connection ends with a word to the server."""
    ends: list[str] = []
    with resuming(giving, heard) as client, ExitStack() as stack:
        pool = client.pool(giving.url)
        died = threading.Event()

        def die(*_: Any, **__: Any) -> Any:
            died.set()
            raise ZeroDivisionError("on purpose")

        giving.suspend()
        try:
            asked = pool.ask(quiver.Request("GET", "/ok"), block=False)
            until(lambda: heard["early_data.sent"] == 1, what="it is out")
            told = ["connection.stop", "connection.exception"]
            telemetry.attach("ends", told, lambda name, *_: ends.append(name))
            stack.callback(telemetry.detach, "ends")
            with monkeypatch.context() as patch:
                patch.setattr(RoutingTable, "ready" if answers else "stats", die)
                if answers:
                    giving.resume()
                else:
                    pool.ask(quiver.GetStats(), block=False)
                assert died.wait(20.0)
                with pytest.raises(quiver.InternalError, match="ZeroDivisionError"):
                    asked.get(timeout=20.0)
        finally:
            giving.resume()
        until(lambda: ends, what="its end")
        assert ends == ["connection.stop"]
        assert client.get(giving.url + "/ok", timeout=20.0).body == b"ok"
