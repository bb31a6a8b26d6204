"""Prometheus: a collector that tells of this OS process's pools at every scrape.

    from quiver.adapters.prometheus import PoolCollector

    PoolCollector().attach()  # to the default registry

===============================  ===========================  =====================================
quiver_pool_connections          origin, state                connecting, connected or draining
quiver_pool_protocol             origin, protocol             pools, by what they speak
quiver_pool_streams              origin, state                slots: active (lent) or idle
quiver_pool_waiting              origin                       callers that wait for a slot
quiver_replies_total             origin, outcome              "2xx" ... "5xx" by status, "channel",
                                                              or the error's name
quiver_reply_duration_seconds    origin                       histogram: from the ask to the reply
===============================  ===========================  =====================================

Pools are asked when the scrape comes; replies are counted from `attach` on. A streamed response
counts when its head is there. Pools of one origin, as of several clients, are added up.
"""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Self

from quiver.optional_imports import extra
from quiver.telemetry import Measurements, Metadata

with extra("prometheus"):
    from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
    from prometheus_client.core import GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector

from quiver import telemetry
from quiver.adapters.shared.pool_counts import PoolCounts, pool_counts

__all__ = ["PoolCollector"]

CONNECTION_STATES: Final = ("connecting", "connected", "suspended", "draining")


class PoolCollector(Collector):
    """Attach it to a registry; one registry takes one."""

    def __init__(self) -> None:
        self._registry: CollectorRegistry | None = None
        self._listener = f"{__name__}-{id(self)}"
        self._replies = Counter(
            "quiver_replies",
            "Replies to callers, by status class or error.",
            ["origin", "outcome"],
            registry=None,
        )
        self._durations = Histogram(
            "quiver_reply_duration_seconds",
            "Seconds from the ask to the reply.",
            ["origin"],
            registry=None,
        )

    def attach(self, registry: CollectorRegistry = REGISTRY) -> Self:
        """Count from now on. Raises ValueError when the registry has such a collector already."""
        registry.register(self)
        self._registry = registry
        telemetry.attach(self._listener, ["request.stop", "request.exception"], self._replied)
        return self

    def detach(self) -> None:
        """Take it out of its registry. Does nothing when it is in none."""
        registry, self._registry = self._registry, None
        if registry is not None:
            telemetry.detach(self._listener)
            registry.unregister(self)

    def describe(self) -> Iterable[Metric]:
        """The names, so that no pool is asked before the first scrape."""
        return self._metrics([])

    def collect(self) -> Iterable[Metric]:
        """What Prometheus asks for at each scrape."""
        return self._metrics(list(pool_counts()))

    def _metrics(self, pools: list[PoolCounts]) -> Iterator[Metric]:
        yield _gauge("connections", "Connections, by state.", "state", _connections(pools))
        spoken = Counts[tuple[str, ...]]()
        for pool in pools:
            if pool.http_version is not None:  # else no handshake has said it
                spoken[pool.origin, pool.http_version] += 1
        yield _gauge("protocol", "Pools, by what they speak.", "protocol", spoken)
        yield _gauge("streams", "Stream slots, lent (active) or free.", "state", _streams(pools))
        waiting = Counts[tuple[str, ...]]()
        for pool in pools:
            waiting[(pool.origin,)] += pool.stats.queued
        yield _gauge("waiting", "Callers that wait for a stream slot.", None, waiting)
        yield from self._replies.collect()
        yield from self._durations.collect()

    def _replied(self, event: str, measurements: Measurements, metadata: Metadata) -> None:
        del event
        origin = metadata["origin"]
        self._replies.labels(origin, _outcome(metadata)).inc()
        self._durations.labels(origin).observe(measurements["duration"])


def _outcome(metadata: Metadata) -> str:
    if "error" in metadata:
        return type(metadata["error"]).__name__
    status = metadata["status"]
    return "channel" if status is None else f"{status // 100}xx"


def _connections(pools: list[PoolCounts]) -> Counts[tuple[str, ...]]:
    counts = Counts[tuple[str, ...]]()
    for pool in pools:
        for state in CONNECTION_STATES:
            counts[pool.origin, state] += 0
        for connection in pool.connections:
            counts[pool.origin, connection.state] += 1
    return counts


def _streams(pools: list[PoolCounts]) -> Counts[tuple[str, ...]]:
    counts = Counts[tuple[str, ...]]()
    for pool in pools:
        counts[pool.origin, "active"] += pool.stats.active
        counts[pool.origin, "idle"] += pool.stats.idle
    return counts


def _gauge(
    name: str, says: str, label: str | None, counts: Mapping[tuple[str, ...], int]
) -> GaugeMetricFamily:
    labels = ["origin", *filter(None, [label])]
    family = GaugeMetricFamily(f"quiver_pool_{name}", says, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family
