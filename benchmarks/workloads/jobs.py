"""One measurement: what it needs to know, and how it is done, in a fresh program of its own.

    python -m benchmarks.workloads.jobs '{"measure": "rate", ...}'

prints the figures as JSON. The clients' packages are imported, and the warm-up is over, before a
clock runs.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from benchmarks.clients.registry import find
from benchmarks.workloads.load import Adapter, Load, Sample, Settings, Stopwatch

__all__ = ["Figures", "Job", "run"]

Figures = dict[str, float]
_WARM_UP = 0.3  # seconds
_BEGINNINGS, MIB = 20, 1024 * 1024
_UNSET, _NOTHING = Settings(""), Load(())


@attrs.frozen
class Job:
    """One measurement of one client.

    Attributes:
        measure: its name, see `benchmarks.workloads.measures`.
        client: its name, see `benchmarks.clients.registry`; or what is measured in its place.
        at: where on the measure's axis: callers, bytes, connections, origins, tickets.
        settings, load: for the client.
        warm: what is asked before, to open connections.
        seconds: for measures without a load.
        turn: the round, of which chance is a seed.
    """

    measure: str
    client: str
    at: int
    settings: Settings = _UNSET
    load: Load = _NOTHING
    warm: Load = _NOTHING
    seconds: float = 0.0
    turn: int = 0

    def encoded(self) -> str:
        """Return the job as JSON."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def decoded(cls, text: str) -> Job:
        """Make a job from what `encoded` returned."""
        given = json.loads(text)
        for name in ("load", "warm"):
            given[name]["urls"] = tuple(given[name]["urls"])
            given[name] = Load(**given[name])
        return cls(**{**given, "settings": Settings(**given["settings"])})


def run(job: Job) -> Figures:
    """Measure in this program, which should be a fresh one."""
    return _DONE_BY[job.measure](job)


def _opened(job: Job) -> Adapter:
    return find(job.client).make()(job.settings)


def _warmed(job: Job) -> Adapter:
    adapter = _opened(job)
    adapter.run(job.warm)
    return adapter


def _rate(job: Job) -> Figures:
    adapter = _warmed(job)
    adapter.run(job.load.briefly(_WARM_UP))
    sample = adapter.run(job.load)
    adapter.close()
    return rates(sample)


def rates(sample: Sample) -> Figures:
    """Return requests per second, CPU microseconds per request, and latencies in milliseconds."""
    count, ordered = len(sample.latencies), sorted(sample.latencies)
    return {
        "rate": count / sample.seconds,
        "cpu": sample.cpu / count * 1e6,
        "p50": percentile(ordered, 0.5) * 1e3,
        "p99": percentile(ordered, 0.99) * 1e3,
        "p99.9": percentile(ordered, 0.999) * 1e3,
    }


def percentile(ordered: Sequence[float], part: float) -> float:
    """Return the nearest-rank percentile: what `part` of the sorted values do not exceed."""
    return ordered[max(0, -int(-len(ordered) * part // 1) - 1)]


def _where(job: Job) -> Figures:
    from benchmarks.workloads.cpu_sampler import Sampler

    adapter = _warmed(job)
    adapter.run(job.load.briefly(_WARM_UP))
    with Sampler() as sampler:
        sample = adapter.run(job.load)
    adapter.close()
    cpu = sample.cpu / len(sample.latencies) * 1e6
    return {"all": cpu, **{room: cpu * share for room, share in sampler.shares().items()}}


def _transfer(job: Job) -> Figures:
    adapter = _warmed(job)
    _ = job.load.body  # made before a clock runs
    sample = adapter.run(job.load)
    adapter.close()
    moved = len(sample.latencies) * job.at / 1e6
    return {"throughput": moved / sample.seconds, "cpu": sample.cpu / moved * 1e3}


def _first(job: Job) -> Figures:
    """From nothing but imports: what makes the client, threads, lookup, handshake, request."""
    find(job.client).make()  # imports
    gc.collect()  # what they left, else it is collected amid some clients' first request
    with Stopwatch() as watch:
        adapter = _opened(job)
        adapter.run(job.load)
    cold = watch.sample([])
    warm = percentile(sorted(adapter.run(job.load).latencies[0] for _ in range(50)), 0.5)
    adapter.close()
    return {"cold": cold.seconds * 1e3, "cpu": cold.cpu * 1e3, "warm": warm * 1e3}


def _begin(job: Job) -> Figures:
    adapter: Any = _warmed(job)
    (url,) = job.load.urls
    times = [adapter.begin(url, job.load) for _ in range(_BEGINNINGS if job.at <= MIB else 1)]
    adapter.close()
    return {"first": percentile(sorted(times), 0.5) * 1e3}


def _memory(job: Job) -> Figures:
    from benchmarks.workloads.resident_memory import resident

    adapters = [_warmed(job)]  # the first brings what all share
    before = resident()
    adapters += [_warmed(job) for _ in range(job.at)]
    grown = resident() - before
    for adapter in adapters:
        adapter.close()
    return {"connection": grown / job.at / 1024}


def _streams(job: Job) -> Figures:
    from benchmarks.workloads.resident_memory import Peak, resident

    adapter = _warmed(job)
    before = resident()
    with Peak() as peak:
        sample = adapter.run(job.load)
    adapter.close()
    if sample.seconds > 2 * min(sample.latencies):  # some waited until others had ended
        raise AssertionError(f"{job.load.callers} requests were not open at once")
    return {"streams": (peak.bytes - before) / job.load.callers * 1000 / 1024**2}


def _idle(job: Job) -> Figures:
    from benchmarks.workloads.idle_connections import idle

    return idle(job.load.urls, job.settings, job.seconds)


def _hop(job: Job) -> Figures:
    from benchmarks.workloads.actor_hops import HOPS

    return HOPS[job.client](job.seconds)


def _routing(job: Job) -> Figures:
    from benchmarks.workloads.routing_table import flat

    return flat(job.at)


def _paths(job: Job) -> Figures:
    from benchmarks.workloads.paths import transfers

    return transfers(job.at, job.client, job.settings, job.load, job.turn)


def _sessions(job: Job) -> Figures:
    from benchmarks.workloads.sessions import first_requests

    return first_requests(job.at, job.client, job.settings, job.load)


_DONE_BY: dict[str, Callable[[Job], Figures]] = {
    "rate": _rate,
    "where": _where,
    "down": _transfer,
    "h2": _rate,
    "h2-down": _transfer,
    "up": _transfer,
    "first": _first,
    "begin": _begin,
    "sessions": _sessions,
    "memory": _memory,
    "streams": _streams,
    "connections": _rate,
    "locust": _rate,
    "origins": _rate,
    "idle": _idle,
    "hop": _hop,
    "table": _routing,
    "paths": _paths,
}


def main() -> None:
    job = Job.decoded(sys.argv[1])
    if job.measure not in ("hop", "table", "idle") and find(job.client).patched:
        from gevent import monkey

        monkey.patch_all()
    print(json.dumps(run(job)))


if __name__ == "__main__":
    main()
