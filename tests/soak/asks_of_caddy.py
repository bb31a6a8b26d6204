"""The kinds of ask that a soak mixes over HTTP/3, HTTP/2 and HTTP/1.1, as Caddy answers them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pykka

import quiver
from quiver.testing import pattern
from tests.soak.asks import Kind, Site
from tests.support.servers.independent import LARGE

__all__ = ["CADDY_KINDS", "MIDDLE", "ROUTES"]

MIDDLE: Final = pattern(50_000)  # what /middle serves
_PIECE: Final = b"0123456789" * 100
_PIECES: Final = 4
_REFUSED: Final = 413

ROUTES: Final = """
  handle /own {
    respond "own {http.request.uri.query.id}" 200
  }
  handle /refuse {
    respond "no" 413
  }
"""


def _small(site: Site, number: int, limit: float) -> None:
    response = site.client.get(f"{site.url}/own?id={number}", timeout=limit)
    assert response.body == b"own %d" % number, f"not its own: {response.body[:20]!r}..."


def _echo(site: Site, number: int, limit: float) -> None:
    body = b"body of %d" % number
    response = site.client.post(f"{site.url}/echo?id={number}", body=body, timeout=limit)
    assert response.body == body, f"not its own: {response.body[:20]!r}..."


def _download(site: Site, number: int, limit: float) -> None:
    with site.client.stream("GET", f"{site.url}/middle?id={number}", timeout=limit) as response:
        assert response.read() == MIDDLE


def _left(site: Site, number: int, limit: float) -> None:
    with site.client.stream("GET", f"{site.url}/middle?id={number}", timeout=limit) as response:
        assert response.read(1_000) == MIDDLE[:1_000]


def _upload(site: Site, number: int, limit: float) -> None:
    url = f"{site.url}/echo?id={number}"
    response = site.client.post(url, body=_pieces(_PIECES), timeout=limit)
    assert response.body == _PIECE * _PIECES


def _refused(site: Site, number: int, limit: float) -> None:
    """Answered before the body has come, of which there is more than fits in any buffer."""
    url = f"{site.url}/refuse?id={number}"
    assert site.client.post(url, body=_pieces(2_000), timeout=limit).status == _REFUSED


def _pieces(count: int) -> Iterator[bytes]:
    return (_PIECE for _ in range(count))


def _cancelled(site: Site, number: int, limit: float) -> None:
    """Given up at some moment on its way out, or on its way back."""
    request = quiver.Request("GET", f"/large?id={number}", timeout=limit)
    reply = site.client.pool(site.url).ask(request, block=False)
    try:
        reply.get(timeout=0.001 * (number % 50))
    except pykka.Timeout:
        reply.cancel()
        reply.get()


def _hurried(site: Site, number: int, limit: float) -> None:
    with site.client.stream("GET", f"{site.url}/large?id={number}", timeout=limit) as response:
        assert response.read() == LARGE


CADDY_KINDS: Final = (
    Kind("small GET", 815, _small),
    Kind("POST echo", 100, _echo),
    Kind("download", 20, _download),
    Kind("download left", 20, _left),
    Kind("upload by generator", 20, _upload),
    Kind("upload refused", 5, _refused),
    Kind("cancelled", 15, _cancelled),
    Kind("timeout of 50 ms", 5, _hurried, limit=0.05),
)
