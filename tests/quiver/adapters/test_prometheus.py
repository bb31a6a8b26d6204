"""What a scrape of a live program's pools says."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

import quiver
from quiver import telemetry
from quiver.adapters.prometheus import PoolCollector
from quiver.testing import Authority, Origin
from tests.support.waiting import until

Labels = tuple[tuple[str, str], ...]


@pytest.fixture(scope="module")
def origin(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


@pytest.fixture
def registry() -> Iterator[CollectorRegistry]:
    made = CollectorRegistry()
    collector = PoolCollector().attach(made)
    yield made
    collector.detach()
    assert generate_latest(made) == b""
    assert not telemetry.listening


def read(text: str) -> dict[str, dict[Labels, float]]:
    """A scrape as samples by name and labels."""
    read: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            read.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return read


def sample(registry: CollectorRegistry, name: str, origin: Origin, **labels: str) -> float | None:
    key = tuple(sorted({"origin": origin.url, **labels}.items()))
    return read(generate_latest(registry).decode()).get(name, {}).get(key)


def client_of(origin: Origin, **options: Any) -> quiver.Client:
    return quiver.Client(pools={"default": {"cafile": origin.cafile, **options}})


def test_a_scrape_over_http(registry: CollectorRegistry, origin: Origin) -> None:
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        with client_of(origin, max_connections=1) as client:
            client.get(origin.url + "/ok")
            # The answer may be here before the pool has heard that its stream is free.
            until(lambda: not client.stats(origin.url).active)
            url = f"http://127.0.0.1:{server.server_port}/metrics"
            with urllib.request.urlopen(url, timeout=5.0) as answer:
                text = answer.read().decode()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    where = ("origin", origin.url)
    scraped = {  # other tests' pools may not have ended yet
        name: {labels: value for labels, value in samples.items() if where in labels}
        for name, samples in read(text).items()
    }
    assert scraped["quiver_pool_connections"] == {
        (where, ("state", "connecting")): 0,
        (where, ("state", "connected")): 1,
        (where, ("state", "suspended")): 0,
        (where, ("state", "draining")): 0,
    }
    assert scraped["quiver_pool_protocol"] == {(where, ("protocol", "HTTP/3")): 1}
    assert scraped["quiver_pool_streams"] == {
        (where, ("state", "active")): 0,
        (where, ("state", "idle")): 100,
    }
    assert scraped["quiver_pool_waiting"] == {(where,): 0}
    assert scraped["quiver_replies_total"] == {(where, ("outcome", "2xx")): 1}
    assert scraped["quiver_reply_duration_seconds_count"] == {(where,): 1}


def test_streams_that_are_lent_and_callers_that_wait(
    registry: CollectorRegistry, origin: Origin
) -> None:
    options = {"max_connections": 1, "max_streams_per_connection": 2}
    with client_of(origin, **options) as client:
        pool: Any = client.pool(origin.url)
        replies = [pool.ask(quiver.Request("GET", "/hang?id=n"), block=False) for _ in range(5)]
        until(lambda: origin.seen("n") == 2)
        assert sample(registry, "quiver_pool_streams", origin, state="active") == 2
        assert sample(registry, "quiver_pool_streams", origin, state="idle") == 0
        assert sample(registry, "quiver_pool_waiting", origin) == 3
        for reply in replies:
            reply.cancel()
        until(lambda: sample(registry, "quiver_pool_waiting", origin) == 0)
        cancelled = {"outcome": "RequestCancelled"}
        until(lambda: sample(registry, "quiver_replies_total", origin, **cancelled) == 5)


def test_replies_by_outcome(registry: CollectorRegistry, origin: Origin) -> None:
    with client_of(origin) as client:
        for path in ("/ok", "/ok", "/status/404", "/status/503"):
            client.get(origin.url + path)
        with pytest.raises(quiver.StreamReset):
            client.get(origin.url + "/reset/0x102")
        with client.open_channel(origin.url + "/ok", method="GET") as channel:
            channel.finish()
            list(channel)
    wanted = {"2xx": 2, "4xx": 1, "5xx": 1, "StreamReset": 1, "channel": 1}
    for outcome, count in wanted.items():

        def counted(outcome: str = outcome) -> float | None:
            return sample(registry, "quiver_replies_total", origin, outcome=outcome)

        until(lambda: counted() == count)  # noqa: B023
    until(lambda: sample(registry, "quiver_reply_duration_seconds_count", origin) == 6)


def test_a_connection_that_drains(registry: CollectorRegistry, origin: Origin) -> None:
    with client_of(origin, max_connections=1) as client:
        pool: Any = client.pool(origin.url)
        reply = pool.ask(quiver.Request("GET", "/hang?id=d"), block=False)
        until(lambda: origin.seen("d"))
        origin.goaway()
        until(lambda: sample(registry, "quiver_pool_connections", origin, state="draining") == 1)
        assert sample(registry, "quiver_pool_connections", origin, state="connected") == 0
        reply.cancel()


def test_pools_of_one_origin_are_added_up(registry: CollectorRegistry, origin: Origin) -> None:
    with client_of(origin, max_connections=1) as one, client_of(origin, max_connections=1) as other:
        for client in (one, other):
            client.get(origin.url + "/ok")
        assert sample(registry, "quiver_pool_connections", origin, state="connected") == 2
    until(lambda: sample(registry, "quiver_pool_connections", origin, state="connected") is None)


def test_a_registry_takes_one(registry: CollectorRegistry) -> None:
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        PoolCollector().attach(registry)
