"""The functions of the module: `quiver.get` and the others, of one client that all share.

They come with `import quiver`; the client, and all that it stands on, with the first call. Types
have the names that `quiver` loads at their first use: `typing.get_type_hints` finds them, too.
"""

from __future__ import annotations

from typing import Any, Unpack

import quiver
from quiver.first_use import load

__all__ = [
    "delete",
    "get",
    "head",
    "open_channel",
    "open_datagram_channel",
    "options",
    "patch",
    "post",
    "put",
    "request",
    "stream",
]

_shared: quiver.Client | None = None


def _load_shared() -> quiver.Client:
    global _shared
    client: quiver.Client = load("quiver.client").shared
    _shared = client
    return client


def request(method: str, url: str, **options: Unpack[quiver.RequestOptions]) -> quiver.Response:
    """Send one request and wait for its response: see `quiver.Client.request`."""
    return (_shared or _load_shared()).request(method, url, **options)


def stream(
    method: str, url: str, **options: Unpack[quiver.RequestOptions]
) -> quiver.StreamedResponse:
    """Send one request and wait for the head of its response: see `quiver.Client.stream`."""
    return (_shared or _load_shared()).stream(method, url, **options)


def open_channel(
    url: str,
    *,
    method: str = "CONNECT",
    protocol: str | None = None,
    require_datagrams: bool = False,
    open_timeout: float | None = None,
    **options: Unpack[quiver.CommonOptions],
) -> quiver.Channel:
    """Open a stream for data and datagrams both ways: see `quiver.Client.open_channel`."""
    return (_shared or _load_shared()).open_channel(
        url,
        method=method,
        protocol=protocol,
        require_datagrams=require_datagrams,
        open_timeout=open_timeout,
        **options,
    )


def open_datagram_channel(
    url: str,
    handler: quiver.ChannelHandler,
    initial: object,
    **options: Unpack[quiver.ChannelOptions],
) -> Any:
    """Call `handler` for each event of a channel: see `quiver.Client.open_datagram_channel`."""
    return (_shared or _load_shared()).open_datagram_channel(url, handler, initial, **options)


def get(url: str, **options: Unpack[quiver.RequestOptions]) -> quiver.Response:
    """GET: see `quiver.Client.request`."""
    return (_shared or _load_shared()).get(url, **options)


def head(url: str, **options: Unpack[quiver.RequestOptions]) -> quiver.Response:
    """HEAD: see `quiver.Client.request`."""
    return (_shared or _load_shared()).head(url, **options)


def post(url: str, **options: Unpack[quiver.RequestOptions]) -> quiver.Response:
    """POST: see `quiver.Client.request`."""
    return (_shared or _load_shared()).post(url, **options)


def put(url: str, **options: Unpack[quiver.RequestOptions]) -> quiver.Response:
    """PUT: see `quiver.Client.request`."""
    return (_shared or _load_shared()).put(url, **options)


def patch(url: str, **options: Unpack[quiver.RequestOptions]) -> quiver.Response:
    """PATCH: see `quiver.Client.request`."""
    return (_shared or _load_shared()).patch(url, **options)


def delete(url: str, **options: Unpack[quiver.RequestOptions]) -> quiver.Response:
    """DELETE: see `quiver.Client.request`."""
    return (_shared or _load_shared()).delete(url, **options)


def options(url: str, **options: Unpack[quiver.RequestOptions]) -> quiver.Response:
    """OPTIONS: see `quiver.Client.request`."""
    return (_shared or _load_shared()).options(url, **options)
