"""A client that moves: its address, or the route to the server, changes under its connections.

The client, a router and the server are in network namespaces (`tests/support/network/`); between
client and router there are two wires. What is shown is shown by real kernels' errno and routes.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from quiver.testing import Authority
from tests.support.network.programs import Caller, HostedOrigin, Outcome
from tests.support.network.routed_path import RoutedPath, routed_path
from tests.support.network.topology import Family, Link
from tests.support.short_form import cases
from tests.support.waiting import until

four_first = pytest.mark.parametrize("family", cases(("IPv4",), long=(("IPv6",),)))
six_first = pytest.mark.parametrize("family", cases(("IPv6",), long=(("IPv4",),)))

LARGE = 30_000_000  # bytes of a body: it takes longer than what is done meanwhile
SMALL = 3_000
OUTAGE = 1.5  # seconds
LATE = 20.0  # seconds; a limit that is met is half of them at the most


@attrs.frozen
class Roaming:
    """A path whose client can be elsewhere.

    `other`: a second wire to the router, which no route goes by at first.
    """

    path: RoutedPath
    other: Link

    def leave(self) -> None:
        """Be without addresses and routes."""
        self.path.near.take_addresses(self.path.client)

    def arrive(self, number: int) -> None:
        """Have other addresses, and a way to the server."""
        path = self.path
        path.near.readdress(path.client, number)
        path.client.route("default", via=path.near.of(path.router))

    def take_other_route(self) -> None:
        """Reach the server by the other wire. The address on the first one stays, and nothing
        passes there any more; nobody is told."""
        path = self.path
        path.client.route("default", via=self.other.of(path.router))
        path.near.set_at(path.router, "down")

    def url(self, origin: HostedOrigin, family: Family) -> str:
        return self.path.url(origin, family).removesuffix("/digest")


@pytest.fixture
def roaming(authority: Authority) -> Iterator[Roaming]:
    with routed_path(authority) as path:
        yield Roaming(path, path.network.link(path.client, path.router))


def all_answered(outcomes: list[Outcome], count: int) -> None:
    summary = Counter(each.said or str(each.status) for each in outcomes)
    assert len(outcomes) == count and all(each.whole for each in outcomes), summary


def on_the_same_connections(caller: Caller, moves: int, connections: int = 1) -> None:
    events = caller.events()
    assert events.count("start") == connections and "exception" not in events, (
        events,
        caller.reasons(),
    )
    until(lambda: caller.events().count("migrated") >= moves * connections, within=LATE)


def post_one(caller: Caller, url: str) -> Outcome:
    caller.begin(f"{url}/digest", [SMALL], threads=1)
    [outcome] = caller.finish()
    return outcome


def receive(caller: Caller, more: int) -> None:
    """Wait until so many bytes more have come."""
    goal = caller.received() + more
    until(lambda: caller.received() >= goal, within=LATE)


# in use -------------------------------------------------------------------------------------


@pytest.mark.long
@four_first
def test_a_download_survives_two_changes(roaming: Roaming, family: Family) -> None:
    with roaming.path.origin() as origin, roaming.path.caller(max_connections=1) as caller:
        caller.begin_fetching(roaming.url(origin, family), LARGE)
        for number in (11, 12):
            receive(caller, LARGE // 10)
            roaming.arrive(number)
        assert caller.received() < LARGE, "it is in the midst of it"
        all_answered(caller.finish(), 1)
        on_the_same_connections(caller, 1)
        hosts = [host for host, _ in caller.sockets()]
        assert len(set(hosts)) >= 2


@pytest.mark.long
@six_first
def test_an_upload_survives_two_changes(roaming: Roaming, family: Family) -> None:
    with roaming.path.origin() as origin, roaming.path.caller(max_connections=1) as caller:
        assert post_one(caller, roaming.url(origin, family)).whole, "the handshake is confirmed"
        caller.begin(f"{roaming.url(origin, family)}/digest", [LARGE], threads=1)
        roaming.arrive(11)
        assert caller.outcomes() == 0, "it is in the midst of it"
        until(lambda: "migrated" in caller.events(), within=LATE)
        roaming.arrive(12)
        all_answered(caller.finish(), 1)
        on_the_same_connections(caller, 1)


@pytest.mark.long
@four_first
def test_the_network_is_away_for_a_while(roaming: Roaming, family: Family) -> None:
    """No address, and no route: it is waited for, and there is another one."""
    with roaming.path.origin() as origin, roaming.path.caller(max_connections=1) as caller:
        caller.begin_fetching(roaming.url(origin, family), LARGE)
        receive(caller, LARGE // 10)
        roaming.leave()
        threading.Event().wait(OUTAGE)
        roaming.arrive(11)
        all_answered(caller.finish(), 1)
        on_the_same_connections(caller, 1)


@pytest.mark.long
def test_a_link_local_address_is_no_way_to_a_server_beyond(roaming: Roaming) -> None:
    """An interface has no other for a second or two, until IPv6 has found the next one unused."""
    path = roaming.path
    with path.origin() as origin, path.caller(max_connections=1) as caller:
        caller.begin_fetching(roaming.url(origin, "IPv6"), LARGE)
        receive(caller, LARGE // 10)
        path.client.ip_of("IPv6", f"route replace default dev {path.near.name} via fe80::1")
        for wire in (roaming.other, path.near):
            path.client.ip_of("IPv6", f"addr flush dev {wire.name} scope global")
        until(lambda: any("EADDRNOTAVAIL" in each for each in caller.reasons()), within=LATE)
        path.client.ip_of("IPv6", f"route del default dev {path.near.name} via fe80::1")
        roaming.arrive(11)
        all_answered(caller.finish(), 1)
        on_the_same_connections(caller, 1)
        assert {host for host, _ in caller.sockets()} == {"fd77:0:0:1::1", "fd77:0:0:1::11"}
        assert "the server does not answer there" not in caller.reasons()


@pytest.mark.long
def test_it_is_away_for_one_family_and_there_is_another(roaming: Roaming) -> None:
    """What is open waits, and goes on when it can; who asks is served by a new dial."""
    path = roaming.path
    here = path.near.of(path.client)
    with path.origin() as origin, path.caller(max_connections=1) as caller:
        caller.begin_fetching(roaming.url(origin, "IPv4"), LARGE)
        receive(caller, LARGE // 10)
        path.client.ip_of("IPv4", f"addr del {here.ipv4}/24 dev {path.near.name}")
        until(lambda: "draining" in caller.events(), within=LATE)
        path.client.ip_of("IPv4", f"addr add {here.ipv4}/24 dev {path.near.name}")
        path.client.route("default", via=path.near.of(path.router))
        all_answered(caller.finish(), 1)
        assert "exception" not in caller.events()


@pytest.mark.long
@four_first
def test_another_route_and_nobody_says_so(roaming: Roaming, family: Family) -> None:
    """The old address is still there, no errno tells: a second of silence does."""
    with roaming.path.origin() as origin, roaming.path.caller(max_connections=1) as caller:
        caller.begin_fetching(roaming.url(origin, family), LARGE)
        receive(caller, LARGE // 10)
        roaming.take_other_route()
        all_answered(caller.finish(), 1)
        on_the_same_connections(caller, 1)
        here = roaming.other.of(roaming.path.client).of(family)
        assert caller.sockets()[-1][0] == here


@pytest.mark.long
def test_many_connections_move_at_once(roaming: Roaming) -> None:
    origin, caller = roaming.path.origin(max_streams=1), roaming.path.caller(max_connections=5)
    with origin, caller:
        caller.begin_fetching(roaming.url(origin, "IPv4"), LARGE // 3, threads=5)
        receive(caller, LARGE // 5)
        roaming.arrive(11)
        all_answered(caller.finish(), 5)
        on_the_same_connections(caller, 1, connections=5)


@four_first
def test_a_handshake_begins_anew_from_another_address(roaming: Roaming, family: Family) -> None:
    """RFC 9000 9: nobody migrates before it is confirmed."""
    path = roaming.path
    former = path.near.of(path.client).of(family)
    path.server.ip_of(family, f"route add blackhole {former}")
    with path.origin() as origin, path.caller(connect_timeout=30.0) as caller:
        caller.begin(f"{roaming.url(origin, family)}/digest", [SMALL], threads=1)
        until(lambda: "attempt" in caller.events(), within=LATE)
        roaming.arrive(11)
        all_answered(caller.finish(), 1)
        events = caller.events()
        assert events.count("start") == 1 and "exception" not in events
        assert events.count("attempt") >= 2


# idle ---------------------------------------------------------------------------------------


SILENCE = 1.2  # seconds: a connection that is not heard for them is in doubt


def wait_for_silence(seconds: float = SILENCE) -> None:
    """So that the next request is preceded by a look."""
    threading.Event().wait(seconds)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("change", "family", "silence"),
    cases(
        ("arrive", "IPv4", SILENCE),
        ("take_other_route", "IPv6", 0.3),
        long=(("arrive", "IPv6", 0.3), ("take_other_route", "IPv4", SILENCE)),
    ),
)
def test_an_idle_connection_follows_with_its_next_request(
    roaming: Roaming, change: str, family: Family, silence: float
) -> None:
    changes: dict[str, Callable[[], None]] = {
        "arrive": lambda: roaming.arrive(11),
        "take_other_route": roaming.take_other_route,
    }
    with roaming.path.origin() as origin, roaming.path.caller(max_connections=1) as caller:
        url = roaming.url(origin, family)
        assert post_one(caller, url).whole
        changes[change]()
        wait_for_silence(silence)
        outcome = post_one(caller, url)
        assert outcome.whole and outcome.seconds < 1.0, outcome
        on_the_same_connections(caller, 1)


@pytest.mark.long
def test_idle_and_it_changes_again_and_again(roaming: Roaming) -> None:
    """Nothing is open, so nothing has to wait until it may move once more."""
    with roaming.path.origin() as origin, roaming.path.caller(max_connections=1) as caller:
        url = roaming.url(origin, "IPv6")
        assert post_one(caller, url).whole
        for number in range(11, 22):
            roaming.arrive(number)
            wait_for_silence(0.3)
            outcome = post_one(caller, url)
            assert outcome.whole and outcome.seconds < 1.0, (number, outcome)


@pytest.mark.long
def test_idle_where_there_is_no_way_any_more(roaming: Roaming) -> None:
    """A new dial may go another way; here there is none, and it says so."""
    with roaming.path.origin() as origin, roaming.path.caller(max_connections=1) as caller:
        url = roaming.url(origin, "IPv4")
        assert post_one(caller, url).whole
        roaming.leave()
        wait_for_silence()
        outcome = post_one(caller, url)
        assert outcome.error == "ConnectionLost" and outcome.unprocessed, outcome
        assert "no way to it from here: Network is unreachable" in outcome.said
        assert outcome.seconds < LATE / 2
        roaming.arrive(11)
        assert post_one(caller, url).whole


# who cannot move ----------------------------------------------------------------------------

OBSTACLES: list[tuple[dict[str, Any], str]] = [
    ({"active_migration": False}, "its server forbids it (disable_active_migration)"),
    ({"spare_connection_ids": False}, "its server has given no spare connection id"),
]


@pytest.mark.long
@pytest.mark.one_in(2)
@pytest.mark.parametrize(("options", "why"), OBSTACLES, ids=["forbidden", "no id"])
def test_who_cannot_move_is_dialled_anew(
    roaming: Roaming, options: dict[str, Any], why: str
) -> None:
    """What was out is told; what had not left is carried on."""
    with roaming.path.origin(**options) as origin, roaming.path.caller(max_connections=1) as caller:
        url = roaming.url(origin, "IPv4")
        assert post_one(caller, url).whole
        roaming.arrive(11)
        wait_for_silence()
        assert post_one(caller, url).whole
        caller.begin_fetching(url, LARGE)
        receive(caller, LARGE // 10)
        roaming.arrive(12)
        [outcome] = caller.finish()
        assert outcome.error == "ConnectionLost"
        assert f"and it cannot migrate: {why}" in outcome.said and "77.1.12" in outcome.said
        assert post_one(caller, url).whole
        roaming.arrive(13)
        assert post_one(caller, url).whole, "the kernel took nothing of it"
        assert caller.events().count("start") == 4
        assert caller.reasons().count(why) == 3


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("options", "why"), OBSTACLES, ids=["forbidden", "no id"])
def test_who_cannot_move_stays_where_the_old_address_still_does(
    roaming: Roaming, options: dict[str, Any], why: str
) -> None:
    """A second address has become the better one, as IPv6's temporary ones do."""
    with roaming.path.origin(**options) as origin, roaming.path.caller(max_connections=1) as caller:
        url = roaming.url(origin, "IPv4")
        assert post_one(caller, url).whole
        roaming.path.client.route("default", via=roaming.other.of(roaming.path.router))
        for _ in range(2):
            wait_for_silence()
            assert post_one(caller, url).whole
        events = caller.events()
        assert events.count("start") == 1 and "exception" not in events
        assert caller.reasons().count(why) == 1


@pytest.mark.long
def test_a_path_that_leads_nowhere_ends_it_by_name(roaming: Roaming) -> None:
    path = roaming.path
    with path.origin() as origin, path.caller(max_connections=1, connect_timeout=30.0) as caller:
        url = roaming.url(origin, "IPv4")
        caller.begin_fetching(url, LARGE)
        receive(caller, LARGE // 10)
        path.server.ip("route add blackhole 10.77.1.11/32")
        roaming.arrive(11)
        [outcome] = caller.finish()
        assert outcome.error == "ConnectionLost"
        assert "it migrated from 10.77.1.1 to 10.77.1.11, where the server has not" in outcome.said
        assert "the server does not answer there" in caller.reasons()
        path.server.ip("route del blackhole 10.77.1.11/32")
        assert post_one(caller, url).whole
