"""Fixtures of the adapters' tests: OpenTelemetry's SDK attached to Quiver."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quiver import telemetry
from quiver.adapters.opentelemetry import Instrumentation
from tests.support.opentelemetry_sdk import Collected


@pytest.fixture
def sdk() -> Collected:
    return Collected()


@pytest.fixture
def instrumented(sdk: Collected) -> Iterator[Instrumentation]:
    made = Instrumentation(tracer_provider=sdk.tracers, meter_provider=sdk.meters)
    with made:
        yield made
    assert telemetry.observer is None
    assert not telemetry.listening
