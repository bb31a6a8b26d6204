"""The measures: what is measured, of whom, and at which points of its axis."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from benchmarks.clients.registry import CLIENTS, FLOOR, QUIVER, Client
from benchmarks.servers import MIB, Servers
from benchmarks.workloads.actor_hops import HOPS
from benchmarks.workloads.cpu_sampler import ROOMS
from benchmarks.workloads.jobs import Job
from benchmarks.workloads.load import Load, Settings
from benchmarks.workloads.paths import FAST, GRID, QUICK, Path

__all__ = ["MEASURES", "Figure", "Measure", "Scale", "find"]


@attrs.frozen
class Scale:
    """How long and how large: the real thing, or `--quick`."""

    seconds: float = 2.0
    quick: bool = False

    def pick(self, full: int, quick: int) -> int:
        """Return one of the two."""
        return quick if self.quick else full


@attrs.frozen
class Figure:
    """One number of a measurement; `more` says whether more of it is better."""

    name: str
    unit: str
    more: bool = False


Prepare = Callable[["Measure", Servers, Scale, str, int], Job]


@attrs.frozen
class Measure:
    """One measure.

    Attributes:
        name: on the command line. title: in tables.
        axis: what its points count. points: all of them; quick: with `--quick`.
        figures: the first one leads: ratios are of it.
        clients: whom it is taken of.
        prepare: the job of one client at one point.
        base: what ratios are of.
        rounds: at most so many, for what is long and steady.
        times: so often in a round, for what is over in a moment.
        alone: it takes long: measured when it is named, with what goes along, and saved by itself.
        along: named measures that it goes along with.
        seconds: of one measurement, unless told.
        limit: seconds that a program may take.
        words: what stands for a point in tables.
        abreast: a table for each figure, with the clients side by side.
    """

    name: str
    title: str
    axis: str
    points: tuple[int, ...]
    quick: tuple[int, ...]
    figures: tuple[Figure, ...]
    clients: tuple[str, ...]
    prepare: Prepare
    base: str = QUIVER
    rounds: int | None = None
    times: int = 1
    alone: bool = False
    along: tuple[str, ...] = ()
    seconds: float = 2.0
    limit: float = 300.0
    words: Callable[[int], str] = "{:,}".format
    abreast: bool = False

    def at(self, scale: Scale) -> tuple[int, ...]:
        """Return the points at that scale."""
        return self.quick if scale.quick else self.points

    def cases(
        self, clients: tuple[str, ...] | None, scale: Scale, turn: int = 0
    ) -> Iterator[tuple[str, int]]:
        """Client and point, the clients one after another at each point, in the order of `turn`."""
        named = [
            each
            for each in self.clients
            if clients is None or each in clients or each not in _NAMES
        ]
        for point in self.at(scale):
            for place in _order(len(named), turn):
                yield named[place], point


def _order(count: int, turn: int) -> Iterator[int]:
    """A row of a Williams square: another one is first in each, and each follows another one."""
    for place in range(count):
        step = (place + 1) // 2
        yield (turn + (step if place % 2 else -step)) % count


_NAMES = tuple(client.name for client in CLIENTS)


def _names(wanted: Callable[[Client], bool] = lambda _: True) -> tuple[str, ...]:
    """List clients, but those that are measured apart."""
    return tuple(each.name for each in CLIENTS if not each.apart and wanted(each))


_USERS = tuple(each.name for each in CLIENTS if each.kind == "users")
_OVER_TCP = tuple(each.name for each in CLIENTS if each.over_tcp and each.kind != "users")


def _rate(measure: Measure, servers: Servers, scale: Scale, client: str, at: int) -> Job:
    load = Load(servers.urls("/small"), callers=at, seconds=scale.seconds)
    settings = Settings(servers.cafile, callers=at)
    return Job(measure.name, client, at, settings, load, load.briefly(0.0))


def _down(measure: Measure, servers: Servers, scale: Scale, client: str, at: int) -> Job:
    urls = servers.urls("/large" if at == MIB else "/huge")
    load = Load(urls, seconds=scale.seconds, expected=at)
    warm = Load(servers.urls("/small"))
    return Job(measure.name, client, at, Settings(servers.cafile), load, warm)


def _up(measure: Measure, servers: Servers, scale: Scale, client: str, at: int) -> Job:
    load = Load(servers.urls("/sink"), seconds=scale.seconds, upload=at)
    warm = Load(servers.urls("/small"))
    return Job(measure.name, client, at, Settings(servers.cafile), load, warm)


def _first(measure: Measure, servers: Servers, scale: Scale, client: str, at: int) -> Job:
    return Job(measure.name, client, at, Settings(servers.cafile), Load(servers.urls("/small")))


def _begin(measure: Measure, servers: Servers, scale: Scale, client: str, at: int) -> Job:
    load = Load(servers.urls("/large" if at == MIB else "/huge"), expected=at)
    warm = Load(servers.urls("/small"))
    return Job(measure.name, client, at, Settings(servers.cafile), load, warm)


def _memory(measure: Measure, servers: Servers, scale: Scale, client: str, at: int) -> Job:
    warm = Load(servers.urls("/small"))
    return Job(measure.name, client, at, Settings(servers.cafile), warm=warm)


def _streams(measure: Measure, servers: Servers, scale: Scale, client: str, at: int) -> Job:
    url, cafile = servers.slow(scale.pick(5, 1))
    load, warm = Load((url,), callers=at), Load((url,))
    return Job(measure.name, client, at, Settings(cafile, callers=at), load, warm)


def _connections(measure: Measure, servers: Servers, scale: Scale, client: str, at: int) -> Job:
    load = Load(servers.urls("/small"), callers=50, seconds=scale.seconds)
    settings = Settings(servers.cafile, callers=50, connections=at)
    return Job(measure.name, client, at, settings, load, load.briefly(0.0))


def _origins(measure: Measure, servers: Servers, scale: Scale, client: str, at: int) -> Job:
    most = max(measure.at(scale))
    urls = servers.urls("/small", most)[:at]
    load = Load(urls, callers=64, seconds=scale.seconds)
    settings = Settings(servers.cafile, callers=64, origins=at)
    return Job(measure.name, client, at, settings, load, load.briefly(0.0))


def _idle(measure: Measure, servers: Servers, scale: Scale, client: str, at: int) -> Job:
    load = Load(servers.urls("/small", at))
    settings = Settings(servers.cafile, connections=2)
    return Job(measure.name, client, at, settings, load, seconds=scale.pick(60, 2))


def _paths(measure: Measure, servers: Servers, scale: Scale, client: str, at: int) -> Job:
    path = Path.numbered(at)
    up, down = (path.size(way, scale.seconds) for way in ("up", "down"))
    urls = (*servers.urls("/small"), *servers.urls("/sink"), servers.sized(down))
    load = Load(urls, expected=down, upload=up)
    return Job(measure.name, client, at, Settings(servers.cafile), load)


def _alone(measure: Measure, servers: Servers, scale: Scale, client: str, at: int) -> Job:
    return Job(measure.name, client, at, seconds=scale.seconds)


RATES = (
    Figure("rate", "requests/s", more=True),
    Figure("cpu", "CPU µs/request"),
    Figure("p50", "ms, p50"),
    Figure("p99", "ms, p99"),
    Figure("p99.9", "ms, p99.9"),
)
_WHERE = (Figure("all", "CPU µs/request"), *(Figure(room, f"{room}, µs") for room in ROOMS))
TRANSFERS = (Figure("throughput", "MB/s", more=True), Figure("cpu", "CPU ms/MB"))
_CALLERS, _BODIES = (1, 5, 20, 50, 200), (MIB, 100 * MIB)
_POOLS = ("quiver-threads", "quiver-greenlets", "quiver-actor")
_SPREAD = _names(lambda client: client.name not in ("quiver-client", FLOOR, "niquests-multiplexed"))
_SHARING = _names(lambda client: client.multiplexed)
_STREAMING = _names(
    lambda client: client.kind in ("threads", "greenlets", "loop") and client.name != QUIVER
)
_HOP = (Figure("ask", "µs, ask"), Figure("tell", "µs, tell"), Figure("forward", "µs, forward"))
_WAYS = (
    Figure("up", "MB/s up", more=True),
    Figure("down", "MB/s down, buffered", more=True),
    Figure("stream", "MB/s down, streamed", more=True),
)
_SESSIONS = (
    Figure("full", "ms, full"),
    Figure("resumed", "ms, resumed"),
    Figure("early", "ms, early"),
    Figure("trips-full", "round trips, full"),
    Figure("trips-resumed", "round trips, resumed"),
    Figure("trips-early", "round trips, early"),
    Figure("cpu-full", "CPU ms, full"),
    Figure("cpu-resumed", "CPU, resumed / full"),
    Figure("cpu-early", "CPU, early / full"),
    Figure("handshake-full", "CPU ms, handshake"),
    Figure("handshake-resumed", "handshake, resumed / full"),
)
_TABLE = tuple(Figure(name, f"CPU µs, {name}") for name in ("submit", "assign", "cancel", "sweep"))

MEASURES = (
    Measure("rate", "GET of 2 bytes", "callers", _CALLERS, (1, 20, 50), RATES, _names(), _rate),
    Measure(
        "where", "where the CPU of a request goes", "callers", (1, 50), (50,), _WHERE,
        ("quiver-greenlets", FLOOR), _rate, base=FLOOR,
    ),
    Measure("down", "download", "bytes", _BODIES, (MIB,), TRANSFERS, _names(), _down),
    Measure("up", "upload", "bytes", _BODIES, (MIB,), TRANSFERS, _names(), _up),
    Measure(
        "first", "time to the first byte of 2", "connections", (1,), (1,),
        (Figure("cold", "ms, cold"), Figure("cpu", "CPU ms, cold"), Figure("warm", "ms, warm")),
        _names(), _first, times=5,
    ),
    Measure(
        "sessions", "the first request of a new connection", "ms of a round trip", (0, 100), (0,),
        _SESSIONS, ("quiver-client", "quiver-greenlets", FLOOR), _first, base="quiver-client",
        along=("first", "paths"),
    ),
    Measure(
        "begin", "time to the first byte of a large body", "bytes", _BODIES, (MIB,),
        (Figure("first", "ms, first byte"),), _STREAMING, _begin, base="quiver-client",
    ),
    Measure(
        "memory", "memory per idle connection", "clients", (50,), (5,),
        (Figure("connection", "KiB/connection"),), _names(), _memory, rounds=3,
    ),
    Measure(
        "streams", "memory of open streams", "streams", (1000,), (50,),
        (Figure("streams", "MiB per 1,000"),), _SHARING, _streams, rounds=3,
    ),
    Measure(
        "connections", "growth with connections, 50 callers", "connections", (1, 2, 4, 8), (1, 4),
        RATES, _POOLS, _connections,
    ),
    Measure(
        "origins", "growth with origins, 64 callers", "origins", (1, 4, 16, 32), (1, 4),
        RATES, _SPREAD, _origins,
    ),
    Measure(
        "locust", "GET of 2 bytes by Locust", "users", (1, 10, 50), (1, 20), RATES, _USERS,
        _rate, base="FastHttpUser",
    ),
    Measure(
        "h2", "GET of 2 bytes over TCP", "callers", (1, 20, 50), (1, 20), RATES, _OVER_TCP,
        _rate, base="quiver-h2-threads",
    ),
    Measure(
        "h2-down", "download over TCP", "bytes", _BODIES, (MIB,), TRANSFERS, _OVER_TCP,
        _down, base="quiver-h2-threads",
    ),
    Measure(
        "hop", "one hop", "actors", (2,), (2,), _HOP, tuple(HOPS), _alone, base="GeventActor",
    ),
    Measure(
        "table", "one step of the routing table", "waiting callers",
        (1_000, 10_000, 100_000), (1_000, 10_000), _TABLE, ("RoutingTable",), _alone,
        base="RoutingTable",
    ),
    Measure(
        "idle", "idle origins of 2 connections", "origins", (200,), (5,),
        (Figure("busy", "% of a CPU"), Figure("connection", "KiB/connection")),
        ("Quiver",), _idle, base="Quiver", rounds=1,
    ),
    Measure(
        "paths", "long paths", "path", tuple(each.number for each in (*GRID, FAST)),
        tuple(each.number for each in QUICK), _WAYS,
        ("quiver-client", "curl_cffi-threads", "niquests-threads"), _paths, base="quiver-client",
        alone=True, seconds=10.0, limit=150.0, abreast=True,
        words=lambda at: str(Path.numbered(at)),
    ),
)  # fmt: skip


def find(name: str) -> Measure:
    """Return the measure of that name. Raises LookupError."""
    for measure in MEASURES:
        if measure.name == name:
            return measure
    raise LookupError(
        f"{name} is no measure; there are {', '.join(each.name for each in MEASURES)}"
    )
