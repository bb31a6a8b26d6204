"""Transfers over long paths: an upload and a download, buffered and streamed, each by a connection
of its own through a relay with delay, rate, queue and loss.

The relay is a program of its own (`tests/support/network/long_path.py`). It holds every packet for
half of the round trip and loses its share at random, by the round's seed: what one client's n-th
packet meets, the next one's does too. A transfer that the relay did not keep up with is an error.
"""

from __future__ import annotations

import math
from typing import Any, Final, Self
from urllib.parse import urlsplit

import attrs

from benchmarks.clients.registry import find
from benchmarks.workloads.load import Load, Settings, Stopwatch
from tests.support.network.link import LinkConditions
from tests.support.network.long_path import LongPath

__all__ = ["FAST", "GRID", "QUICK", "Path", "transfers"]

_RATE: Final = 100  # Mbit/s of the grid
_THOUSAND: Final = 1_000
_PACKET: Final = 1_400  # bytes of a body in a packet
_MOST: Final = 200 * 1024 * 1024  # bytes of one transfer, which most clients hold in memory


@attrs.frozen
class Path:
    """One path, the same both ways.

    Attributes:
        trip: milliseconds of a round trip.
        loss: packets of a thousand that are lost.
        rate: Mbit/s; a queue holds as much as it carries in one round trip.
    """

    trip: int
    loss: int
    rate: int = _RATE

    @property
    def number(self) -> int:
        """Its point on a measure's axis: rate, round trip and loss, a thousand apart."""
        return (self.rate * _THOUSAND + self.trip) * _THOUSAND + self.loss

    @classmethod
    def numbered(cls, number: int) -> Self:
        """Return the path of a `number`."""
        rest, loss = divmod(number, _THOUSAND)
        rate, trip = divmod(rest, _THOUSAND)
        return cls(trip, loss, rate)

    def __str__(self) -> str:
        rate = "" if self.rate == _RATE else f", {self.rate} Mbit/s"
        return f"{self.trip} ms, {self.loss / 10:g} %{rate}"

    @property
    def conditions(self) -> LinkConditions:
        """What each direction of it is like."""
        rate = self.rate * 1e6 / 8
        trip = self.trip / _THOUSAND
        return LinkConditions(delay=trip / 2, rate=rate, queue=rate * trip, loss=self.loss / 1e3)

    def size(self, seconds: float) -> int:
        """Bytes that take about so long: of its rate, or what Reno gets where packets are lost.

        That is `packet / trip * sqrt(3 / 2 / loss)` (Mathis et al., 1997).
        """
        rate = self.rate * 1e6 / 8
        if self.loss:
            packets = math.sqrt(1.5 / (self.loss / 1e3)) / (self.trip / _THOUSAND)
            rate = min(rate, packets * _PACKET)
        return min(round(rate * seconds), _MOST)


GRID: Final = tuple(Path(trip, loss) for trip in (20, 50, 100, 200) for loss in (0, 1, 10))
FAST: Final = Path(100, 0, rate=500)
QUICK: Final = (Path(20, 0), Path(100, 10))


def transfers(
    client: str, number: int, load: Load, settings: Settings, seed: int
) -> dict[str, float]:
    """MB/s of an upload and of both kinds of download, one after another.

    The load's URLs are what to ask first, what to download and where to upload to.
    """
    path, make = Path.numbered(number), find(client).make()  # imports
    rates = {}
    for way in ("up", "down", "stream"):
        relay = LongPath(urlsplit(load.urls[0]).port or 443, path.conditions, seed=seed)
        with relay:
            warm, body, sink = (_through(url, relay.port) for url in load.urls)
            adapter: Any = make(settings)
            adapter.run(Load((warm,)))
            with Stopwatch() as watch:
                if way == "up":
                    adapter.run(Load((sink,), upload=load.expected))
                elif way == "down":
                    adapter.run(Load((body,), expected=load.expected))
                else:
                    adapter.begin(body, Load((body,), expected=load.expected))
            adapter.close()
        if relay.report.overflowed:
            raise AssertionError(f"the path of {way} did not keep up: {relay.report}")
        rates[way] = load.expected / 1e6 / watch.sample([]).seconds
    return rates


def _through(url: str, port: int) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.hostname}:{port}").geturl()
