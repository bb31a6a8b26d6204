"""Uploads over a path with a rate, a delay and a queue, as the qlog of our side is told of them.

Their clock is the test's own: what a slow machine holds up would look like the path's queue.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from quiver.config import PoolConfig
from quiver.testing import Authority
from tests.support.engines.quic_wire import LongWire
from tests.support.network.link import Link, LinkConditions

PIECE = 256 * 1024  # bytes
RATE, DELAY = 1e6, 0.02  # so 40 kB are on their way in a round trip

Upload = Callable[[LinkConditions, str], tuple[Link, list[dict[str, Any]]]]


@pytest.fixture
def upload(authority: Authority, tmp_path: Path) -> Upload:
    """Upload until the qlog is told of such an event, or of such a figure. The link, and what
    congestion control knew from update to update."""
    certificate = authority.issue()
    config = PoolConfig(cafile=authority.cafile, qlog_dir=str(tmp_path))

    def uploaded(conditions: LinkConditions, until: str) -> tuple[Link, list[dict[str, Any]]]:
        link = Link(conditions, seed="1")
        room = {"max_data": 1 << 30, "max_stream_data": 1 << 30}
        wire = LongWire(config, certificate, one_way=DELAY, up=link, **room)
        engine = wire.connect().engine
        told = list[dict[str, Any]]()
        trace: Any = engine.trace
        trace.log_event = lambda **event: told.append(event)
        stream_id = engine.open_stream(bytes(PIECE), False, None)

        def there_is() -> bool:
            if engine.unacknowledged(stream_id) < PIECE:
                engine.send_stream(stream_id, bytes(PIECE), False)
            return any(until in {each["event"], *each["data"]} for each in told)

        wire.run(there_is, rounds=20_000)
        wire.settle(100)
        return link, [each["data"] for each in told if each["event"] == "metrics_updated"]

    return uploaded


@pytest.mark.long
def test_slow_start_ends_by_the_queue_without_a_loss(upload: Upload) -> None:
    link, known = upload(LinkConditions(rate=RATE, delay=DELAY, queue=50 * RATE), "ssthresh")
    assert (link.dropped, link.lost) == (0, 0)
    assert "ssthresh" not in known[0]
    ended = next(each for each in known if "ssthresh" in each)
    assert ended["ssthresh"] <= ended["cwnd"] < RATE


def test_a_full_queue_takes_three_tenths_once_in_a_round_trip(upload: Upload) -> None:
    queue = 4 * RATE * DELAY  # far longer than what goes out at once: who is lost had others before
    narrow = LinkConditions(rate=RATE, delay=DELAY, queue=queue)
    link, known = upload(narrow, "packet_lost")
    losses = [
        (before["cwnd"], after["cwnd"])
        for before, after in pairwise(known)
        if after["cwnd"] < before["cwnd"]
    ]
    assert 0 < len(losses) <= link.dropped
    for before, after in losses:
        assert after == pytest.approx(0.7 * before, abs=2)
