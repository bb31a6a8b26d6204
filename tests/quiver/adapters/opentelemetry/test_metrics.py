"""Metrics as the real SDK's reader gets them, of requests to a live origin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.semconv._incubating.metrics import http_metrics
from opentelemetry.semconv.attributes import error_attributes

import quiver
from quiver.adapters.opentelemetry import semantic_conventions as conventions
from quiver.testing import Authority, Origin
from tests.support.opentelemetry_sdk import Collected, attributes
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("instrumented")


@pytest.fixture(scope="module")
def origin(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


def test_durations(sdk: Collected, client: quiver.Client, origin: Origin) -> None:
    for path in ("/ok", "/ok", "/delay/0.15"):
        client.get(origin.url + path)
    with pytest.raises(quiver.StreamReset):
        client.post(origin.url + "/reset/0x102")
    common = conventions.of_connection(origin.url, "HTTP/3")
    points = sdk.points(http_metrics.HTTP_CLIENT_REQUEST_DURATION)
    by_method = {point.attributes["http.request.method"]: point for point in points}
    got, posted = by_method["GET"], by_method["POST"]
    assert dict(got.attributes) == {
        **common,
        "http.request.method": "GET",
        "http.response.status_code": 200,
    }
    assert got.explicit_bounds == conventions.REQUEST_BUCKETS
    assert (got.count, got.max >= 0.15, got.sum < 60) == (3, True, True)
    assert dict(posted.attributes) == {  # no answer has told which version of HTTP it was
        **conventions.of_origin(origin.url),
        "http.request.method": "POST",
        "error.type": "quiver.errors.StreamReset",
    }


def test_active_requests(sdk: Collected, client: quiver.Client, origin: Origin) -> None:
    pool: Any = client.pool(origin.url)
    replies = [pool.ask(quiver.Request("GET", "/hang"), block=False) for _ in range(3)]
    name = http_metrics.HTTP_CLIENT_ACTIVE_REQUESTS
    assert sdk.values(name, "http.request.method") == {"GET": 3}
    (point,) = sdk.points(name)
    assert dict(point.attributes) == {
        "http.request.method": "GET",
        "server.address": "localhost",
        "server.port": origin.port,
        "url.scheme": "https",
    }
    for reply in replies:
        reply.cancel()
    until(lambda: sdk.values(name, "http.request.method") == {"GET": 0})


def test_open_connections(sdk: Collected, origin: Origin) -> None:
    rule = {"cafile": origin.cafile, "max_connections": 1}
    client = quiver.Client(pools={"default": rule})
    name, state = http_metrics.HTTP_CLIENT_OPEN_CONNECTIONS, "http.connection.state"
    pool: Any = client.pool(origin.url)
    client.get(origin.url + "/ok")
    until(lambda: sdk.values(name, state) == {"idle": 1})
    reply = pool.ask(quiver.Request("GET", "/hang?id=open"), block=False)
    until(lambda: origin.seen("open"))
    until(lambda: sdk.values(name, state).get("active") == 1)
    (point,) = [each for each in sdk.points(name) if each.attributes[state] == "active"]
    assert dict(point.attributes) == {
        **conventions.of_connection(origin.url, "HTTP/3"),
        state: "active",
    }
    reply.cancel()
    client.close()
    until(lambda: not sdk.points(name))
    (life,) = sdk.points(http_metrics.HTTP_CLIENT_CONNECTION_DURATION)
    assert life.count == 1
    assert life.explicit_bounds == conventions.CONNECTION_BUCKETS


def test_a_connection_that_never_was(sdk: Collected, authority: Authority) -> None:
    with Origin(authority=authority) as gone:
        url, trusts = gone.url, {"cafile": gone.cafile}
    client = quiver.Client(pools={"default": trusts})
    with client, pytest.raises(quiver.ConnectionRefused):
        client.get(url + "/ok")
    assert attributes(sdk.span())[error_attributes.ERROR_TYPE] == "quiver.errors.ConnectionRefused"
    assert sdk.points(http_metrics.HTTP_CLIENT_CONNECTION_DURATION) == []
