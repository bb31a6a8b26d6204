"""Client: a URL in, a Response out. For programs of threads or greenlets that know no actors."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypedDict, Unpack

from quiver.actors.actor import GeventActorRef
from quiver.actors.registry import Registry, default
from quiver.body import StreamedResponse
from quiver.channel import Channel, run
from quiver.config import OriginRules
from quiver.errors import InvalidURL
from quiver.models import Response, Stats
from quiver.origin import Origin
from quiver.pool.manager import Manager
from quiver.request import (
    Body,
    Headers,
    OnInformational,
    OpenChannel,
    Request,
    StreamRequest,
    Trailers,
)

_numbers = itertools.count(1)


def _absolute(url: str) -> str:
    """What a caller wrote as a URL is told as one, before a Request takes it for a path."""
    if not isinstance(url, str) or "://" not in url or url.startswith("/"):
        raise InvalidURL(f"url={url!r} is not absolute: write https://host[:port]/path")
    return url


ChannelHandler = Callable[..., Any]


class ChannelOptions(TypedDict, total=False):
    """Options that channels have too."""

    headers: Headers
    on_informational: OnInformational | None
    timeout: float | None
    receive_timeout: float | None
    checkout_timeout: float | None
    connect_timeout: float | None


class RequestOptions(ChannelOptions, total=False):
    """Options of one request, as `quiver.Request` has them."""

    body: Body
    send_timeout: float | None
    trailers: Trailers


class Client:
    """HTTP/3 requests to any origin, each through the origin's own pool.

    Usable from any number of threads and greenlets at once. Pools start on the first request,
    also again in a forked child.

    Args:
        pools: options by origin: "https://host[:port]", "https://*.domain", or "default". See
            `quiver.PoolConfig` for the options.
        name: for the log; each client has its own pools, whatever its name.
        registry: where its pools are found by their origin; its own unless you share one.

    Raises:
        InvalidOptions: a rule or an option in `pools` is wrong.
    """

    def __init__(
        self,
        *,
        pools: Mapping[str, Mapping[str, object]] | None = None,
        name: str | None = None,
        registry: Registry | None = None,
    ) -> None:
        self.name = name or f"client-{next(_numbers)}"
        self._manager = Manager(OriginRules(pools), registry or Registry(), self.name)

    def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Response:
        """Send one request and wait for its response, whatever the status is.

        Args:
            method: "GET", "POST", or any other token.
            url: "https://host[:port]/path?query".
            options: headers, body, trailers, on_informational, timeout, receive_timeout,
                send_timeout, checkout_timeout and connect_timeout, as `quiver.Request` has
                them. Times are seconds, None takes the pool's. A body that is a file or an
                iterable is read in this thread, while it is sent.

        Raises:
            QuiverError: see `quiver.errors`; its `kind` tells whether to try again.
            Exception: whatever the body's iterator raised; the stream is reset then.
        """
        response: Response = self._ask(Request(method, _absolute(url), **options))
        return response

    def stream(self, method: str, url: str, **options: Unpack[RequestOptions]) -> StreamedResponse:
        """Send one request and wait for the head of its response; the body is read from that.

            with client.stream("GET", url) as response:
                for piece in response: ...

        Args and errors as of `request`. A body that is a file or an iterable is read in a thread
        of its own, so that the response can be read meanwhile.
        """
        response: StreamedResponse = self._ask(StreamRequest(method, _absolute(url), **options))
        return response

    def open_channel(
        self,
        url: str,
        *,
        method: str = "CONNECT",
        protocol: str | None = None,
        require_datagrams: bool = False,
        **options: Unpack[ChannelOptions],
    ) -> Channel:
        """Open a stream for data and datagrams both ways (RFC 9297), here by extended CONNECT.

        Args:
            url: "https://host[:port]/path?query".
            method: any; CONNECT needs a `protocol` (RFC 9220) and others have none.
            protocol: such as "webtransport" or "connect-udp".
            require_datagrams: fail unless both sides have agreed on datagrams.
            options: headers, on_informational, timeout (seconds that the channel may last),
                receive_timeout (seconds until the response), checkout_timeout, connect_timeout.

        Raises:
            ConnectDisabled: the server takes no extended CONNECT.
            DatagramsDisabled: `require_datagrams`, and there are none.
            QuiverError: as of `request`.
        """
        asked = OpenChannel(
            method,
            _absolute(url),
            protocol=protocol,
            require_datagrams=require_datagrams,
            **options,
        )
        channel: Channel = self._ask(asked)
        return channel

    def open_datagram_channel(
        self, url: str, handler: ChannelHandler, initial: Any, **options: Any
    ) -> Any:
        """Open a channel and call `handler(event, channel, acc)` for each event, in this thread.

        Args:
            url: "https://host[:port]/path?query".
            handler: returns `quiver.cont(acc)` to go on, `quiver.halt(value)` to close it.
            initial: the first `acc`.
            options: as of `open_channel`.

        Returns:
            The value of `halt`, or the last `acc` when the channel is over.

        Raises:
            QuiverError: as of `open_channel`.
            TypeError: `handler` returned something else.
        """
        return run(self.open_channel(url, **options), handler, initial)

    def _ask(self, request: Request) -> Any:
        assert request.origin is not None  # its URL is absolute
        return self._manager.pool(request.origin).ask(request)

    def get(self, url: str, **options: Any) -> Response:
        """GET. Options and errors as of `request`."""
        return self.request("GET", url, **options)

    def head(self, url: str, **options: Any) -> Response:
        """HEAD. Options and errors as of `request`."""
        return self.request("HEAD", url, **options)

    def post(self, url: str, **options: Any) -> Response:
        """POST. Options and errors as of `request`."""
        return self.request("POST", url, **options)

    def put(self, url: str, **options: Any) -> Response:
        """PUT. Options and errors as of `request`."""
        return self.request("PUT", url, **options)

    def patch(self, url: str, **options: Any) -> Response:
        """PATCH. Options and errors as of `request`."""
        return self.request("PATCH", url, **options)

    def delete(self, url: str, **options: Any) -> Response:
        """DELETE. Options and errors as of `request`."""
        return self.request("DELETE", url, **options)

    def options(self, url: str, **options: Any) -> Response:
        """OPTIONS. Options and errors as of `request`."""
        return self.request("OPTIONS", url, **options)

    def pool(self, origin: str) -> GeventActorRef[Any]:
        """The origin's pool, a Pykka ActorRef: found, or started once.

        Raises:
            InvalidURL: it names no https origin.
            PoolStopped: the client is closed.
        """
        return self._manager.pool(Origin.parse(origin))

    def stats(self, origin: str) -> Stats:
        """Counts of the origin's pool; all 0 when it has not been started."""
        return self._manager.stats(Origin.parse(origin))

    def close(self) -> None:
        """Stop its pools. Requests that are open may finish; every caller gets its outcome."""
        self._manager.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


# Shares its registry with `HTTP3Pool.start`: a pool that the program started itself is used.
shared = Client(name="shared", registry=default)
