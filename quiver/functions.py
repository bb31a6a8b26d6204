"""The functions of the module: `quiver.get` and the others, of one client that all share.

They come with `import quiver`; the client, and all that it stands on, with the first call. Types
have the names that `quiver` loads at their first use: `typing.get_type_hints` finds them, too.
"""

from __future__ import annotations

from typing import Any, Unpack, cast

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
_of_requests: frozenset[str] = frozenset()  # the options that say nothing of a pool


def _load_shared() -> quiver.Client:
    global _shared, _of_requests
    request = load("quiver.request_options")
    _of_requests = frozenset(
        (*request.RequestOptions.__annotations__, *request.ChannelOptions.__annotations__)
    )
    client: quiver.Client = load("quiver.client").shared
    _shared = client
    return client


def _call(method: str, *given: object, options: object) -> Any:
    client, keywords = _shared or _load_shared(), cast("dict[str, Any]", options)
    if not _of_requests.issuperset(keywords):
        client = load("quiver.shared_clients").client_for(keywords)
    return getattr(client, method)(*given, **keywords)


def request(method: str, url: str, **options: Unpack[quiver.CallOptions]) -> quiver.Response:
    """Send one request and wait for its response: see `quiver.Client.request`.

    Options of a pool (`quiver.PoolConfig`) are taken too: calls with the same ones share a client.
    """
    response: quiver.Response = _call("request", method, url, options=options)
    return response


def stream(method: str, url: str, **options: Unpack[quiver.CallOptions]) -> quiver.StreamedResponse:
    """Send one request and wait for the head of its response: see `quiver.Client.stream`."""
    response: quiver.StreamedResponse = _call("stream", method, url, options=options)
    return response


def open_channel(
    url: str,
    *,
    method: str = "CONNECT",
    protocol: str | None = None,
    require_datagrams: bool = False,
    open_timeout: float | None = None,
    **options: Unpack[quiver.CommonCallOptions],
) -> quiver.Channel:
    """Open a stream for data and datagrams both ways: see `quiver.Client.open_channel`."""
    own = {
        "method": method,
        "protocol": protocol,
        "require_datagrams": require_datagrams,
        "open_timeout": open_timeout,
    }
    channel: quiver.Channel = _call("open_channel", url, options={**own, **options})
    return channel


def open_datagram_channel(
    url: str,
    handler: quiver.ChannelHandler,
    initial: object,
    **options: Unpack[quiver.ChannelCallOptions],
) -> Any:
    """Call `handler` for each event of a channel: see `quiver.Client.open_datagram_channel`."""
    return _call("open_datagram_channel", url, handler, initial, options=options)


def get(url: str, **options: Unpack[quiver.CallOptions]) -> quiver.Response:
    """GET: see `quiver.request`."""
    return request("GET", url, **options)


def head(url: str, **options: Unpack[quiver.CallOptions]) -> quiver.Response:
    """HEAD: see `quiver.request`."""
    return request("HEAD", url, **options)


def post(url: str, **options: Unpack[quiver.CallOptions]) -> quiver.Response:
    """POST: see `quiver.request`."""
    return request("POST", url, **options)


def put(url: str, **options: Unpack[quiver.CallOptions]) -> quiver.Response:
    """PUT: see `quiver.request`."""
    return request("PUT", url, **options)


def patch(url: str, **options: Unpack[quiver.CallOptions]) -> quiver.Response:
    """PATCH: see `quiver.request`."""
    return request("PATCH", url, **options)


def delete(url: str, **options: Unpack[quiver.CallOptions]) -> quiver.Response:
    """DELETE: see `quiver.request`."""
    return request("DELETE", url, **options)


def options(url: str, **options: Unpack[quiver.CallOptions]) -> quiver.Response:
    """OPTIONS: see `quiver.request`."""
    return request("OPTIONS", url, **options)
