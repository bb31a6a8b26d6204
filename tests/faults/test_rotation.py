"""Rotation: a connection is replaced in full flight, its successor first, and nobody notices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import quiver
from quiver import telemetry
from quiver.models import ConnectionStats, GetConnections
from quiver.testing import Origin
from tests.support.chaos.background_load import Asking, Load, asking

TIMEOUT = 5.0
CONNECTIONS = 2

ROTATED: dict[str, dict[str, object]] = {
    "max_age": {"max_age": 0.3},
    "max_requests_per_connection": {"max_requests_per_connection": 40},
    "both": {"max_age": 0.3, "max_requests_per_connection": 40},
}


class Lives:
    """What telemetry says of connections, in the order in which it happened."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int]] = []
        self.reasons: set[str] = set()

    def take(self, event: str, _: dict[str, Any], metadata: dict[str, Any]) -> None:
        self.seen.append((event.removeprefix("connection."), metadata["connection"]))
        self.reasons |= {metadata["reason"]} if "reason" in metadata else set()

    def fewest(self, since: str) -> int:
        """The fewest that had come so far and were not leaving, once all were there.

        They come with `since`: "start" counts those that connect, "ready" does not.
        """
        here: set[int] = set()
        counts: list[int] = []
        for event, number in self.seen:
            if event == since:
                here.add(number)
            elif event in ("draining", "stop", "exception"):
                here.discard(number)
            if counts or len(here) == CONNECTIONS:
                counts.append(len(here))
        return min(counts)


@pytest.fixture
def lives() -> Iterator[Lives]:
    lives = Lives()
    events = [name for name in telemetry.EVENTS if name.startswith("connection.")]
    telemetry.attach("lives", events, lives.take)
    yield lives
    telemetry.detach("lives")


def client_of(origin: Origin, **options: object) -> quiver.Client:
    given = {"cafile": origin.cafile, "max_connections": CONNECTIONS, **options}
    return quiver.Client(pools={"default": given})


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", ROTATED)
def test_nobody_notices(origin: Origin, lives: Lives, name: str) -> None:
    with client_of(origin, **ROTATED[name]) as client:
        with Load(client, asking(origin.url, TIMEOUT)) as load:
            for _ in range(5):
                load.wait_answered(200)
        load.check(within=TIMEOUT)
        assert load.failed == [], load.summary()
        assert origin.seen_ids() == {str(outcome.id): 1 for outcome in load.outcomes}
        assert origin.connections_accepted() > 2 * CONNECTIONS
        assert lives.reasons == {"its successor is there"}, lives.reasons
        assert lives.fewest("start") >= 1, lives.seen


def test_the_aged_lend_until_their_successors_do(origin: Origin, lives: Lives) -> None:
    with client_of(origin, max_age=0.2) as client:
        with Load(client, asking(origin.url, TIMEOUT)) as load:
            while len(lives.seen) < 30:
                load.wait_answered(20)
        assert load.failed == []
        assert lives.fewest("ready") >= CONNECTIONS, lives.seen


def test_open_requests_end_on_the_old_connection(origin: Origin) -> None:
    """A slow answer outlives the age of its connection; the next go to the successor."""
    with client_of(origin, max_age=0.3, max_connections=1) as client:
        with Load(client, slow(origin.url), callers=1) as load:
            load.wait_answered(1)
            with Load(client, asking(origin.url, TIMEOUT), callers=3) as others:
                load.wait_answered(2)
            others.check(within=TIMEOUT)
            assert others.failed == []
        load.check(within=TIMEOUT)
        assert load.failed == []
        assert origin.connections_accepted() > 1


def slow(url: str) -> Asking:
    def ask(client: quiver.Client, number: int) -> quiver.Response:
        return client.get(f"{url}/delay/0.8?id=slow-{number}", timeout=TIMEOUT)

    return ask


def test_no_connection_carries_more_than_it_may(origin: Origin) -> None:
    with client_of(origin, max_requests_per_connection=25) as client:
        pool = client.pool(origin.url)
        carried: list[ConnectionStats] = []
        with Load(client, asking(origin.url, TIMEOUT)) as load:
            for _ in range(10):
                load.wait_answered(50)
                carried += pool.ask(GetConnections())
        assert load.failed == []
        assert max(connection.opened for connection in carried) <= 25
        assert len({connection.number for connection in carried}) > 10
