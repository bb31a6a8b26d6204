"""Spans as the real SDK exports them, of requests to a live origin."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.semconv.attributes import (
    error_attributes,
    http_attributes,
    network_attributes,
    server_attributes,
    url_attributes,
)
from opentelemetry.trace import SpanKind, StatusCode

import quiver
from quiver import telemetry
from quiver.adapters.opentelemetry import Instrumentation
from quiver.testing import Authority, Origin
from tests.support.opentelemetry_sdk import Collected, attributes
from tests.support.programs.runner import run_script
from tests.support.servers.http2_origin import Http2Origin
from tests.support.waiting import until


@pytest.fixture(scope="module")
def origin(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


pytestmark = pytest.mark.usefixtures("instrumented")


# spans ----------------------------------------------------------------------------------------


def test_the_span_of_a_response(sdk: Collected, client: quiver.Client, origin: Origin) -> None:
    client.get(origin.url + "/items/42?sig=abc&x=1#part")
    span = sdk.span()
    assert (span.name, span.kind) == ("GET", SpanKind.CLIENT)
    assert span.status.status_code is StatusCode.UNSET
    assert attributes(span) == {
        http_attributes.HTTP_REQUEST_METHOD: "GET",
        http_attributes.HTTP_RESPONSE_STATUS_CODE: 200,
        server_attributes.SERVER_ADDRESS: "localhost",
        server_attributes.SERVER_PORT: origin.port,
        network_attributes.NETWORK_PROTOCOL_NAME: "http",
        network_attributes.NETWORK_PROTOCOL_VERSION: "3",
        url_attributes.URL_SCHEME: "https",
        url_attributes.URL_FULL: f"{origin.url}/items/42?REDACTED",
    }


def test_the_span_of_a_response_over_http_2(sdk: Collected, authority: Authority) -> None:
    with Http2Origin(authority) as server:
        pool = quiver.HTTP2Pool.start(server.url, cafile=server.cafile)
        assert pool.ask(quiver.Request("GET", "/ok")).status == 200
        state = "http.connection.state"
        until(lambda: sdk.values("http.client.open_connections", state) == {"idle": 1})
        (point,) = sdk.points("http.client.open_connections")
        with pytest.raises(quiver.StreamReset):
            pool.ask(quiver.Request("GET", "/reset"))
        pool.stop()
    answered, failed = (attributes(each) for each in sdk.spans)
    version = network_attributes.NETWORK_PROTOCOL_VERSION
    assert answered[version] == "2" == point.attributes[version]
    assert version not in failed, "nothing has told it"


@pytest.mark.parametrize("status", [404, 503])
def test_the_span_of_an_error_status(
    status: int, sdk: Collected, client: quiver.Client, origin: Origin
) -> None:
    assert client.get(f"{origin.url}/status/{status}").status == status
    span = sdk.span()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
    assert attributes(span)[error_attributes.ERROR_TYPE] == str(status)
    assert attributes(span)[http_attributes.HTTP_RESPONSE_STATUS_CODE] == status
    assert span.events == ()


def test_the_span_of_an_error(sdk: Collected, client: quiver.Client, origin: Origin) -> None:
    with pytest.raises(quiver.RequestTimeout) as caught:
        client.get(origin.url + "/hang", timeout=0.2)
    span = sdk.span()
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == str(caught.value)
    assert attributes(span)[error_attributes.ERROR_TYPE] == "quiver.errors.RequestTimeout"
    assert http_attributes.HTTP_RESPONSE_STATUS_CODE not in attributes(span)
    (told,) = span.events
    assert (told.name, (told.attributes or {})["exception.type"]) == (
        "exception",
        "quiver.errors.RequestTimeout",
    )


def test_an_unusual_method(sdk: Collected, client: quiver.Client, origin: Origin) -> None:
    client.request("BREW", origin.url + "/ok")
    span = sdk.span()
    assert span.name == "HTTP"
    assert attributes(span)[http_attributes.HTTP_REQUEST_METHOD] == "_OTHER"
    assert attributes(span)[http_attributes.HTTP_REQUEST_METHOD_ORIGINAL] == "BREW"


def test_a_request_that_is_not_sent_has_no_span(sdk: Collected, client: quiver.Client) -> None:
    with pytest.raises(quiver.InvalidRequest):
        client.get("https://localhost/", headers={"connection": "close"})
    assert sdk.spans == ()


# the caller's context -------------------------------------------------------------------------


def test_the_server_sees_the_span(sdk: Collected, client: quiver.Client, origin: Origin) -> None:
    stale = "00-" + "1" * 32 + "-" + "1" * 16 + "-01"
    given = {"x-mine": "kept", "Traceparent": stale}
    with sdk.tracers.get_tracer("test").start_as_current_span("caller") as caller:
        seen = client.get(origin.url + "/headers", headers=given).json()
    inner, outer = sdk.spans
    assert (outer.name, inner.parent) == ("caller", caller.get_span_context())
    assert inner.context is not None
    (context,) = [value for name, value in seen if name == "traceparent"]
    assert context.startswith(f"00-{inner.context.trace_id:032x}-{inner.context.span_id:016x}-")
    assert ["x-mine", "kept"] in seen


def test_each_thread_has_its_own_context(
    sdk: Collected, client: quiver.Client, origin: Origin
) -> None:
    tracer = sdk.tracers.get_tracer("test")

    def ask(number: int) -> None:
        with tracer.start_as_current_span(f"caller {number}"):
            client.get(f"{origin.url}/items/{number}")

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = {span.context.span_id: span.name for span in sdk.spans if span.context}
    asked = [span for span in sdk.spans if span.name == "GET"]
    assert len(asked) == 8
    for span in asked:
        number = attributes(span)["url.full"].rpartition("/")[2]
        assert span.parent is not None
        assert names[span.parent.span_id] == f"caller {number}"


def test_a_propagator_of_its_own(
    sdk: Collected, instrumented: Instrumentation, client: quiver.Client, origin: Origin
) -> None:
    instrumented.detach()
    with Instrumentation(tracer_provider=sdk.tracers, propagator=W3CBaggagePropagator()):
        names = [name for name, _ in client.get(origin.url + "/headers").json()]
    assert "traceparent" not in names
    assert sdk.span().name == "GET"


def test_an_ask_that_is_awaited(sdk: Collected, client: quiver.Client, origin: Origin) -> None:
    async def asked() -> list[Any]:
        pool: Any = client.pool(origin.url)
        with sdk.tracers.get_tracer("test").start_as_current_span("task"):
            response = await pool.ask(quiver.Request("GET", "/headers"), block=False)
        return list(response.json())

    seen = dict(asyncio.run(asked()))
    until(lambda: len(sdk.spans) == 2)
    spans = {span.name: span for span in sdk.spans}
    assert spans["GET"].parent == spans["task"].context
    assert spans["GET"].context is not None
    assert f"{spans['GET'].context.span_id:016x}" in seen["traceparent"]


def test_an_ask_that_is_cancelled(sdk: Collected, client: quiver.Client, origin: Origin) -> None:
    pool: Any = client.pool(origin.url)
    reply = pool.ask(quiver.Request("GET", "/hang"), block=False)
    reply.cancel()
    assert attributes(sdk.span())[error_attributes.ERROR_TYPE] == "quiver.errors.RequestCancelled"


def test_an_error_of_pythons_own_is_told_without_a_module(
    sdk: Collected, client: quiver.Client, origin: Origin
) -> None:
    def body() -> Iterator[bytes]:
        yield b"some"
        raise KeyError("on purpose")

    with pytest.raises(KeyError):
        client.post(origin.url + "/echo", body=body())
    span = sdk.span()
    (told,) = span.events
    kind = attributes(span)[error_attributes.ERROR_TYPE]
    assert kind == (told.attributes or {})["exception.type"] == "KeyError"


# streams and channels -------------------------------------------------------------------------


def test_a_streamed_response_ends_with_its_body(
    sdk: Collected, client: quiver.Client, origin: Origin
) -> None:
    response = client.stream("GET", origin.url + "/bytes/100000")
    assert sdk.spans == ()
    assert sdk.values("http.client.active_requests", "http.request.method") == {"GET": 1}
    assert len(response.read(1000)) == 1000
    assert sdk.spans == ()
    assert len(response.read()) == 99_000
    assert attributes(sdk.span())[http_attributes.HTTP_RESPONSE_STATUS_CODE] == 200
    response.close()
    assert len(sdk.spans) == 1
    assert sdk.values("http.client.active_requests", "http.request.method") == {"GET": 0}


def test_a_streamed_response_that_is_given_up(
    sdk: Collected, client: quiver.Client, origin: Origin
) -> None:
    with client.stream("GET", origin.url + "/stall") as response:
        assert response.read(4) == b"half"
        assert sdk.spans == ()
    assert sdk.span().status.status_code is StatusCode.UNSET


def test_a_streamed_response_that_nobody_holds(
    sdk: Collected, client: quiver.Client, origin: Origin
) -> None:
    response = client.stream("GET", origin.url + "/stall")
    assert response.status == 200
    del response
    gc.collect()
    assert sdk.span().status.status_code is StatusCode.UNSET


def test_a_streamed_response_that_breaks_off(
    sdk: Collected, client: quiver.Client, origin: Origin
) -> None:
    response = client.stream("GET", origin.url + "/stall")
    assert response.read(4) == b"half"
    origin.disconnect(0x102)
    with pytest.raises(quiver.ConnectionLost):
        response.read()
    told = attributes(sdk.span())
    assert told[error_attributes.ERROR_TYPE] == "quiver.errors.ConnectionLost"
    assert told[http_attributes.HTTP_RESPONSE_STATUS_CODE] == 200


def test_a_stream_that_is_read_before_it_is_watched(
    sdk: Collected, client: quiver.Client, origin: Origin
) -> None:
    """Its reader may be quicker than the loop, which tells the observer afterwards."""
    pool: Any = client.pool(origin.url)
    for number in range(50):
        reply = pool.ask(quiver.StreamRequest("GET", f"/items/{number}"), block=False)
        assert reply.get(timeout=5.0).read()
    until(lambda: len(sdk.spans) == 50)


def test_the_span_of_a_channel(sdk: Collected, client: quiver.Client, origin: Origin) -> None:
    with client.open_channel(origin.url + "/ok", method="GET") as channel:
        channel.finish()
        events = list(channel)
        assert isinstance(events[-1], quiver.Closed)
        about = attributes(sdk.span())
        assert about["url.full"] == origin.url + "/ok"
        assert about["http.response.status_code"] == channel.status == 200
        assert about["network.protocol.version"] == "3"
    assert len(sdk.spans) == 1


def test_the_span_of_a_channel_that_is_refused(
    sdk: Collected, client: quiver.Client, origin: Origin
) -> None:
    with client.open_channel(origin.url + "/status/404", method="GET") as channel:
        assert channel.status is None or channel.status == 404
        channel.finish()
        assert isinstance(list(channel)[-1], quiver.Closed)
    about = attributes(sdk.span())
    assert (about["http.response.status_code"], about["error.type"]) == (404, "404")


def test_a_channel_that_nobody_holds_is_closed_while_it_is_watched(
    sdk: Collected, client: quiver.Client, origin: Origin
) -> None:
    channel = client.open_channel(origin.url + "/hang", method="GET")
    gc.disable()
    try:
        del channel
        until(lambda: len(sdk.spans) == 1, what="its span is over")
    finally:
        gc.enable()
    assert "http.response.status_code" not in attributes(sdk.span())


# on and off -----------------------------------------------------------------------------------


def test_there_is_one_at_a_time(instrumented: Instrumentation) -> None:
    with pytest.raises(ValueError, match="observes already"):
        Instrumentation().attach()
    assert telemetry.observer is not None


def test_detached_and_attached_again(
    sdk: Collected, instrumented: Instrumentation, client: quiver.Client, origin: Origin
) -> None:
    with client.stream("GET", origin.url + "/bytes/10") as begun:
        instrumented.detach()
        names = [name for name, _ in client.get(origin.url + "/headers").json()]
        assert "traceparent" not in names
        assert begun.read()
    assert attributes(sdk.span())["url.full"] == origin.url + "/bytes/10"
    assert sdk.points("http.client.open_connections") == []
    with Instrumentation(tracer_provider=sdk.tracers, meter_provider=sdk.meters):
        client.get(origin.url + "/ok")
        assert len(sdk.spans) == 2
        assert sdk.points("http.client.open_connections")
    instrumented.detach()  # does nothing any more
    instrumented.attach()


def test_requests_not_sampled_still_carry_the_context(
    sdk: Collected, client: quiver.Client, origin: Origin
) -> None:
    context = trace.SpanContext(7, 8, is_remote=True, trace_flags=trace.TraceFlags(0))
    with trace.use_span(trace.NonRecordingSpan(context)):
        seen = dict(client.get(origin.url + "/headers").json())
    assert seen["traceparent"].startswith(f"00-{7:032x}-")
    assert seen["traceparent"].endswith("-00")
    assert sdk.spans == ()


def test_a_streamed_body_travels_as_it_was(
    sdk: Collected, client: quiver.Client, origin: Origin
) -> None:
    pieces = (b"x" * 1000 for _ in range(5))
    response = client.post(origin.url + "/echo", body=pieces, trailers={"x-sum": "1"})
    assert len(response.body) == 5000
    assert sdk.span().name == "POST"


@pytest.mark.long
def test_greenlets_of_a_patched_program(origin: Origin) -> None:
    """The pool's actors are greenlets beside the callers': each of these has its own context."""
    said = run_script(GREENLETS, origin.url, origin.cafile)
    assert said.split() == ["20", "True", "20", "connected"]


GREENLETS = """
    from gevent import monkey
    monkey.patch_all()
    import sys
    from gevent.pool import Pool
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    import quiver
    from quiver.adapters.opentelemetry import Instrumentation
    from quiver.adapters.prometheus import PoolCollector

    exporter, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = tracers.get_tracer("test")
    origin, cafile = sys.argv[1:]
    options = {"cafile": cafile, "max_connections": 1}

    def ask(number):
        with tracer.start_as_current_span(f"/items/{number}"):
            with client.stream("GET", f"{origin}/items/{number}") as response:
                return response.read()

    with quiver.Client(pools={"default": options}) as client:
        with Instrumentation(tracer_provider=tracers):
            print(len(Pool(10).map(ask, range(20))))
            spans = {span.context.span_id: span for span in exporter.get_finished_spans()}
            asked = [span for span in spans.values() if span.parent]
            print(all(
                span.attributes["url.full"] == origin + spans[span.parent.span_id].name
                for span in asked
            ), len(asked))
        for metric in PoolCollector().collect():
            for sample in metric.samples:
                if metric.name == "quiver_pool_connections" and sample.value:
                    print(sample.labels["state"])
"""
