"""Hosts with several addresses, of which some are dead, refuse, or are somebody else (RFC 8305).

Taken one after the other, each for its share of `connect_timeout`, a dead one would cost `SHARE`
seconds or more; side by side it costs a quarter of one. What is between tells one from the other.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

import quiver
from quiver.adapters.policy import Policy
from quiver.adapters.requests import HTTP3Adapter
from quiver.testing import Authority, Origin
from tests.support.actors import Newcomers
from tests.support.held_resources import Held, settles_within
from tests.support.network.host_names import Names
from tests.support.waiting import until

HOST = "many.example.test"
SHARE = 20.0  # seconds
LIVE, OTHER, DEAD, DEAD_TOO, CLOSED = (f"127.0.0.{n}" for n in range(1, 6))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> tuple[str, str]:
    return authority.issue([HOST])


@pytest.fixture
def server(authority: Authority, certificate: tuple[str, str]) -> Iterator[Origin]:
    certfile, keyfile = certificate
    with Origin(authority=authority, listen=(LIVE,), certfile=certfile, keyfile=keyfile) as started:
        yield started


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    stand = Names(monkeypatch)
    yield stand
    stand.released.set()


@pytest.fixture
def dead(server: Origin) -> Iterator[None]:
    """Addresses at the server's port that take datagrams and say nothing."""
    with contextlib.ExitStack() as bound:
        for host in (DEAD, DEAD_TOO, "::1"):
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            taken = bound.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            taken.bind((host, server.port))
        yield


@pytest.fixture
def attempts() -> Iterator[list[str]]:
    """The host of each address that is tried, as telemetry tells."""
    tried: list[str] = []
    quiver.telemetry.attach(
        "attempts", ["connection.attempt"], lambda _, __, about: tried.append(about["address"][0])
    )
    yield tried
    quiver.telemetry.detach("attempts")


def client_of(server: Origin, **options: Any) -> quiver.Client:
    rule: dict[str, Any] = {"cafile": server.cafile, "max_connections": 1, **options}
    rule.setdefault("connect_timeout", 6 * SHARE)
    rule.setdefault("checkout_timeout", None)
    return quiver.Client(pools={"default": rule}, protocols=("h3",))  # each is tried once


def url_of(server: Origin) -> str:
    return f"https://{HOST}:{server.port}/ok"


@contextlib.contextmanager
def soon() -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < SHARE - 2.0


@pytest.mark.usefixtures("dead")
@pytest.mark.parametrize(
    "addresses",
    [
        [DEAD, LIVE],
        [DEAD, DEAD_TOO, LIVE],
        ["::1", LIVE],
        [CLOSED, DEAD, LIVE],
        [DEAD, CLOSED, LIVE],
    ],
    ids=["one", "two", "v6", "refused-first", "refused-second"],
)
def test_a_dead_address_holds_up_nobody(
    server: Origin, names: Names, attempts: list[str], addresses: list[str]
) -> None:
    """And once it is known which one is not, that is tried first."""
    names[HOST] = " ".join(addresses)
    with client_of(server, max_requests_per_connection=1) as client:
        with soon():
            assert client.get(url_of(server)).status == 200
        assert attempts[: len(addresses)] == addresses
        before = len(attempts)
        for _ in range(2):
            assert client.get(url_of(server)).status == 200
    assert attempts[before] == LIVE, "what worked is remembered"


@pytest.mark.usefixtures("dead")
def test_families_take_turns(server: Origin, names: Names, attempts: list[str]) -> None:
    names[HOST] = f"{DEAD} {DEAD_TOO} {LIVE} ::1"
    with client_of(server) as client, soon():
        assert client.get(url_of(server)).status == 200
    assert attempts == [DEAD, "::1", DEAD_TOO, LIVE]


@pytest.mark.usefixtures("dead")
def test_what_worked_is_remembered_when_its_pool_has_ended(
    server: Origin, names: Names, attempts: list[str]
) -> None:
    names[HOST] = f"{DEAD} {LIVE}"
    pools = Newcomers()
    with client_of(server, idle_timeout=0.05, pool_idle_timeout=0.05) as client:
        assert client.get(url_of(server)).status == 200
        until(lambda: not pools, what="its pool has ended")
        assert client.get(url_of(server)).status == 200
    assert attempts[:3] == [DEAD, LIVE, LIVE]


def test_one_that_worked_and_dies_later(
    authority: Authority,
    certificate: tuple[str, str],
    server: Origin,
    names: Names,
    attempts: list[str],
) -> None:
    names[HOST] = f"{LIVE} {OTHER}"
    certfile, keyfile = certificate
    with (
        Origin(
            authority=authority,
            listen=(OTHER,),
            port=server.port,
            certfile=certfile,
            keyfile=keyfile,
        ),
        client_of(server, max_requests_per_connection=1) as client,
    ):
        assert client.get(url_of(server)).status == 200
        server.suspend()
        with soon():
            assert client.get(url_of(server), timeout=6 * SHARE).status == 200
        before = len(attempts)
        assert client.get(url_of(server)).status == 200
        assert attempts[before] == OTHER, "it is the one that is remembered now"


@pytest.mark.usefixtures("dead")
def test_the_fallback_to_tcp_leaves_time_for_the_next_address(server: Origin, names: Names) -> None:
    names[HOST] = f"{DEAD} {LIVE}"
    pools = {"default": {"cafile": server.cafile, "connect_timeout": 6 * SHARE}}
    with requests.Session() as session:
        adapter = HTTP3Adapter(policy=Policy(fallback_after=SHARE), pools=pools)
        session.mount("https://", adapter)
        with soon():
            assert session.get(url_of(server), verify=server.cafile).raw.version == 30


def test_a_certificate_that_is_refused_is_of_its_address_only(
    authority: Authority, server: Origin, names: Names, attempts: list[str]
) -> None:
    names[HOST] = f"{OTHER} {LIVE}"
    certfile, keyfile = authority.issue(["other.example.test"])
    with Origin(
        authority=authority, listen=(OTHER,), port=server.port, certfile=certfile, keyfile=keyfile
    ) as other:
        with client_of(server) as client:
            assert client.get(url_of(server)).status == 200
        assert attempts == [OTHER, LIVE]
        server.stop()
        with (
            client_of(server) as client,
            soon(),
            pytest.raises(quiver.CertificateInvalid, match="not for many"),
        ):
            client.get(url_of(server))
        assert attempts == [OTHER, LIVE, OTHER, LIVE], "the others were tried all the same"
        assert other.requests_served() == 0


def test_one_that_answers_when_another_has_won(
    authority: Authority, server: Origin, names: Names, attempts: list[str]
) -> None:
    """Its certificate is not even looked at."""
    names[HOST] = f"{OTHER} {LIVE}"
    certfile, keyfile = authority.issue(["other.example.test"])
    with (
        Origin(
            authority=authority,
            listen=(OTHER,),
            port=server.port,
            certfile=certfile,
            keyfile=keyfile,
        ) as late,
        client_of(server) as client,
    ):
        late.suspend()
        with soon():
            assert client.get(url_of(server)).status == 200
        late.resume()
        for _ in range(20):
            assert client.get(url_of(server)).status == 200
        assert client.stats(url_of(server)).connections == 1
        assert attempts == [OTHER, LIVE]


@pytest.mark.usefixtures("dead")
def test_connect_timeout_holds_for_all_of_them(server: Origin, names: Names) -> None:
    names[HOST] = f"{DEAD} {CLOSED} {DEAD_TOO}"
    started = time.monotonic()
    with client_of(server, connect_timeout=0.5) as client:
        with pytest.raises(quiver.ConnectTimeout) as caught:
            client.get(url_of(server))
        assert 0.5 <= time.monotonic() - started < 10.0
    assert str(caught.value) == (
        f"https://{HOST}:{server.port}: no connection within connect_timeout=0.5 seconds: "
        f"3 of 3 addresses tried, {DEAD_TOO}:{server.port} answered nothing; "
        "another one: connection refused: nobody listens there"
    )


@pytest.mark.long
def test_six_hundred_that_refuse(server: Origin, names: Names, attempts: list[str]) -> None:
    hosts = [f"127.0.{1 + n // 200}.{1 + n % 200}" for n in range(600)]
    names[HOST] = " ".join(hosts)
    with client_of(server) as client, pytest.raises(quiver.ConnectionRefused):
        client.get(url_of(server))
    assert attempts == hosts


@pytest.mark.one_in(3)
@pytest.mark.usefixtures("dead")
@pytest.mark.parametrize("way", ["close", "win", "give up"])
def test_nothing_is_left_of_the_attempts(
    server: Origin, names: Names, attempts: list[str], way: str
) -> None:
    names[HOST] = f"{DEAD} ::1 {DEAD_TOO}" + f" {LIVE}" * (way == "win")
    limit = 1.0 if way == "give up" else 6 * SHARE

    def one() -> None:
        del attempts[:]
        with (
            client_of(server, connect_timeout=limit, max_connections=4) as client,
            ThreadPoolExecutor(4) as executor,
        ):
            asked = [executor.submit(client.get, url_of(server)) for _ in range(4)]
            until(lambda: len(attempts) >= 12, what="all of them are tried")
            if way == "close":
                client.close()
            errors = [each.exception(timeout=60.0) for each in asked]
        expected: dict[str, Callable[[BaseException | None], bool]] = {
            "close": lambda error: isinstance(error, quiver.PoolStopped),
            "win": lambda error: error is None,
            "give up": lambda error: isinstance(error, quiver.ConnectTimeout),
        }
        assert all(map(expected[way], errors)), errors

    one()
    before = Held.now()
    one()
    assert settles_within(before).within(before)
