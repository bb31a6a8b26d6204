"""Faults under load: whatever dies, every ask has one outcome in time, and the pool recovers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pykka
import pytest

import quiver
from quiver.testing import Authority, Origin
from tests.support.chaos.background_load import Load, asking, recovers
from tests.support.servers.independent import Caddy

TIMEOUT = 3.0
IN_TIME = TIMEOUT + 1.0  # a machine with few cores and many threads is late by some
CONNECTIONS = 2


@pytest.fixture
def client(origin: Origin) -> Iterator[quiver.Client]:
    with client_of(origin.cafile) as made:
        yield made


def client_of(cafile: str) -> quiver.Client:
    return quiver.Client(pools={"default": {"cafile": cafile, "max_connections": CONNECTIONS}})


class Unheard:
    """A message that no actor knows."""


def crash(ref: pykka.ActorRef[Any]) -> None:
    """Make an actor die of an unexpected exception."""
    ref.tell(Unheard())


def connections() -> list[pykka.ActorRef[Any]]:
    return [ref for ref in pykka.ActorRegistry.get_by_class_name("Connection") if ref.is_alive()]


def wait_dead(ref: pykka.ActorRef[Any], within: float = 5.0) -> None:
    due = time.monotonic() + within
    while ref.is_alive():
        assert time.monotonic() < due, f"{ref} lives on"
        threading.Event().wait(0.01)


def test_server_killed_and_restarted(client: quiver.Client, origin: Origin) -> None:
    with Load(client, asking(origin.url, TIMEOUT)) as load:
        load.wait_answered(200)
        origin.kill()
        load.wait_failed(5)
        origin.restart()
        load.wait_answered(200)
    load.check(within=IN_TIME)
    recovers(client, origin.url + "/ok")


def test_server_restarted_at_once(client: quiver.Client, origin: Origin) -> None:
    """Nothing refuses: the old connections are just not answered any more."""
    with Load(client, asking(origin.url, TIMEOUT)) as load:
        load.wait_answered(100)
        origin.restart()
        load.wait_answered(100)
    load.check(within=IN_TIME)
    recovers(client, origin.url + "/ok")


def test_caddy_killed_and_restarted(authority: Authority) -> None:
    def ask(client: quiver.Client, number: int) -> quiver.Response:
        return client.get(f"{server.url}/small?id={number}", timeout=TIMEOUT)

    with Caddy(authority) as server, client_of(server.cafile) as client:
        with Load(client, ask) as load:
            load.wait_answered(200)
            server.kill()
            load.wait_failed(5)
            server.restart()
            load.wait_answered(200)
        load.check(within=IN_TIME)
        recovers(client, server.url + "/small")


def test_server_suspended_for_less_than_the_timeout(client: quiver.Client, origin: Origin) -> None:
    with Load(client, asking(origin.url, TIMEOUT)) as load:
        load.wait_answered(100)
        origin.suspend()
        threading.Event().wait(0.7)
        origin.resume()
        load.wait_answered(100)
    load.check(within=IN_TIME)
    assert load.failed == [], load.summary()


def test_server_suspended_for_longer(client: quiver.Client, origin: Origin) -> None:
    with Load(client, asking(origin.url, TIMEOUT)) as load:
        load.wait_answered(100)
        origin.suspend()
        load.wait_failed(10)
        origin.resume()
        load.wait_answered(100)
    load.check(within=IN_TIME)
    recovers(client, origin.url + "/ok")


def test_goaway_loses_nothing(client: quiver.Client, origin: Origin) -> None:
    with Load(client, asking(origin.url, TIMEOUT)) as load:
        for _ in range(5):
            load.wait_answered(100)
            origin.goaway()
        load.wait_answered(100)
    load.check(within=IN_TIME)
    assert load.failed == [], load.summary()
    assert origin.seen_ids() == {str(outcome.id): 1 for outcome in load.outcomes}
    assert origin.connections_accepted() > CONNECTIONS


def test_nothing_goes_out_twice_when_connections_close(
    client: quiver.Client, origin: Origin
) -> None:
    """Closed without GOAWAY there is no proof: an error, rather than a second try."""
    with Load(client, asking(origin.url, TIMEOUT)) as load:
        for _ in range(3):
            load.wait_answered(100)
            origin.disconnect(0x102, "fault")
        load.wait_answered(100)
    load.check(within=IN_TIME)
    seen = origin.seen_ids()
    assert set(seen.values()) == {1}
    assert {str(outcome.id) for outcome in load.answered} <= set(seen)
    recovers(client, origin.url + "/ok")


def test_connection_actor_crashes(client: quiver.Client, origin: Origin) -> None:
    with Load(client, asking(origin.url, TIMEOUT)) as load:
        for _ in range(3):
            load.wait_answered(100)
            victim = connections()[0]
            crash(victim)
            wait_dead(victim)
        load.wait_answered(100)
    load.check(within=IN_TIME)
    assert set(origin.seen_ids().values()) == {1}
    recovers(client, origin.url + "/ok")


def test_every_connection_actor_crashes_at_once(client: quiver.Client, origin: Origin) -> None:
    with Load(client, asking(origin.url, TIMEOUT)) as load:
        load.wait_answered(100)
        victims = connections()
        for victim in victims:
            crash(victim)
        for victim in victims:
            wait_dead(victim)
        load.wait_answered(100)
    load.check(within=IN_TIME)
    recovers(client, origin.url + "/ok")
