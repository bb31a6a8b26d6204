from __future__ import annotations

import pytest

from benchmarks.clients.registry import CLIENTS, Client, find
from benchmarks.workloads.jobs import Job, percentile, rates, run
from benchmarks.workloads.load import Load, Sample, Settings, check
from quiver.testing import Authority, Origin
from tests.support.servers.http2_origin import Http2Origin


def test_a_job_travels_as_json() -> None:
    load = Load(("https://localhost:1/small",), callers=3, seconds=0.5, upload=7)
    job = Job("rate", "bare", 3, Settings("ca.pem", callers=3), load, load.briefly(0.0))
    assert Job.decoded(job.encoded()) == job


@pytest.mark.parametrize(
    ("part", "value"), [(0.5, 50), (0.99, 99), (0.999, 100), (0.001, 1), (1.0, 100)]
)
def test_percentiles_are_of_the_nearest_rank(part: float, value: int) -> None:
    assert percentile(list(range(1, 101)), part) == value
    assert percentile([7.0], part) == 7.0


def test_rates_of_a_sample() -> None:
    figures = rates(Sample([0.004, 0.002, 0.002, 0.002], seconds=2.0, cpu=0.001))
    assert (figures["rate"], figures["cpu"]) == (2.0, 250.0)
    assert (figures["p50"], figures["p99"]) == (2.0, 4.0)


def test_another_http_version_is_an_error() -> None:
    with pytest.raises(AssertionError, match="20, not 30"):
        check(Load(()), 20, 30, 200, 2)


@pytest.mark.parametrize(("status", "size"), [(503, 2), (200, 1)])
def test_another_response_is_an_error(status: int, size: int) -> None:
    with pytest.raises(AssertionError, match=f"status {status}, {size} bytes"):
        check(Load(()), 30, 30, status, size)


def test_who_is_not_installed_says_so() -> None:
    client = Client("other", "nowhere:Nothing", "threads", "no_such_package")
    assert client.absence() == "no_such_package not installed"
    assert find("bare").absence() is None


def test_an_unknown_client_is_refused() -> None:
    with pytest.raises(LookupError, match="nobody is no client; there are quiver-threads"):
        find("nobody")


@pytest.mark.parametrize(
    "client", [each for each in CLIENTS if not each.patched], ids=lambda each: each.name
)
def test_each_client_that_is_here_counts_every_request(client: Client, origin: Origin) -> None:
    if client.absence() or client.over_tcp:
        pytest.skip(client.absence() or "the origin speaks HTTP/3 alone")
    adapter = client.make()(Settings(origin.cafile, callers=4))
    try:
        sample = adapter.run(Load((f"{origin.url}/ok",), callers=4, seconds=0.05))
        wrong = Load((f"{origin.url}/status/503",), callers=1, expected=0)
        with pytest.raises(AssertionError, match="status 503"):
            adapter.run(wrong)
    finally:
        adapter.close()
    assert len(sample.latencies) >= 4
    assert all(0 < latency <= sample.seconds for latency in sample.latencies)


@pytest.mark.parametrize("name", ["quiver-h2-threads", "niquests-h2-threads", "httpx-http2"])
def test_each_client_over_http_2_counts_every_request(name: str, authority: Authority) -> None:
    client = find(name)
    if client.absence():
        pytest.skip(client.absence() or "")
    with Http2Origin(authority) as server:
        adapter = client.make()(Settings(server.cafile))
        try:
            sample = adapter.run(Load((f"{server.url}/ok",), seconds=0.05))
        finally:
            adapter.close()
    assert len(sample.latencies) == server.answered["/ok"] >= 1


def test_the_routing_table_is_measured_in_full() -> None:
    figures = run(Job("table", "RoutingTable", 1_000))
    assert set(figures) == {"submit", "assign", "cancel", "sweep"}
    assert all(0 < value < 1_000 for value in figures.values())
