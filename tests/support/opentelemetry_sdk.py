"""A real OpenTelemetry SDK that keeps in memory what it is told."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.support.waiting import until

__all__ = ["Collected", "attributes"]


class Collected:
    """A real SDK of the test's own, with everything kept in memory."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider(metric_readers=[self._reader])

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def span(self) -> ReadableSpan:
        """The one span that is there, or comes soon."""
        until(lambda: self.spans)
        (span,) = self.spans
        return span

    def points(self, name: str) -> list[Any]:
        """The points of one metric, as a reader gets them now."""
        collected = self._reader.get_metrics_data()
        return [
            point
            for resource in (collected.resource_metrics if collected else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def values(self, name: str, key: str) -> dict[Any, Any]:
        return {point.attributes[key]: point.value for point in self.points(name)}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})
