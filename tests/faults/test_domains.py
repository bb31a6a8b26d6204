"""Faults of every domain amid a load of neighbours: who must notice, and who must not.

The table is `tests.support.chaos.fault_domains.FAULTS`. Each fault befalls one request, while
others are open on the same connection, on another connection to the same server, and to another
server. A fault of a request is noticed by nobody but its victim; one of a connection by whoever is
on it; one of a pool by whoever waits in it; one of the world by none of these.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import attrs
import pykka
import pytest

import quiver
from quiver.actors import log
from quiver.models import GetConnections
from quiver.pool.exchange_runner import MAX_FAILURES
from quiver.testing import Authority, LocalOrigin, Receiver
from tests.support.chaos.fault_domains import FAULTS, HINTING, LIMIT, SECTION, Domain, Fault, Scene
from tests.support.network.faulty_socket import FaultySocket
from tests.support.waiting import until

BESIDE = 5  # neighbours of each kind
HELD = 14.0  # seconds for those, who wait while the fault happens; a server may be silent for 15

pytestmark = pytest.mark.usefixtures("quiet")


class Hinting(Receiver):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.stream.send_headers([(b":status", b"103")])


@pytest.fixture(scope="module")
def origin(authority: Authority) -> Iterator[LocalOrigin]:
    with LocalOrigin(authority=authority, max_field_section_size=SECTION) as started:

        @started.route("/victim")
        def victim(_: object) -> bytes:
            return b"v" * 1000

        started.channel(HINTING)(Hinting)
        yield started


@pytest.fixture(scope="module")
def abroad(authority: Authority) -> Iterator[LocalOrigin]:
    with LocalOrigin(authority=authority) as started:
        yield started


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, logger="quic")


@pytest.fixture
def roots(authority: Authority, tmp_path: Path) -> Path:
    return Path(shutil.copy(authority.cafile, str(tmp_path / "roots.pem")))


@attrs.define
class Neighbours:
    """Requests that are out while the fault happens, by who they are."""

    beside: list[Future[int]]  # on the victim's connection
    elsewhere: list[Future[int]]  # on another one, to the same server
    abroad: list[Future[int]]  # of the same client, to another server
    go_on: threading.Event

    def outcomes(self, whose: list[Future[int]]) -> list[object]:
        """Status or error of each, when they have been let go on."""
        self.go_on.set()
        return [each.exception(LIMIT) or each.result() for each in whose]


@pytest.fixture
def client(fault: Fault, roots: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[quiver.Client]:
    """One connection for an origin; where the world is to meet a new one, one for each request."""
    most = 1
    if fault.domain is Domain.WORLD:
        most = 50
        monkeypatch.setattr("quiver.pool.udp._Socket", FaultySocket)
    rule = {"cafile": str(roots), "max_connections": most}
    with quiver.Client(pools={"default": rule}) as made:
        yield made


@pytest.fixture
def neighbours(
    client: quiver.Client, roots: Path, origin: LocalOrigin, abroad: LocalOrigin
) -> Iterator[Neighbours]:
    go_on, arrived = threading.Event(), threading.Semaphore(0)

    def held(_: object) -> bytes:
        arrived.release()
        go_on.wait(HELD)
        return b"held"

    origin.route("/held")(held)
    abroad.route("/held")(held)

    def ask(by: quiver.Client, url: str) -> int:
        return by.get(url + "/held", timeout=HELD).status

    rule = {"default": {"cafile": str(roots), "max_connections": 1}}
    with quiver.Client(pools=rule) as other, ThreadPoolExecutor(3 * BESIDE) as threads:
        asked = [
            [threads.submit(ask, by, url) for _ in range(BESIDE)]
            for by, url in ((client, origin.url), (other, origin.url), (client, abroad.url))
        ]
        for _ in range(3 * BESIDE):
            assert arrived.acquire(timeout=LIMIT)
        for each in (origin, abroad):  # some are dialled for whom another had room meanwhile
            until(partial(none_dials, client, each))
        try:
            yield Neighbours(asked[0], asked[1], asked[2], go_on)
        finally:
            go_on.set()


def none_dials(client: quiver.Client, origin: LocalOrigin) -> bool:
    connections = client.pool(origin.url).ask(GetConnections(), timeout=LIMIT)
    return all(each.state == "connected" for each in connections)


def victims_outcome(fault: Fault, scene: Scene) -> BaseException | None:
    try:
        fault.happen(scene)
    except BaseException as error:  # noqa: BLE001 - looked at below
        return error
    finally:
        scene.patch.undo()
    return None


@pytest.mark.one_in(16)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_who_notices(
    fault: Fault,
    client: quiver.Client,
    neighbours: Neighbours,
    origin: LocalOrigin,
    abroad: LocalOrigin,
    roots: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    accepted = origin.connections_accepted()
    abroad_accepted = abroad.connections_accepted()
    actors = set(pykka.ActorRegistry.get_all())
    with pytest.MonkeyPatch.context() as patch:
        error = victims_outcome(fault, Scene(client, origin, patch, roots))
    judge_victim(fault, error)
    good = [200] * BESIDE
    assert neighbours.outcomes(neighbours.elsewhere) == good
    assert neighbours.outcomes(neighbours.abroad) == good
    beside = neighbours.outcomes(neighbours.beside)
    if fault.domain is Domain.CONNECTION:
        assert {type(each) for each in beside} == {type(error)}
    else:
        assert beside == good
    assert client.get(origin.url + "/ok", timeout=LIMIT).status == 200  # by itself
    until(lambda: client.stats(origin.url).active == 0)
    until(lambda: not origin.streams_open())
    if fault.domain is Domain.REQUEST:
        assert origin.connections_accepted() == accepted
    if fault.domain in (Domain.REQUEST, Domain.WORLD):
        assert actors <= set(pykka.ActorRegistry.get_all())
    if fault.domain is not Domain.POOL:
        log.flush(10.0)
        assert not [each for each in caplog.records if each.name == "quiver.actors"]
    assert abroad.connections_accepted() == abroad_accepted


def judge_victim(fault: Fault, error: BaseException | None) -> None:
    if fault.error is None:
        assert error is None
        return
    assert type(error) is fault.error, repr(error)
    assert fault.said in str(error)
    assert fault.cause is None or isinstance(error.__cause__, fault.cause)


def test_the_table_knows_every_domain() -> None:
    assert {each.domain for each in FAULTS} == set(Domain)
    assert len({str(each) for each in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize(
    ("owner", "method"),
    [
        ("_transport.http", "open_request"),
        ("_runner._callers", "whole_body"),
        ("_runner._callers", "answer"),
        ("_runner.exchanges", "_complete"),
    ],
)
def test_a_connection_in_doubt_is_replaced(
    authority: Authority, origin: LocalOrigin, owner: str, method: str
) -> None:
    """One that does nothing but fail lends no more; others do not notice."""
    rule = {"cafile": authority.cafile, "max_connections": 1}
    with quiver.Client(pools={"default": rule}) as client, pytest.MonkeyPatch.context() as patch:
        pool: Any = client.pool(origin.url)
        client.get(origin.url + "/ok", timeout=LIMIT)
        (doubtful,) = pool.ask(GetConnections())
        connection = pool._actor_weakref()._connections[doubtful.number]._actor_weakref()
        broken = attrgetter(owner)(connection)

        def failing(*_: object, **__: object) -> None:
            raise LookupError("broken for good")

        patch.setattr(broken, method, failing)
        for _ in range(MAX_FAILURES):
            with pytest.raises(quiver.InternalError, match="broken for good"):
                client.get(origin.url + "/ok", timeout=LIMIT)
        assert client.get(origin.url + "/ok", timeout=LIMIT).status == 200
        assert doubtful.number not in {each.number for each in pool.ask(GetConnections())}
