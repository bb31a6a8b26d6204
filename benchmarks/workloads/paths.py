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

__all__ = ["FAST", "GRID", "QUICK", "Path", "through", "transfers"]

_RATE: Final = 100  # Mbit/s of the grid
_THOUSAND: Final = 1_000
_PACKET: Final = 1_400  # bytes of a body in a packet
_FIRST_WINDOW: Final = 10.0  # packets
_AFTER_LOSS: Final = 0.7  # of the window, as Cubic has it
_MOST: Final = 100 * 1024 * 1024  # bytes of one transfer, Quiver's limit for a buffered body
_UPLOAD_WINDOW: Final = 256 * 1024  # bytes a round trip, half of what quic-go allows at first
_WAYS: Final = ("up", "down", "stream")


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

    def size(self, way: str, seconds: float) -> int:
        """Bytes that take about so long.

        They are what Reno would send on it in whole round trips, were each n-th packet lost in
        place of one of n; of an upload no more at once than a server lets most clients send.
        """
        trip = self.trip / _THOUSAND
        most = self.rate * 1e6 / 8 * trip / _PACKET
        if way == "up":
            most = min(most, _UPLOAD_WINDOW / _PACKET)
        between = _THOUSAND / self.loss if self.loss else math.inf
        window, sent, slow_start, due = _FIRST_WINDOW, 0.0, True, between
        for _ in range(max(1, round(seconds / trip))):
            window = min(window, most)
            sent += window
            if sent >= due:
                window, slow_start, due = window * _AFTER_LOSS, False, sent + between
            else:
                window = 2 * window if slow_start else window + 1
        return min(round(sent * _PACKET), _MOST)


GRID: Final = tuple(Path(trip, loss) for trip in (20, 50, 100, 200) for loss in (0, 1, 10))
FAST: Final = Path(100, 0, rate=500)
QUICK: Final = (Path(20, 0), Path(100, 10))


def transfers(
    number: int, client: str, settings: Settings, load: Load, seed: int
) -> dict[str, float]:
    """MB/s of an upload and of both kinds of download, in a row, and how late the relay was.

    That is milliseconds of a packet, beside its path's, in the mean of the worst transfer. The
    load's URLs are what is asked first, where to upload to, and what to download.
    """
    path, make = Path.numbered(number), find(client).make()  # imports
    figures = {"late": 0.0}
    for way in _WAYS:
        with LongPath(urlsplit(load.urls[0]).port or 443, path.conditions, seed=seed) as relay:
            urls = [through(url, relay.port) for url in load.urls]
            adapter: Any = make(settings)
            adapter.run(Load((urls[0],)))
            with Stopwatch() as watch:
                size = _move(adapter, way, urls, load)
            adapter.close()
        if relay.report.overflowed:
            raise AssertionError(f"the path of {way} did not keep up: {relay.report}")
        figures[way] = size / 1e6 / watch.sample([]).seconds
        figures["late"] = max(figures["late"], relay.report.late * 1e3)
    return figures


def _move(adapter: Any, way: str, urls: list[str], load: Load) -> int:
    """Make one transfer; return its size."""
    _, sink, body = urls
    if way == "up":
        adapter.run(Load((sink,), upload=load.upload))
        return load.upload
    if way == "down":
        adapter.run(Load((body,), expected=load.expected))
    else:
        adapter.begin(body, Load((body,), expected=load.expected))
    return load.expected


def through(url: str, port: int) -> str:
    """Make it the same URL at another port."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.hostname}:{port}").geturl()
