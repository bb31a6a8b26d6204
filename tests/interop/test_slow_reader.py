"""A slow reader beside a thousand small requests on the same connection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quiver.testing import Authority
from tests.support.programs.task_memory import MIB, cost_of
from tests.support.servers.independent import SERVERS, StaticServer

REQUESTS = 1000  # without the slow reader, and as many beside it


@pytest.fixture(scope="module", params=SERVERS, ids=lambda kind: str(kind.binary))
def server(request: pytest.FixtureRequest, authority: Authority) -> Iterator[StaticServer]:
    with request.param(authority) as started:
        yield started


@pytest.mark.long
def test_slow_reader_beside_small_requests(server: StaticServer) -> None:
    server.add_file("huge", 100 * MIB)
    cost = cost_of("slow_reader", server.url, server.cafile, "/huge", str(REQUESTS))
    without, beside, taken = cost.value
    assert taken > 0
    assert cost.growth < 16 * MIB, f"grew by {cost.growth / MIB:.1f} MiB"
    assert beside <= 2 * without, (
        f"best medians: {without:.2f} ms without, {beside:.2f} ms beside it"
    )
