"""Real routers: what they and the kernel say by ICMP and errno, and what callers notice of it.

The client, a router and the server are processes in network namespaces, made and gone with each
test (`tests/support/network/`).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from quiver.testing import Authority
from tests.support.network.programs import Caller, HostedOrigin, Outcome
from tests.support.network.routed_path import RoutedPath, routed_path
from tests.support.network.topology import Family
from tests.support.short_form import cases
from tests.support.waiting import until

four_first = pytest.mark.parametrize("family", cases(("IPv4",), long=(("IPv6",),)))
six_first = pytest.mark.parametrize("family", cases(("IPv6",), long=(("IPv4",),)))

SMALL, LARGE = 3_000, 3_000_000  # bytes of a body
PATIENT = 20.0  # seconds for a suspected server, where a slow machine must not matter
LATE = 10.0  # seconds that a slow machine may add to what is told in a fraction of one
OUTAGE = 0.2  # seconds

PROHIBITED = {"IPv4": "No route to host (EHOSTUNREACH)", "IPv6": "Permission denied (EACCES)"}
"""What the kernel makes of a router's "administratively prohibited"."""


@pytest.fixture
def network(authority: Authority) -> Iterator[RoutedPath]:
    with routed_path(authority) as made:
        yield made


def all_answered(outcomes: list[Outcome], count: int | None = None) -> None:
    summary = Counter(each.said or str(each.status) for each in outcomes)
    assert outcomes and all(each.whole for each in outcomes), summary
    assert count is None or len(outcomes) == count


def wait_ended(caller: Caller, more: int) -> None:
    """Wait until so many asks more than now have ended."""
    goal = caller.outcomes() + more
    until(lambda: caller.outcomes() >= goal, within=20.0)


def wait_told(caller: Caller, event: str, action: Callable[[], object]) -> None:
    """Do it, and wait until telemetry has told of one event more."""
    before = caller.events().count(event)
    action()
    until(lambda: caller.events().count(event) > before, within=20.0)


@contextmanager
def answered_on_the_same_connections(
    network: RoutedPath, family: Family
) -> Iterator[tuple[HostedOrigin, Caller]]:
    """Asks go on before and after what is done within; none fails, nor does a connection."""
    with network.origin() as origin, network.caller(least=PATIENT) as caller:
        caller.begin_asking(network.url(origin, family))
        wait_ended(caller, 50)
        yield origin, caller
        wait_ended(caller, 50)
        all_answered(caller.finish())
        assert "exception" not in caller.events() and caller.events().count("start") <= 2


# a path that takes less than its first link ---------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    ("mtu", "family", "crowd"),
    cases(
        (1400, "IPv4", 4),
        long=((1400, "IPv4", 20), (1280, "IPv4", 20), (1400, "IPv6", 20), (1280, "IPv6", 20)),
    ),
)
def test_a_path_that_takes_less(authority: Authority, mtu: int, family: Family, crowd: int) -> None:
    """Probes of its size are answered by "fragmentation needed", or "packet too big"."""
    with (
        routed_path(authority, mtu=mtu) as network,
        network.origin() as origin,
        network.caller() as caller,
    ):
        caller.begin(network.url(origin, family), [SMALL] * 10)
        all_answered(caller.finish(), 20 * 10)
        caller.begin(network.url(origin, family), [LARGE], threads=crowd)
        all_answered(caller.finish(), crowd)
        assert "exception" not in caller.events()
        said = "Icmp OutDestUnreachs" if family == "IPv4" else "Icmp6OutPktTooBigs"
        assert network.router.counted(said) > 0, "no probe was too long for the path"


@pytest.mark.long
@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("link", "family", "crowd"),
    cases(
        ("near", "IPv4", 3),
        ("far", "IPv6", 3),
        long=tuple((link, family, 8) for link in ("near", "far") for family in ("IPv4", "IPv6")),
    ),
)
def test_a_link_that_takes_less_from_some_moment_on(
    network: RoutedPath, link: str, family: Family, crowd: int
) -> None:
    """The client's own, of which its kernel says EMSGSIZE, or another one."""
    with network.origin() as origin, network.caller() as caller:
        caller.begin(network.url(origin, family), [LARGE], threads=crowd // 2)
        all_answered(caller.finish(), crowd // 2)
        caller.begin(network.url(origin, family), [LARGE, SMALL], threads=crowd)
        getattr(network, link).set("mtu 1280")
        assert caller.outcomes() == 0, "it is in the midst of it"
        all_answered(caller.finish(), 2 * crowd)
        assert "exception" not in caller.events()


@pytest.mark.long
def test_a_link_that_takes_less_than_quic_needs(network: RoutedPath) -> None:
    """1,200 bytes (RFC 9000 14). Of its own link the kernel says so; of another one nobody does."""
    for link, said in ((network.far, "answered nothing"), (network.near, "(EMSGSIZE)")):
        link.set("mtu 1200")
        with network.origin() as origin, network.caller(connect_timeout=1.0) as caller:
            caller.begin(network.url(origin, "IPv4"), [SMALL], threads=2)
            for each in caller.finish():
                assert each.error == "ConnectTimeout" and each.unprocessed
                assert said in each.said


# a path that is gone --------------------------------------------------------------------------


@pytest.mark.long
@four_first
def test_a_router_prohibits_it_for_a_moment(network: RoutedPath, family: Family) -> None:
    with answered_on_the_same_connections(network, family) as (_, caller):
        for _ in range(2):
            wait_told(caller, "suspended", lambda: network.router.route(network.there, "prohibit"))
            network.router.unroute(network.there, "prohibit")
            wait_ended(caller, 50)
        assert PROHIBITED[family] in caller.reasons()


@pytest.mark.long
@pytest.mark.parametrize(("family", "crowd"), cases(("IPv4", 3), long=(("IPv4", 10), ("IPv6", 10))))
def test_a_router_prohibits_uploads_for_a_moment(
    network: RoutedPath, family: Family, crowd: int
) -> None:
    """Also when so much is out that nothing may follow it before an acknowledgement."""
    with network.origin() as origin, network.caller(least=PATIENT) as caller:
        caller.begin(network.url(origin, family), [SMALL, LARGE, LARGE, LARGE], threads=crowd)
        wait_ended(caller, crowd)
        wait_told(caller, "suspended", lambda: network.router.route(network.there, "prohibit"))
        network.router.unroute(network.there, "prohibit")
        assert caller.outcomes() < 4 * crowd, "it is in the midst of it"
        all_answered(caller.finish(), 4 * crowd)
        assert "exception" not in caller.events() and caller.events().count("start") <= 2


@pytest.mark.long
@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("kind", "family"),
    cases(
        ("unreachable", "IPv4"),
        ("unreachable", "IPv6"),
        long=(("blackhole", "IPv4"), ("blackhole", "IPv6")),
    ),
)
def test_a_path_is_gone_for_a_moment_and_nobody_says_so(
    network: RoutedPath, kind: str, family: Family
) -> None:
    """ "Host unreachable" comes and goes, so the kernel keeps it from those that are connected."""
    with network.origin() as origin, network.caller() as caller:
        caller.begin_asking(network.url(origin, family))
        wait_ended(caller, 50)
        network.router.route(network.there, kind)
        threading.Event().wait(OUTAGE)
        network.router.unroute(network.there, kind)
        wait_ended(caller, 50)
        all_answered(caller.finish())
        assert "exception" not in caller.events()


@pytest.mark.long
@six_first
def test_a_router_prohibits_it_for_good(network: RoutedPath, family: Family) -> None:
    """Whoever is out is told ConnectionLost, in time. The router says so once a second only: some
    of the dials that follow end in silence."""
    with network.origin() as origin, network.caller(connect_timeout=2.0) as caller:
        caller.begin_asking(network.url(origin, family))
        wait_ended(caller, 50)
        wait_told(caller, "exception", lambda: network.router.route(network.there, "prohibit"))
        wait_ended(caller, 20)
        network.router.unroute(network.there, "prohibit")
        until(lambda: caller.events()[-1] in ("ready", "settings"), within=20.0)
        wait_ended(caller, 50)
        outcomes = caller.finish()
    failed = [each for each in outcomes if each.error is not None]
    assert {each.error for each in failed} <= {"ConnectionLost", "ConnectTimeout"}
    lost = [each for each in failed if each.error == "ConnectionLost"]
    assert all(PROHIBITED[family] in each.said for each in lost)
    assert any("also to PINGs" in each.said for each in failed)
    assert max(each.seconds for each in failed) < LATE


@pytest.mark.long
@four_first
def test_nobody_listens_on_the_port_from_some_moment_on(
    network: RoutedPath, family: Family
) -> None:
    with network.origin() as origin, network.caller() as caller:
        caller.begin_asking(network.url(origin, family))
        wait_ended(caller, 50)
        wait_told(caller, "exception", origin.kill)
        wait_ended(caller, 40)
        wait_told(caller, "ready", origin.start)
        wait_ended(caller, 50)
        outcomes = caller.finish()
    failed = [each for each in outcomes if each.error is not None]
    assert {each.error for each in failed} == {"ConnectionLost", "ConnectionRefused"}
    lost = [each for each in failed if each.error == "ConnectionLost"]
    assert all("the port is closed now" in each.said for each in lost)
    assert max(each.seconds for each in failed) < LATE


# while it is dialled --------------------------------------------------------------------------


@pytest.mark.one_in(8)
@four_first
@pytest.mark.parametrize(
    ("kind", "at"),
    cases(
        ("prohibit", "client"),
        ("prohibit", "router"),
        ("unreachable", "router"),
        ("blackhole", "client"),
        long=(("unreachable", "client"), ("blackhole", "router")),
    ),
)
def test_there_is_no_way_while_it_is_dialled(
    network: RoutedPath, kind: str, at: str, family: Family
) -> None:
    """An error that names it; of what nobody tells us, ConnectTimeout."""
    silent = at == "router" and kind != "prohibit"
    with network.caller(connect_timeout=1.0 if silent else 10.0) as caller:
        where = network.client if at == "client" else network.router
        where.route(network.there, kind)
        host = network.there.ipv4 if family == "IPv4" else f"[{network.there.ipv6}]"
        caller.begin(f"https://{host}:4433/ok", [SMALL], threads=5)
        outcomes = caller.finish()
    assert {each.error for each in outcomes} == {"ConnectTimeout" if silent else "ConnectionLost"}
    assert all(each.unprocessed and each.seconds < LATE for each in outcomes)
    if not silent:
        assert all("no way to it from here: " in each.said for each in outcomes)
    if at == "router" and not silent:
        assert all(PROHIBITED[family] in each.said for each in outcomes)


@pytest.mark.long
@six_first
def test_nobody_listens_on_the_port_while_it_is_dialled(
    network: RoutedPath, family: Family
) -> None:
    with network.caller() as caller:
        host = network.there.ipv4 if family == "IPv4" else f"[{network.there.ipv6}]"
        caller.begin(f"https://{host}:4433/ok", [SMALL], threads=5)
        outcomes = caller.finish()
    assert {each.error for each in outcomes} == {"ConnectionRefused"}
    assert all(each.unprocessed and each.seconds < LATE for each in outcomes)


# our own machine ------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("kind", "family"),
    cases(
        ("blackhole", "IPv4"),
        ("prohibit", "IPv6"),
        long=(
            *(("prohibit", "IPv4"), ("unreachable", "IPv4")),
            *(("unreachable", "IPv6"), ("blackhole", "IPv6")),
        ),
    ),
)
def test_our_own_route_is_gone_for_a_moment(network: RoutedPath, kind: str, family: Family) -> None:
    with answered_on_the_same_connections(network, family) as (_, caller):
        wait_told(caller, "suspended", lambda: network.client.route(network.there, kind))
        network.client.unroute(network.there, kind)


@six_first
def test_our_own_link_is_down_for_a_moment(network: RoutedPath, family: Family) -> None:
    with answered_on_the_same_connections(network, family) as (_, caller):
        wait_told(caller, "suspended", lambda: network.near.set_at(network.client, "down"))
        network.near.set_at(network.client, "up")
        network.client.route("default", via=network.near.of(network.router))


# strangers ------------------------------------------------------------------------------------


@pytest.mark.long
@four_first
def test_forged_messages_without_end_harm_nobody(network: RoutedPath, family: Family) -> None:
    """Each code that there is, a thousand a second: all are answered, on the same connections."""
    with network.origin() as origin, network.caller(least=PATIENT) as caller:
        caller.begin_asking(network.url(origin, family))
        wait_ended(caller, 50)
        here = network.near.of(network.client).of(family)
        ports = ",".join(str(port) for _, port in caller.sockets())
        began = time.monotonic()
        network.router.namespace.run_python(
            "tests.support.network.icmp_forger",
            *(family, here, str(origin.port), network.there.of(family), ports, "2.0"),
        )
        wait_ended(caller, 50)
        took = time.monotonic() - began
        all_answered(caller.finish())
        events = caller.events()
        assert "exception" not in events and events.count("start") <= 2
        assert "migrated" not in events, "who is told that it is elsewhere looks first"
        assert 1 <= events.count("suspended") <= 2 * (took + 1), "few suspicions, and few PINGs"
