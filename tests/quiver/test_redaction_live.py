"""Secrets of live requests: no record, span, metric, error or repr tells one, however they end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Final

import pytest
from prometheus_client import CollectorRegistry, generate_latest

import quiver
from quiver.actors import log
from quiver.adapters.opentelemetry import Instrumentation
from quiver.adapters.prometheus import PoolCollector
from quiver.testing import Answer, Authority, Close, LocalOrigin, Reset, Silence
from tests.support.opentelemetry_sdk import Collected
from tests.support.waiting import until

SECRET: Final = "s3cret"
GIVEN: Final = {"authorization": f"Bearer {SECRET}", "cookie": f"a={SECRET}"}
ANSWERED: Final = {"set-cookie": f"b={SECRET}", "location": f"/next?token={SECRET}"}
ENDS: Final = {
    "whole": Answer(302, ANSWERED, SECRET.encode()),
    "refused": Answer(401, ANSWERED, SECRET.encode()),
    "large": Answer(200, {**ANSWERED, "x-large": "x" * 5_000}),
    "reset": Reset(0x102),
    "closed": Close(0x102),
    "late": Silence(),
}
METRICS: Final = tuple(
    f"http.client.{name}"
    for name in (
        *("request.duration", "active_requests"),
        *("open_connections", "connection.duration"),
    )
)


@pytest.fixture(scope="module")
def place(authority: Authority) -> Iterator[LocalOrigin]:
    with LocalOrigin(authority=authority) as started:
        for name, end in ENDS.items():
            started.route(f"/{name}")(lambda asked, end=end: end)
        yield started


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("end", [*ENDS, "nowhere"])
def test_nothing_that_is_told_holds_one(
    end: str, place: LocalOrigin, caplog: pytest.LogCaptureFixture
) -> None:
    sdk, registry = Collected(), CollectorRegistry()
    collector = PoolCollector().attach(registry)
    url = "https://127.0.0.1:1" if end == "nowhere" else place.url
    rule = {"cafile": place.cafile, "max_header_size": 4_096}
    told: list[object] = []
    with (
        caplog.at_level(logging.DEBUG),
        Instrumentation(tracer_provider=sdk.tracers, meter_provider=sdk.meters),
        quiver.Client(pools={"default": rule}) as client,
    ):
        try:
            target = f"{url}/{end}?token={SECRET}"
            told.append(client.get(target, headers=GIVEN, timeout=0.5 if end == "late" else 20))
            assert end in {"whole", "refused"}
        except quiver.QuiverError as error:
            assert end not in {"whole", "refused"}
            told += chain_of(error)
        until(lambda: sdk.spans)
        told += [span.to_json() for span in sdk.spans]
        told += [point for name in METRICS for point in sdk.points(name)]
        told.append(generate_latest(registry).decode())
    collector.detach()
    log.flush(5.0)
    told += [logging.Formatter("%(name)s %(message)s").format(each) for each in caplog.records]
    assert any("quiver" in str(each) for each in told) and f"/{end}?" in str(told)
    assert [each for each in told if SECRET in f"{each} {each!r}"] == []
