"""The ratios that Quiver aims at, and what was measured of each."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence

import attrs

from benchmarks.clients.registry import CLIENTS, FLOOR, QUIVER, Client
from benchmarks.report.path_targets import PATH_TARGETS, PathTarget
from benchmarks.report.results import Results, Spread
from benchmarks.report.table import Grid, ratio
from benchmarks.servers import MIB
from benchmarks.workloads.measures import Measure
from benchmarks.workloads.paths import FAST

__all__ = ["PLACES", "TARGETS", "Target", "needed", "target_grid"]

_GREENLETS, _AIOQUIC, _NIQUESTS = "quiver-greenlets", "aioquic-async", "niquests-threads"
_CURL, _CURL_TASKS = "curl_cffi-threads", "curl_cffi-async"


@attrs.frozen
class Target:
    """One ratio.

    Attributes:
        text: in words.
        measure, figure, at: what is compared, see `benchmarks.workloads.measures`.
        client: whose figure. bases: beside the best of these.
        limit: what the ratio must reach, or stay below where less is better.
        more: whether more is better.
        since: compare with the client's own figure at this point of the axis.
        plain: no ratio: the figure itself is held against the limit.
        to: the others' figure, where it is another one.
        apart: how far the figure is from the others', in place of the ratio.
    """

    text: str
    measure: str
    figure: str
    at: int
    client: str
    bases: tuple[str, ...]
    limit: float
    more: bool = True
    since: int | None = None
    plain: bool = False
    to: str | None = None
    apart: bool = False

    def measured(self, results: Results) -> Spread | None:
        """The ratio over the rounds, or None where it was not measured."""
        if self.plain:
            return results.spread(self.measure, self.client, self.at, self.figure)
        if self.since is not None:
            return self._growth(results, self.since)
        best: Callable[[list[float]], float] = max if self.more else min
        return results.ratio(
            self.measure, self.client, self.bases, self.at, self.figure,
            to=self.to, best=best, by=operator.sub if self.apart else operator.truediv,
        )  # fmt: skip

    def met(self, ratio: float) -> bool:
        """Whether that is good enough."""
        return ratio >= self.limit if self.more else ratio <= self.limit

    def _growth(self, results: Results, since: int) -> Spread | None:
        first = results.spread(self.measure, self.client, since, self.figure)
        last = results.spread(self.measure, self.client, self.at, self.figure)
        return Spread.of([last.median / first.median]) if first and last else None


def _peers(wanted: Callable[[Client], bool]) -> tuple[str, ...]:
    return tuple(each.name for each in CLIENTS if each.peer and wanted(each))


_TASKS = _peers(lambda client: client.kind == "tasks")
_THREADS = _peers(lambda client: client.kind == "threads")
_OVER_QUIC = _peers(lambda client: not (client.over_tcp or client.apart))


def _rate(text: str, at: int, client: str, bases: tuple[str, ...], limit: float) -> Target:
    return Target(text, "rate", "rate", at, client, bases, limit)


def _less(text: str, figure: str, client: str, bases: tuple[str, ...], limit: float) -> Target:
    return Target(text, "rate", figure, 50, client, bases, limit, more=False)


def _down(text: str, at: int, base: str, limit: float) -> Target:
    return Target(text, "down", "throughput", at, QUIVER, (base,), limit)


def _bodies(measure: str, limit: float) -> Iterator[Target]:
    for size in (MIB, 100 * MIB):
        text = f"{size // MIB} MiB {measure} to the fastest peer over HTTP/3"
        yield Target(text, measure, "throughput", size, QUIVER, _OVER_QUIC, limit)


def _spread(who: str, client: str, limit: float) -> Target:
    text = f"64 {who} over 32 origins to curl_cffi-async"
    return Target(text, "origins", "rate", 32, client, (_CURL_TASKS,), limit)


def _memory(text: str, measure: str, figure: str, at: int, client: str, limit: float) -> Target:
    return Target(text, measure, figure, at, client, (), limit, more=False, plain=True)


def _flat(step: str) -> Target:
    text = f"{step} with 100,000 waiting, to that with 1,000"
    return Target(text, "table", step, 100_000, "RoutingTable", (), 1.5, more=False, since=1_000)


TARGETS = (
    _rate("threads to niquests-threads, 1 caller", 1, QUIVER, (_NIQUESTS,), 1.4),
    _rate("threads to curl_cffi-threads, 1 caller", 1, QUIVER, (_CURL,), 1.0),
    _rate("threads to niquests-threads, 20 callers", 20, QUIVER, (_NIQUESTS,), 6.0),
    _rate("threads to niquests-threads, 50 callers", 50, QUIVER, (_NIQUESTS,), 7.0),
    _rate("threads to the fastest asyncio peer, 20 callers", 20, QUIVER, _TASKS, 1.0),
    _rate("threads to the fastest asyncio peer, 50 callers", 50, QUIVER, _TASKS, 1.0),
    _rate("greenlets to the fastest asyncio peer, 50 callers", 50, _GREENLETS, _TASKS, 2.0),
    _rate("greenlets to the bare loop, 50 callers", 50, _GREENLETS, (FLOOR,), 0.9),
    _less("CPU of 50 greenlets to the bare loop's", "cpu", _GREENLETS, (FLOOR,), 1.2),
    _less("CPU of 50 threads to the bare loop's", "cpu", QUIVER, (FLOOR,), 1.7),
    _less("p99 of 50 threads to the best threaded peer's", "p99", QUIVER, _THREADS, 1.0),
    _down("1 MiB down to the bare loop", MIB, FLOOR, 0.95),
    _down("100 MiB down to the bare loop", 100 * MIB, FLOOR, 0.95),
    _down("1 MiB down to aioquic's asyncio client", MIB, _AIOQUIC, 2.0),
    _down("100 MiB down to aioquic's asyncio client", 100 * MIB, _AIOQUIC, 2.0),
    *_bodies("down", 0.9),
    *_bodies("up", 0.8),
    Target(
        "cold first request to the bare loop's",
        "first", "cold", 1, QUIVER, (FLOOR,), 1.3, more=False,
    ),
    Target(
        "cold first request to curl_cffi-threads'",
        "first", "cold", 1, QUIVER, (_CURL,), 1.5, more=False,
    ),
    _spread("threads", QUIVER, 1.0),
    _spread("greenlets", _GREENLETS, 1.5),
    _memory("KiB of an idle connection", "memory", "connection", 50, QUIVER, 110.0),
    _memory(
        "MiB of 1,000 open requests of greenlets", "streams", "streams", 1000, _GREENLETS, 8.0
    ),
    _flat("submit"),
    _flat("assign"),
    Target(
        "CPU of 200 idle origins of 2 connections, in %",
        "idle", "busy", 200, "Quiver", (), 1.0, more=False, plain=True,
    ),
)  # fmt: skip


STREAMED = Target(
    f"down, streamed to buffered: {FAST}",
    "paths", "stream", FAST.number, "quiver-client", ("quiver-client",), 0.9, to="down",
)  # fmt: skip
_RESUMED = Target(
    "CPU of a resumed handshake, to that of a full one",
    "sessions", "handshake-resumed", 0, "quiver-client", (), 0.85, more=False, plain=True,
)  # fmt: skip
SESSION_TARGETS = (
    _RESUMED,
    attrs.evolve(
        _RESUMED, text="the same, less the bare loop's", bases=(FLOOR,), limit=0.03,
        plain=False, apart=True,
    ),
    Target(
        "round trips to early data's first byte, of 100 ms",
        "sessions", "trips-early", 100, "quiver-client", (), 1.2, more=False, plain=True,
    ),
)  # fmt: skip
LOCUST_TARGETS = tuple(
    Target(f"{ours} to {theirs}, 50 users", "locust", "rate", 50, ours, (theirs,), 1.0)
    for ours, theirs in (("HTTP3User", "HttpUser"), ("HTTP3FastUser", "FastHttpUser"))
)
_HTTPX_2, _OVER_TCP = (
    ("httpx-http2", "httpx-async"),
    ("niquests-h2-threads", "urllib3-http1", "httpx-http1"),
)


def _over_tcp(caller: str, whom: str, bases: tuple[str, ...], limit: float) -> Iterator[Target]:
    """More requests and less CPU than the best of some."""
    client = f"quiver-h2-{caller}"
    yield Target(f"50 {caller} to {whom}", "h2", "rate", 50, client, bases, limit)
    text = f"CPU of 50 {caller} to {whom}"
    yield Target(text, "h2", "cpu", 50, client, bases, 1 / limit, more=False)


H2_TARGETS = (
    *_over_tcp("threads", "httpx over HTTP/2", _HTTPX_2, 2.0),
    *_over_tcp("greenlets", "httpx over HTTP/2", _HTTPX_2, 2.0),
    *_over_tcp("threads", "the best threaded peer", _OVER_TCP, 1.0),
    *_over_tcp("greenlets", "the best threaded peer", _OVER_TCP, 1.0),
    *(
        Target(
            f"{size // MIB} MiB down to httpx over HTTP/2",
            "h2-down", "throughput", size, "quiver-h2-threads", _HTTPX_2, 1.0,
        )
        for size in (MIB, 100 * MIB)
    ),
)  # fmt: skip
PLACES: dict[str, Sequence[Target | PathTarget]] = {
    "targets": TARGETS,
    "session-targets": SESSION_TARGETS,
    "locust-targets": LOCUST_TARGETS,
    "h2-targets": H2_TARGETS,
    "path-targets": (*PATH_TARGETS, STREAMED),
}


def needed(measure: Measure) -> Measure | None:
    """A measure with no points and clients but those that the targets look at."""
    if measure.alone:
        return measure  # they look at all of it
    targets = [each for each in TARGETS if each.measure == measure.name]
    if not targets:
        return None
    points = {point for each in targets for point in (each.at, each.since or each.at)}
    names = {name for each in targets for name in (each.client, *each.bases)}
    clients = tuple(each for each in measure.clients if each in names)
    return attrs.evolve(
        measure, points=tuple(sorted(points)), quick=tuple(sorted(points)), clients=clients
    )


def target_grid(results: Results, targets: Sequence[Target | PathTarget] = TARGETS) -> Grid:
    """Each target of which anything was measured."""
    rows = []
    for target in targets:
        measured = target.measured(results)
        if measured is not None:
            sign = "≥" if target.more else "≤"
            met = "yes" if target.met(measured.median) else "no"
            rows.append((target.text, f"{sign} {target.limit:g}", ratio(measured), met))
    return Grid("Targets", ("target", "aim", "measured", "met"), rows)
