"""An exception at every place in turn where HTTP/3 and what goes over TCP race for a connection.

`test_crashes` walks through HTTP/3 alone, `test_crashes_over_tcp` through HTTP/2. Here one client
has both lanes, and each of them wins, loses, comes later beside requests, and goes away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import attrs
import pykka
import pytest

import quiver
from quiver.pool import choice, fallback_table
from quiver.pool.connection import Connection
from quiver.pool.dialer import Dialer
from quiver.pool.http_pool import HTTPPool
from quiver.pool.protocols import ALL
from quiver.pool.tcp_transport import TcpTransport
from quiver.pool.udp_transport import UdpTransport
from quiver.testing import Authority, Origin
from tests.support.chaos.crash_points import FAULTS, CrashInjector, Point, points, role_of
from tests.support.chaos.environment import LIMIT, AskLog
from tests.support.held_resources import Held, settles_within
from tests.support.network.relay import Relay
from tests.support.servers.http2_origin import Http2Origin
from tests.support.waiting import until

# Here of a race: its lanes and their transports, what becomes of them, and what is spoken then.
OWNERS = (Dialer, TcpTransport, UdpTransport)
NAMES = {"_resolved", "_dialed", "_see_protocol", "_open", "_forward"}
NEVER = {
    *("has_moved", "begin_anew", "_begin_anew", "begin_without_ticket", "migrate"),  # no move
    *("_tell_attempt", "_no_address"),  # nor is anything begun anew, or has no address
    *("_note_unsent", "_goes_on", "_follows", "_begins_in_full", "tick"),
    *("look", "excuse", "_too_slow", "forget_former", "_note_refusal"),  # nothing is late or away
    "may_be_lent",  # which hangs on the moment
    *("_resolve", "_on_ready", "_on_readable"),  # others call it
}
ARMS = {"Meaning.UNREACHABLE if", "Meaning.TOO_LONG", "Meaning.LOST", "GiveUp", "QuiverError"}


def places() -> Iterator[tuple[str, Point]]:
    for actor in (Connection, HTTPPool):
        for point in points(actor):
            here = point.owner in OWNERS or point.method in NAMES
            if here and point.method not in NEVER and not point.arm.startswith(tuple(ARMS)):
                yield actor.__name__, point


PLACES = list(places())
CASES = [
    pytest.param(
        role,
        point,
        fault,
        id=f"{role}: {point} {fault}",
        marks=[] if fault == "once" else [pytest.mark.slow],
    )
    for role, point in PLACES
    for fault in FAULTS
]


@attrs.frozen
class Walk:
    """Where it goes: what comes over TCP is HTTP/2's, UDP leads to HTTP/3 or nowhere.

    `reached`: the places that the scenario has passed.
    """

    second: Http2Origin
    third: Origin
    relay: Relay
    injector: CrashInjector
    reached: set[tuple[str, str]]


@pytest.fixture(scope="module")
def walk(authority: Authority) -> Iterator[Walk]:
    injector = CrashInjector()
    with (
        Origin(authority=authority) as third,
        Http2Origin(authority) as second,
        Relay(third.port, second.port) as relay,
        injector.installed(),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(choice, "HEAD_START", 0.0)
        # Another place by its name, the same by its way: UDP there leads where it led.
        second.fields.append(("alt-svc", f'h3="127.0.0.1:{second.port}"'))
        for pause in ("FIRST_PAUSE", "LONGEST_PAUSE"):
            patch.setattr(fallback_table, pause, 1e-3)
        made = Walk(second, third, relay, injector, set())
        for _ in range(3):  # what hangs on the moment may want a second look, or a third
            play(made, AskLog())
            made.reached.update(injector.hits)
        injector.arm(PLACES[0][1], RuntimeError("the first to be logged"), lambda _: True)
        play(made, AskLog())  # records of the loop have a thread of their own from now on
        yield made


def play(walk: Walk, asks: AskLog) -> None:
    """TCP wins; HTTP/3 comes beside a request and takes over; it goes, and TCP is dialled again."""
    others = set(pykka.ActorRegistry.get_all())
    walk.relay.blackhole()
    cafile = walk.second.cafile
    with quiver.Client(cafile=cafile, protocols=ALL, connect_timeout=1.0) as client:
        exchange(walk, client, asks)
        asks.wait()
        hold(walk, client, asks)
        walk.relay.become()
        until(lambda: "http/3" in spoken(walk, client), within=30.0, what="HTTP/3 takes over")
        walk.second.release()
        exchange(walk, client, asks)
        asks.wait()
        walk.third.disconnect()
        walk.relay.close_port()
        until(lambda: "http/2" in spoken(walk, client), within=30.0, what="TCP is dialled again")
        exchange(walk, client, asks)
        asks.wait()
    walk.injector.disarm()
    walk.relay.open_port()
    until(lambda: others.issuperset(pykka.ActorRegistry.get_all()), what="all actors have ended")


def spoken(walk: Walk, client: quiver.Client) -> str:
    try:
        response = client.get(walk.second.url + "/ok", timeout=LIMIT)
    except quiver.QuiverError:
        return ""
    return str(response.http_version).lower()


def exchange(walk: Walk, client: quiver.Client, asks: AskLog) -> None:
    url, large = walk.second.url, b"0123456789" * 10_000

    def plain(number: int) -> None:
        assert client.get(f"{url}/ok?id={number}", timeout=LIMIT).body == b"ok"

    def uploaded(number: int) -> None:
        body = client.post(f"{url}/echo?id={number}", body=large, timeout=LIMIT).body
        assert body == large

    def streamed(number: int) -> None:
        with client.stream("GET", f"{url}/bytes/100000?id={number}", timeout=LIMIT) as response:
            assert len(response.read()) == 100_000

    for job in (plain, uploaded, streamed, plain):
        asks.ask(job)


def hold(walk: Walk, client: quiver.Client, asks: AskLog) -> None:
    """A request over TCP, which is open when HTTP/3 comes."""
    server, before = walk.second, walk.second.held
    asks.ask(lambda number: client.get(f"{server.url}/held?id={number}", timeout=LIMIT))
    until(lambda: server.held > before or len(asks.outcomes) == asks.asked, what="it is there")


def judge(walk: Walk, asks: AskLog) -> None:
    """One outcome for each ask, an answer or a named error, in time; nothing done twice."""
    assert len(asks.outcomes) == asks.asked
    for outcome in asks.outcomes:
        assert outcome.error is None or isinstance(outcome.error, quiver.QuiverError), outcome
        assert outcome.seconds <= LIMIT + 1.0, outcome
    done = Counter(walk.third.seen_ids())
    for path, times in walk.second.seen.items():
        done[path.partition("?id=")[2] or "of nobody"] += times
    del done["of nobody"]
    assert max(done.values()) == 1, [number for number, times in done.items() if times > 1]


@pytest.mark.long
def test_every_place_is_reached(walk: Walk) -> None:
    unreached = [str(point) for role, point in PLACES if (role, str(point)) not in walk.reached]
    assert not unreached, unreached


@pytest.mark.long
@pytest.mark.parametrize(("role", "point", "fault"), CASES)
def test_crash(walk: Walk, role: str, point: Point, fault: str) -> None:
    before = Held.now()
    error, persistent = FAULTS[fault]
    for _ in range(3):  # what hangs on the moment is not reached each time
        asks = AskLog()
        walk.second.seen.clear()
        wanted = lambda actor: role_of(actor) == role  # noqa: E731
        walk.injector.arm(point, error, wanted, persistent=persistent)
        play(walk, asks)
        judge(walk, asks)
        if walk.injector.fired.is_set():
            break
    assert walk.injector.fired.is_set(), "it was to fail, and did not"
    walk.second.reap()
    after = settles_within(before)
    assert after.within(before), f"{before} became {after}"
