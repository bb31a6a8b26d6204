"""The instrumentation: one span for each request, and the metrics."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Self

import attrs

from quiver.adapters.opentelemetry import semantic_conventions as conventions
from quiver.optional_imports import extra
from quiver.telemetry import Measurements, Metadata

with extra("otel"):
    from opentelemetry import metrics, propagate, trace
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider

from quiver import telemetry
from quiver.adapters.opentelemetry.semantic_conventions import Attributes
from quiver.adapters.opentelemetry.suppression import suppressed
from quiver.adapters.shared.pool_counts import pool_counts
from quiver.request import Request
from quiver.streams.receive_buffer import ReceiveBuffer

__all__ = ["Instrumentation"]

NAME: Final = "quiver"
SCHEMA: Final = "https://opentelemetry.io/schemas/1.44.0"

_attached: Instrumentation | None = None


class Instrumentation:
    """Watches all requests and connections of this OS process between `attach` and `detach`.

    Args:
        tracer_provider: for the spans; None takes the global one.
        meter_provider: for the metrics; None takes the global one.
        propagator: puts the span's context into the headers; None takes the global one.
        query_strings: whether `url.full` has the query, without the parameters that are known to be
            secrets; else it ends with "?REDACTED".
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        propagator: TextMapPropagator | None = None,
        query_strings: bool = False,
    ) -> None:
        self.query_strings = query_strings
        self.tracer = trace.get_tracer(NAME, "", tracer_provider, SCHEMA)
        self.propagator = propagator or propagate.get_global_textmap()
        self.methods = conventions.known_methods(os.environ)
        self._meter_provider = meter_provider or metrics.get_meter_provider()
        meter = metrics.get_meter(NAME, "", self._meter_provider, SCHEMA)
        self.durations = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=conventions.REQUEST_BUCKETS,
        )
        self.active = meter.create_up_down_counter(
            "http.client.active_requests", "{request}", "Number of active HTTP requests."
        )
        self._lives = meter.create_histogram(
            "http.client.connection.duration",
            "s",
            "The duration of the successfully established outbound HTTP connections.",
            explicit_bucket_boundaries_advisory=conventions.CONNECTION_BUCKETS,
        )
        # A meter keeps the first callback of a name: it serves whoever is attached later on.
        meter.create_observable_up_down_counter(
            "http.client.open_connections",
            [self._open_connections],
            "{connection}",
            "Number of outbound HTTP connections that are currently active or idle on the client.",
        )

    def attach(self) -> Self:
        """Begin. Raises ValueError when another one observes requests."""
        global _attached
        telemetry.observe(self._begin)
        telemetry.attach(NAME_OF_LISTENER, ["connection.stop", "connection.exception"], self._over)
        _attached = self
        return self

    def detach(self) -> None:
        """End. Spans that are open are ended when their requests are."""
        global _attached
        if telemetry.unobserve(self._begin):
            telemetry.detach(NAME_OF_LISTENER)
            _attached = None

    def __enter__(self) -> Self:
        return self.attach()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.detach()

    def _begin(self, origin: str, request: Request) -> RequestSpan | None:
        return None if suppressed() else RequestSpan(self, origin, request)

    def _over(self, event: str, measurements: Measurements, metadata: Metadata) -> None:
        del event
        if metadata["established"]:
            version = metadata["http_version"]
            attributes = conventions.of_connection(metadata["origin"], version)
            self._lives.record(measurements["duration"], attributes)

    def _open_connections(self, options: CallbackOptions) -> Iterable[Observation]:
        if _attached is None or _attached._meter_provider is not self._meter_provider:
            return []
        counts = Counter(
            (pool.origin, pool.http_version, "active" if connection.active else "idle")
            for pool in pool_counts(min(1.0, options.timeout_millis / 1000))
            for connection in pool.connections
            if connection.state != "connecting"
        )
        return [
            Observation(
                count,
                {**conventions.of_connection(origin, version), "http.connection.state": state},
            )
            for (origin, version, state), count in counts.items()
        ]


NAME_OF_LISTENER: Final = "quiver.adapters.opentelemetry"


class RequestSpan:
    """One request: a `quiver.telemetry.Observation` that keeps a span."""

    def __init__(self, owner: Instrumentation, origin: str, request: Request) -> None:
        self._owner = owner
        self._started = time.monotonic()
        self._channel: ReceiveBuffer[Any] | None = None
        self._attributes: Attributes = conventions.of_request(origin, request, owner.methods)
        self._active = {
            key: self._attributes[key]
            for key in ("http.request.method", "server.address", "server.port", "url.scheme")
        }
        self._span = owner.tracer.start_span(
            conventions.span_name(self._attributes),
            kind=SpanKind.CLIENT,
            attributes={
                **self._attributes,
                **conventions.of_span(origin, request, self._attributes, query=owner.query_strings),
            },
        )
        self._context = trace.set_span_in_context(self._span)
        self.request = self._carrying(request)
        owner.active.add(1, self._active)

    def _carrying(self, request: Request) -> Request:
        """The request with the span's context in its headers, in place of older ones there."""
        carrier: dict[str, str] = {}
        self._owner.propagator.inject(carrier, self._context)
        if not carrier:
            return request
        new = {name.lower() for name in carrier}
        kept = [pair for pair in request.headers if pair[0] not in new]
        return attrs.evolve(request, headers=[*kept, *carrier.items()])

    def answered(self, answer: object) -> None:
        status: int | None = getattr(answer, "status", None)
        if status is None:  # a channel has none yet, and is held by its reader alone
            self._channel = getattr(answer, "receive_buffer", None)
            return
        version = getattr(answer, "http_version", None)
        if version is not None:
            self._attributes[conventions.VERSION] = conventions.version_of(version)
            self._span.set_attribute(conventions.VERSION, conventions.version_of(version))
        self._attributes["http.response.status_code"] = status
        self._span.set_attribute("http.response.status_code", status)
        if status >= 400:
            self._fail(str(status), None)

    def ended(self, error: BaseException | None) -> None:
        if self._channel is not None and self._channel.response is not None:
            self.answered(self._channel.response)
        if error is not None:
            self._fail(conventions.error_type(error), str(error))
            self._span.record_exception(error)
        self._owner.active.add(-1, self._active)
        duration = time.monotonic() - self._started
        self._owner.durations.record(duration, self._attributes, self._context)
        self._span.end()

    def _fail(self, kind: str, description: str | None) -> None:
        self._attributes["error.type"] = kind
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR, description))
