"""A network that misbehaves: each fault, under load, has the outcome that its row names.

Every ask gets one outcome in time, whatever happens: an answer, or an error that the row allows.
No request is carried out twice, and the pool recovers by itself when the network does.
A failed test prints its seed: `QUIVER_SEED=...` has the same datagrams lost again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

import quiver
from quiver.quic.aioquic.engine import AioquicEngine
from quiver.quic.path_mtu import LARGER
from quiver.testing import Authority, Origin
from tests.support.chaos.background_load import Asking, Load, asking, recovers
from tests.support.network.conditions import BOTH, CLEAR, Conditions, Direction
from tests.support.network.host_names import Names
from tests.support.network.relay import Relay
from tests.support.servers.independent import Caddy
from tests.support.waiting import until

UP, DOWN = Direction.UP, Direction.DOWN
TIMEOUT = 5.0
LATE = 2.0  # seconds that a machine with few cores and many threads may add
SOON = 10.0  # far below `receive_timeout` and `idle_timeout`, and above what a loaded machine adds

SILENCE = (
    quiver.RequestTimeout,
    quiver.ConnectTimeout,
    quiver.CheckoutTimeout,
    quiver.ConnectionLost,
)
"""What callers may be told of a peer that nothing is heard of."""


@attrs.frozen(kw_only=True)
class Row:
    """One kind of network, and what its callers may be told beside their answers."""

    up: Conditions = CLEAR
    down: Conditions = CLEAR
    answers: int = 100
    errors: tuple[type[Exception], ...] = ()


def both(**conditions: float) -> Row:
    each = Conditions(**conditions)  # type: ignore[arg-type]
    return Row(up=each, down=each)


CONDITIONS = {
    "loss of 1%": both(loss=0.01),
    "loss of 10%": both(loss=0.1),
    "reordering": both(reorder=0.2),
    "duplication": both(duplicate=0.3),
    "corruption": both(corrupt=0.1),
    "truncation": both(truncate=0.1),
    "everything at once": both(
        loss=0.02, reorder=0.05, duplicate=0.05, corrupt=0.02, truncate=0.02, delay=0.005
    ),
    "delay of 200 ms with jitter": attrs.evolve(both(delay=0.2, jitter=0.05), answers=40),
    "throttled to 50 kB/s": attrs.evolve(both(rate=50_000.0), answers=60),
    "loss of 30%": attrs.evolve(both(loss=0.3), answers=30, errors=SILENCE),
}

# A flight of the handshake, and the datagrams of each connection that carry it.
FLIGHTS = {
    "client hello": Row(up=Conditions(lose={0})),
    "client hello, three times": Row(up=Conditions(lose={0, 1, 2})),
    "first of server hello to finished": Row(down=Conditions(lose={0})),
    "server hello to finished": Row(down=Conditions(lose={0, 1})),
    "server hello to finished, twice": Row(down=Conditions(lose={0, 1, 2, 3})),
    "client finished": Row(up=Conditions(lose={1})),
    "client finished and first requests": Row(up=Conditions(lose={1, 2, 3})),
    "handshake done": Row(down=Conditions(lose={2, 3})),
    "first of each way": Row(up=Conditions(lose={0}), down=Conditions(lose={0})),
}


@pytest.fixture
def relay(origin: Origin) -> Iterator[Relay]:
    with Relay(origin.port) as made:
        yield made


@pytest.fixture
def client(origin: Origin) -> Iterator[quiver.Client]:
    with client_of(origin.cafile) as made:
        yield made


def client_of(cafile: str, **options: object) -> quiver.Client:
    return quiver.Client(pools={"default": {"cafile": cafile, **options}})


def small(url: str, timeout: float) -> Asking:
    """GETs to Caddy."""

    def ask(client: quiver.Client, number: int) -> quiver.Response:
        return client.get(f"{url}/small?id={number}", timeout=timeout)

    return ask


def account(load: Load, *origins: Origin, errors: tuple[type[Exception], ...] = ()) -> None:
    """Each ask has one outcome, in time, and of a kind that is allowed; none was done twice."""
    load.check(within=TIMEOUT + LATE)
    unforeseen = [each for each in load.failed if not isinstance(each.error, errors)]
    assert not unforeseen, load.summary()
    for origin in origins:
        assert set(origin.seen_ids().values()) <= {1}
    seen = {name for origin in origins for name in origin.seen_ids()}
    assert {str(outcome.id) for outcome in load.answered} <= seen or not origins


# Every other one is left to make check.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.long if place % 2 else ())
        for place, name in enumerate(CONDITIONS)
    ],
)
def test_bad_network(client: quiver.Client, origin: Origin, relay: Relay, name: str) -> None:
    row = CONDITIONS[name]
    relay.become(row.up, row.down)
    with Load(client, asking(relay.url, TIMEOUT)) as load:
        load.wait_answered(row.answers, within=40.0)
    account(load, origin, errors=row.errors)
    relay.become()
    recovers(client, relay.url + "/ok")


@pytest.mark.parametrize("name", FLIGHTS)
def test_lost_flight_of_the_handshake(
    client: quiver.Client, origin: Origin, relay: Relay, name: str
) -> None:
    row = FLIGHTS[name]
    relay.become(row.up, row.down)
    with Load(client, asking(relay.url, TIMEOUT)) as load:
        load.wait_answered(50)
    account(load, origin)
    assert relay.lost[UP] >= len(row.up.lose) and relay.lost[DOWN] >= len(row.down.lose)


def test_no_handshake_gets_through(origin: Origin, relay: Relay) -> None:
    """Whoever waits is told of the connection, at its limit; not left to the limit of waiting."""
    relay.blackhole()
    with client_of(origin.cafile, connect_timeout=0.5) as client:
        with Load(client, asking(relay.url, TIMEOUT)) as load:
            load.wait_failed(30)
        account(load, errors=(quiver.ConnectTimeout,))
        assert max(outcome.seconds for outcome in load.failed) < 0.5 + LATE
        relay.become()
        recovers(client, relay.url + "/ok")


@pytest.mark.long
@pytest.mark.parametrize("directions", [(UP,), (DOWN,), (UP, DOWN)], ids=["up", "down", "both"])
def test_blackhole_of_two_seconds_delays_and_loses_nothing(
    client: quiver.Client, origin: Origin, relay: Relay, directions: tuple[Direction, ...]
) -> None:
    with Load(client, asking(relay.url, TIMEOUT)) as load:
        load.wait_answered(50)
        relay.blackhole(*directions, seconds=2.0)
        load.wait_answered(100)
    account(load, origin)
    assert sum(relay.lost[direction] for direction in directions) > 0
    assert max(outcome.seconds for outcome in load.outcomes) > 1.5


@pytest.mark.long
@pytest.mark.parametrize("seconds", [3.0, pytest.param(20.0, marks=pytest.mark.slow)])
def test_blackhole_longer_than_every_limit(origin: Origin, relay: Relay, seconds: float) -> None:
    """All are told in time while it lasts, and the pool is back before long when it is over."""
    limits = {"connect_timeout": 0.5, "checkout_timeout": 1.0}
    with client_of(origin.cafile, **limits) as client:
        with Load(client, asking(relay.url, timeout=0.5)) as load:
            load.wait_answered(50)
            relay.blackhole(seconds=seconds)
            ends = time.monotonic() + seconds
            while time.monotonic() < ends - 1.0:
                load.wait_failed(10)
            load.wait_answered(50)
            assert time.monotonic() - ends < 12.0  # the longest backoff of dials is 10 s
        account(load, origin, errors=SILENCE)
        assert max(outcome.seconds for outcome in load.outcomes) < 0.5 + LATE
        recovers(client, relay.url + "/ok")


@pytest.mark.parametrize("directions", [(UP,), (DOWN,), (UP, DOWN)], ids=["up", "down", "both"])
def test_blackhole_above_1200_bytes(
    client: quiver.Client, origin: Origin, relay: Relay, directions: tuple[Direction, ...]
) -> None:
    """Nothing longer is sent but three probes, and one a second: a path of QUIC's least MTU carries
    all."""
    relay.change(directions, largest=1200)
    began = time.monotonic()
    with Load(client, uploading(relay.url)) as load:
        load.wait_answered(50)
    account(load, origin)
    probes = origin.connections_accepted() * (3 + time.monotonic() - began)
    assert relay.largest[UP] == LARGER
    assert relay.lost[UP] <= (probes if UP in directions else 0)


def test_path_that_takes_less_from_some_moment_on(
    client: quiver.Client, origin: Origin, relay: Relay
) -> None:
    """Silently, as a route that changes does: it was larger, and nobody says that it is not."""
    with Load(client, uploading(relay.url)) as load:
        load.wait_answered(50)
        for largest in (1200, LARGER, 1300):
            relay.change(BOTH, largest=largest)
            load.wait_answered(50)
    account(load, origin)
    assert relay.lost[UP] > 0


def uploading(url: str) -> Callable[[quiver.Client, int], quiver.Response]:
    """POSTs of several datagrams."""

    def ask(client: quiver.Client, number: int) -> quiver.Response:
        return client.request(
            "POST", f"{url}/echo?id={number}", body=bytes(10_000), timeout=TIMEOUT
        )

    return ask


def test_server_that_probes_for_a_larger_mtu(authority: Authority) -> None:
    """quic-go tries longer datagrams than the path takes, and gets over it."""

    with (
        Caddy(authority) as server,
        Relay(server.port, down=Conditions(largest=1252)) as relay,
        client_of(server.cafile) as client,
    ):
        with Load(client, small(relay.url, TIMEOUT)) as load:
            load.wait_answered(300)
        account(load)
        assert relay.largest[DOWN] > 1252
        assert relay.lost[DOWN] > 0


@pytest.mark.parametrize("source", ["127.0.0.1", "127.0.0.2"], ids=["port", "address"])
def test_nat_rebinding_is_not_noticed(
    client: quiver.Client, origin: Origin, relay: Relay, source: str
) -> None:
    with Load(client, asking(relay.url, TIMEOUT)) as load:
        for _ in range(5):
            load.wait_answered(30)
            relay.rebind(source)
        load.wait_answered(30)
    account(load, origin)
    assert origin.connections_accepted() <= 2


def test_nat_rebinding_while_all_wait(
    client: quiver.Client, origin: Origin, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server cannot know where we are now, until we say something after a second of silence."""
    knocks: list[int] = []

    def ping(engine: AioquicEngine, uid: int) -> None:
        knocks.append(uid)
        send(engine, uid)

    send = AioquicEngine.ping
    monkeypatch.setattr(AioquicEngine, "ping", ping)
    asked = quiver.Request("GET", "/delay/2.5?id=1", timeout=TIMEOUT)
    reply = client.pool(relay.url).ask(asked, block=False)
    until(lambda: "1" in origin.seen_ids())
    relay.rebind()
    assert reply.get(timeout=TIMEOUT).status == 200
    assert len(knocks) == 1, "the next one is due after twice as long"


def test_nat_rebinding_that_the_server_does_not_follow(authority: Authority) -> None:
    """quic-go answers to the old port: those who waited time out, and the pool dials anew."""

    with (
        Caddy(authority) as server,
        Relay(server.port) as relay,
        client_of(server.cafile) as client,
    ):
        with Load(client, small(relay.url, timeout=2.0)) as load:
            load.wait_answered(50)
            relay.rebind()
            load.wait_failed(5)
            load.wait_answered(100)
        account(load, errors=SILENCE)
        recovers(client, relay.url + "/small")


def test_another_server_at_the_address(
    client: quiver.Client, authority: Authority, origin: Origin, relay: Relay
) -> None:
    """It knows nothing of the connections and says nothing: silence, then a new connection."""
    with Origin(authority=authority) as other:
        with Load(client, asking(relay.url, timeout=1.0)) as load:
            load.wait_answered(50)
            relay.lead_to(other.port)
            load.wait_failed(5)
            load.wait_answered(100)
        account(load, origin, other, errors=SILENCE)
        recovers(client, relay.url + "/ok")
        assert other.connections_accepted() > 0


@pytest.mark.parametrize("end", [Origin.stop, Origin.suspend])
def test_server_that_moves_to_another_address(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, end: Callable[[Origin], object]
) -> None:
    """What was out is told so, or times out; whoever is dialled next has the name's new address."""
    names = Names(monkeypatch)
    host = "moved.example.test"
    certfile, keyfile = authority.issue([host])
    options: dict[str, Any] = {"authority": authority, "certfile": certfile, "keyfile": keyfile}
    names[host] = "127.0.0.2"
    with Origin(listen=("127.0.0.2",), **options) as old:
        url = f"https://{host}:{old.port}"
        with (
            Origin(listen=("127.0.0.3",), port=old.port, **options) as new,
            client_of(authority.cafile) as client,
        ):
            with Load(client, asking(url, timeout=1.0)) as load:
                load.wait_answered(50)
                names[host] = "127.0.0.3"
                end(old)
                load.wait_answered(100)
            assert load.failed, "nobody was out"
            account(load, errors=SILENCE)
            assert new.connections_accepted() > 0
            assert new.seen_ids().keys() <= {str(outcome.id) for outcome in load.outcomes}
            assert set(new.seen_ids().values()) == {1}


def test_port_refuses_in_mid_connection(
    client: quiver.Client, origin: Origin, relay: Relay
) -> None:
    """ICMP is a hint, which PINGs confirm in much less time than silence would take."""
    with Load(client, asking(relay.url, 4 * SOON)) as load:
        for _ in range(3):
            load.wait_answered(50)
            relay.close_port()
            load.wait_failed(20)
            relay.open_port()
        load.wait_answered(50)
    account(load, origin, errors=(quiver.ConnectionLost, quiver.ConnectionRefused))
    assert max(outcome.seconds for outcome in load.failed) < SOON
    recovers(client, relay.url + "/ok")


def test_port_refuses_for_a_moment(
    client: quiver.Client,
    origin: Origin,
    relay: Relay,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """A server behind a firewall that is loaded anew, say: on the same connections all go on."""
    monkeypatch.setattr("quiver.pool.liveness.LEAST", 5.0)  # this machine may be slow
    suspended: list[int] = []
    quiver.telemetry.attach(
        "test", ["connection.suspended"], lambda *event: suspended.append(event[2]["connection"])
    )
    request.addfinalizer(lambda: quiver.telemetry.detach("test"))
    with Load(client, asking(relay.url, TIMEOUT)) as load:
        load.wait_answered(50)
        before = origin.connections_accepted()
        for _ in range(3):
            suspended.clear()
            relay.close_port()
            until(lambda: suspended)
            relay.open_port()
            load.wait_answered(50)
    account(load, origin)
    assert origin.connections_accepted() == before


@pytest.mark.slow
@pytest.mark.parametrize("turn", range(3))
def test_a_network_that_changes_all_the_time(
    client: quiver.Client, origin: Origin, relay: Relay, turn: int
) -> None:
    changes: list[Callable[[], object]] = [
        lambda: relay.become(Conditions(loss=0.2), Conditions(loss=0.2)),
        relay.rebind,
        lambda: relay.blackhole(seconds=1.0),
        lambda: relay.become(Conditions(reorder=0.3), Conditions(truncate=0.2)),
        lambda: relay.become(Conditions(rate=30_000.0), CLEAR),
        relay.become,
    ]
    with Load(client, asking(relay.url, TIMEOUT)) as load:
        for change in changes[turn:] + changes[:turn]:
            change()
            threading.Event().wait(1.5)
        relay.become()
        load.wait_answered(100)
    account(load, origin, errors=SILENCE)
    recovers(client, relay.url + "/ok")
