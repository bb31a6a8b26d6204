"""Requests that are asked where instrumentation is suppressed are left as they are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import opentelemetry.context
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

import quiver
from quiver.adapters.opentelemetry import Instrumentation, suppression
from quiver.testing import Authority, Origin
from tests.support.opentelemetry_sdk import Collected, attributes


@pytest.fixture(scope="module")
def origin(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


@contextmanager
def marked(key: str) -> Iterator[None]:
    token = opentelemetry.context.attach(opentelemetry.context.set_value(key, True))
    try:
        yield
    finally:
        opentelemetry.context.detach(token)


@pytest.mark.parametrize("name", suppression.PRIVATE_KEYS)
def test_the_private_names_are_there(name: str) -> None:
    """A canary: a release that renames one would have exports exported, without end."""
    key = getattr(opentelemetry.context, name)
    assert isinstance(key, str)
    assert key in suppression.KEYS


def test_the_sdk_marks_its_exports_by_one_of_them() -> None:
    """A canary, too: what an exporter sees while it exports."""
    seen: list[bool] = []

    class Exporter(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            del spans
            seen.append(suppression.suppressed())
            return SpanExportResult.SUCCESS

    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(Exporter()))
    with tracers.get_tracer("test").start_as_current_span("one"):
        pass
    tracers.force_flush()
    tracers.shutdown()
    assert seen == [True]
    assert not suppression.suppressed()


@pytest.mark.usefixtures("instrumented")
@pytest.mark.parametrize("key", suppression.KEYS, ids=["all", "http", "plain"])
def test_it_has_no_span_no_metric_and_no_header(
    key: str, sdk: Collected, client: quiver.Client, origin: Origin
) -> None:
    with sdk.tracers.get_tracer("test").start_as_current_span("caller"):
        with marked(key):
            names = [name for name, _ in client.get(origin.url + "/headers").json()]
            with client.stream("GET", origin.url + "/bytes/10") as response:
                assert len(response.read()) == 10
        assert "traceparent" not in names
        assert [span.name for span in sdk.spans] == []
        assert sdk.points("http.client.request.duration") == []
        client.get(origin.url + "/ok")
    assert [span.name for span in sdk.spans] == ["GET", "caller"]


@pytest.mark.usefixtures("instrumented")
def test_in_a_task_beside_others(sdk: Collected, client: quiver.Client, origin: Origin) -> None:
    async def ask(path: str) -> None:
        await client.pool(origin.url).ask(quiver.Request("GET", path), block=False)

    async def unseen() -> None:
        with marked(suppression.KEYS[0]):
            await ask("/delay/0.05")

    async def both() -> None:
        await asyncio.gather(unseen(), ask("/ok"))

    asyncio.run(both())
    assert attributes(sdk.span())["url.full"] == origin.url + "/ok"


def test_an_exporter_over_quiver_exports_no_exports(client: quiver.Client, origin: Origin) -> None:
    exported: list[list[str]] = []

    class Exporter(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            exported.append([attributes(span)["url.full"] for span in spans])
            assert client.post(origin.url + "/echo", body=b"spans").status == 200
            return SpanExportResult.SUCCESS

    tracers = TracerProvider()
    tracers.add_span_processor(BatchSpanProcessor(Exporter()))
    with Instrumentation(tracer_provider=tracers):
        client.get(origin.url + "/ok")
        for _ in range(3):  # each would export the export of the one before
            assert tracers.force_flush()
    tracers.shutdown()
    assert exported == [[origin.url + "/ok"]]
