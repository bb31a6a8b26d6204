"""The kinds of ask that a soak mixes over HTTP/3. Each one checks that the answer is its own."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final

import attrs
import pykka

import quiver
from quiver.testing import pattern

__all__ = ["KINDS", "Kind", "Site", "mixed"]

_SIZES: Final = 499  # of small bodies: a prime, so that neighbours in time differ
_DOWNLOAD: Final = pattern(50_000)
_PIECE: Final = pattern(1_000)
_PIECES: Final = 4
_DIGEST: Final = hashlib.sha256(_PIECE * _PIECES).hexdigest()


@attrs.frozen
class Site:
    """Where to ask, and how long each ask may take (seconds)."""

    client: quiver.Client
    url: str
    timeout: float


Ask = Callable[[Site, int, float], None]


@attrs.frozen
class Kind:
    """One kind of ask: its share of a thousand, and its own time limit if it has one."""

    name: str
    share: int
    ask: Ask
    limit: float | None = None

    def within(self, site: Site) -> float:
        """Seconds that this one may take there."""
        return site.timeout if self.limit is None else self.limit


def _small(site: Site, number: int, limit: float) -> None:
    size = number % _SIZES
    response = site.client.get(f"{site.url}/bytes/{size}?id={number}", timeout=limit)
    assert response.body == pattern(size), f"not its own: {response.body[:20]!r}..."


def _echo(site: Site, number: int, limit: float) -> None:
    body = b"body of %d" % number
    response = site.client.post(f"{site.url}/echo?id={number}", body=body, timeout=limit)
    assert response.body == body, f"not its own: {response.body[:20]!r}..."


def _download(site: Site, number: int, limit: float) -> None:
    url = f"{site.url}/bytes/{len(_DOWNLOAD)}?id={number}"
    with site.client.stream("GET", url, timeout=limit) as response:
        assert response.read() == _DOWNLOAD


def _left(site: Site, number: int, limit: float) -> None:
    url = f"{site.url}/bytes/{len(_DOWNLOAD)}?id={number}"
    with site.client.stream("GET", url, timeout=limit) as response:
        assert response.read(1_000) == _DOWNLOAD[:1_000]


def _upload(site: Site, number: int, limit: float) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(_PIECES):
            yield _PIECE

    response = site.client.post(f"{site.url}/digest?id={number}", body=pieces(), timeout=limit)
    assert response.json()["sha256"] == _DIGEST, response.text


def _channel(site: Site, number: int, limit: float) -> None:
    said = b"channel of %d" % number
    heard = b""
    url = f"{site.url}/session?id={number}"
    with site.client.open_channel(url, protocol="soak", timeout=limit) as channel:
        if channel.max_datagram_size:
            channel.send(said)  # may be lost
        channel.write(said)
        channel.finish()
        for event in channel:
            match event:
                case quiver.StreamData(content):
                    heard += content
                case quiver.Closed(error=quiver.QuiverError() as error):
                    raise error
    assert heard == said, f"not its own: {heard[:20]!r}"


def _cancelled(site: Site, number: int, limit: float) -> None:
    """Given up at some moment on its way out, at the server, or on its way back."""
    request = quiver.Request("GET", f"/delay/0.02?id={number}", timeout=limit)
    reply = site.client.pool(site.url).ask(request, block=False)
    try:
        reply.get(timeout=0.001 * (number % 100))
    except pykka.Timeout:
        reply.cancel()
        reply.get()


def _hurried(site: Site, number: int, limit: float) -> None:
    site.client.get(f"{site.url}/delay/1?id={number}", timeout=limit)


KINDS: Final = (
    Kind("small GET", 860, _small),
    Kind("POST echo", 80, _echo),
    Kind("download", 10, _download),
    Kind("download left", 10, _left),
    Kind("upload by generator", 10, _upload),
    Kind("channel", 5, _channel),
    Kind("cancelled", 15, _cancelled),
    Kind("timeout of 50 ms", 10, _hurried, limit=0.05),
)


def mixed(kinds: Iterable[Kind], seed: int) -> list[Kind]:
    """A thousand in the order in which they take turns."""
    turns = [kind for kind in kinds for _ in range(kind.share)]
    random.Random(seed).shuffle(turns)
    return turns


def late(started: float, limit: float) -> float:
    """Seconds by which the limit has been missed; 0.0 when it has been kept."""
    return max(0.0, time.monotonic() - started - limit)
