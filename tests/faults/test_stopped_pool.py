"""A pool that its program stopped in order: the client's next request starts another."""

from __future__ import annotations

import quiver
from quiver.testing import Origin


def test_the_next_request_starts_a_new_pool(origin: Origin) -> None:
    with quiver.Client(pools={"default": {"cafile": origin.cafile}}) as client:
        for _ in range(3):
            first = client.pool(origin.url)
            assert client.get(origin.url + "/ok").status == 200
            first.stop()
            assert client.get(origin.url + "/ok").status == 200
            assert client.pool(origin.url) is not first
