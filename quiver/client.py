"""Client: a URL in, a Response out. For programs of threads or greenlets that know no actors."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Final, NoReturn, Self, Unpack

from quiver.actors.registry import Registry, default
from quiver.config import OriginRules
from quiver.errors import InvalidOptions, InvalidURL, QuiverError
from quiver.models import Response, Stats
from quiver.option_checks import refused
from quiver.origin import Origin
from quiver.pool.checkout import PoolIdled
from quiver.pool.choice import chosen_by
from quiver.pool.fallback_table import PolicyName
from quiver.pool.manager import Manager
from quiver.pool.protocols import H3_ALONE, advise, chosen
from quiver.pool.ref import PoolRef
from quiver.pool_options import PoolOptions, unknown
from quiver.proxies import Proxies
from quiver.redaction import redacted_url
from quiver.request import OpenChannel, Request, StreamRequest
from quiver.request_options import ChannelOptions, CommonOptions, RequestOptions
from quiver.streams.channel import Channel, ChannelHandler, run
from quiver.streams.response import StreamedResponse

_numbers = itertools.count(1)
_OPTIONS: Final = (
    *PoolOptions.__annotations__,
    "pools",
    "name",
    "registry",
    "trust_env",
    "protocols",
    "policy",
    "hints",
    "proxy",
)


def _no_url(given: object) -> InvalidURL:
    """The error about what a Request would take for a path, or for nothing."""
    if not isinstance(given, str):
        return InvalidURL(f"url is a {type(given).__name__}, not a str")
    said = redacted_url(given)
    return InvalidURL(f"url={said!r} is not absolute: write https://host[:port]/path")


class Client:
    """A client of any origin, each through a pool of its own.

    Usable from any number of threads and greenlets at once. Pools start on the first request,
    also again in a forked child. Close it, or leave its `with`: one that is dropped instead is
    finalised with a ResourceWarning, when what is open has ended.

    Args:
        pools: options by origin: "https://host[:port]", "https://*.domain", or "default". See
            `quiver.PoolConfig` for the options.
        options: the same, for all origins: what a rule of `pools` says goes before them.
        name: for the log; each client has its own pools, whatever its name.
        registry: where its pools are found by their origin; its own unless you share one. Pools in
            one that is shared end when they are stopped or idle, not when a client is dropped.
        trust_env: whether to go through the proxy that the environment names for an origin
            (`https_proxy`, `http_proxy`, `all_proxy`, `no_proxy`). HTTP/3 goes through none: where
            it alone is spoken, a warning says once that it goes directly.
        protocols: what it may speak: "h3", "h2" and "http/1.1" where the extra `tcp` is installed,
            or else "h3" alone. With HTTP/3 and one of them each connection is dialled over QUIC,
            and 0.3 seconds behind over TCP; the one that is there first is used, and what had
            failed is asked again later, beside requests. `http://` is HTTP/1.1.
        policy: "always" tries HTTP/3 first, also where nobody has said that it is spoken; "alt-svc"
            only where `hints` or an Alt-Svc field of an earlier response say so (RFC 7838).
        hints: URLs of origins that are known to speak HTTP/3 on their own port.
        proxy: "http://[user:password@]host:port", or https, that all goes through, by CONNECT; None
            goes by `trust_env`. What goes through one is HTTP/2 or HTTP/1.1.

    Raises:
        InvalidOptions: a rule or an option is unknown, wrong or contradicts another.
        InvalidURL: a hint names no https origin.
        ModuleNotFoundError: what one of the `protocols` needs is not installed.
    """

    def __init__(
        self,
        *,
        pools: Mapping[str, Mapping[str, object]] | None = None,
        name: str | None = None,
        registry: Registry | None = None,
        trust_env: bool = True,
        protocols: Iterable[str] | None = None,
        policy: PolicyName = "always",
        hints: Iterable[str] = (),
        proxy: str | None = None,
        **options: Unpack[PoolOptions],
    ) -> None:
        for option in options:
            if option not in _OPTIONS:
                raise InvalidOptions(unknown(option, "option", _OPTIONS))
        if not isinstance(trust_env, bool):
            raise refused("trust_env", trust_env, "True or False")
        self.name = name or f"client-{next(_numbers)}"
        self._protocols = chosen(protocols)
        tcp = self._protocols != H3_ALONE
        proxies = Proxies(self.name, proxy, trust_env=trust_env, tcp=tcp)
        self._manager = Manager(
            OriginRules(pools, options),
            registry,
            self.name,
            proxy_of=lambda origin: proxies.find(origin.scheme, origin.authority),
            protocols=self._protocols,
            choices=chosen_by(policy, hints),
        )

    def __repr__(self) -> str:
        return f"<Client {self.name}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Client cannot be pickled or copied: its connections are this process's. "
            "Give its options away, and make one Client(**options) in each process"
        )

    def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Response:
        """Send one request and wait for its response, whatever the status is.

        Args:
            method: "GET", "POST", or any other token.
            url: "https://host[:port]/path?query".
            options: params, headers, body, json, trailers, on_informational, timeout,
                receive_timeout, send_timeout, checkout_timeout, connect_timeout and early_data,
                as `quiver.Request` has them. Times are seconds, None takes the pool's. A body
                that is a file or an iterable is read in this thread, while it is sent.

        Raises:
            QuiverError: see `quiver.errors`; its `kind` tells whether to try again.
            Exception: whatever the body's iterator raised; the stream is reset then.
        """
        response: Response = self._ask(Request, method, url, options)
        return response

    def stream(self, method: str, url: str, **options: Unpack[RequestOptions]) -> StreamedResponse:
        """Send one request and wait for the head of its response; the body is read from that.

            with client.stream("GET", url) as response:
                for piece in response: ...

        Args and errors as of `request`. A body that is a file or an iterable is read in a thread
        of its own, so that the response can be read meanwhile.
        """
        response: StreamedResponse = self._ask(StreamRequest, method, url, options)
        return response

    def open_channel(
        self,
        url: str,
        *,
        method: str = "CONNECT",
        protocol: str | None = None,
        require_datagrams: bool = False,
        open_timeout: float | None = None,
        **options: Unpack[CommonOptions],
    ) -> Channel:
        """Open a stream for data and datagrams both ways (RFC 9297), here by extended CONNECT.

        Args:
            url: "https://host[:port]/path?query".
            method: any; CONNECT needs a `protocol` (RFC 9220) and others have none.
            protocol: such as "webtransport" or "connect-udp".
            require_datagrams: fail unless both sides have agreed on datagrams.
            open_timeout: seconds until the server's response; what is late is an error here, or
                the channel's end if the request was sent by then.
            options: params, headers, on_informational, timeout (seconds that the channel may last),
                receive_timeout (seconds that its reader waits for an event), checkout_timeout,
                connect_timeout.

        Raises:
            ConnectDisabled: the server takes no extended CONNECT.
            DatagramsDisabled: `require_datagrams`, and there are none.
            QuiverError: as of `request`.
        """
        own = {
            "protocol": protocol,
            "require_datagrams": require_datagrams,
            "open_timeout": open_timeout,
        }
        channel: Channel = self._ask(OpenChannel, method, url, {**own, **options})
        return channel

    def open_datagram_channel(
        self,
        url: str,
        handler: ChannelHandler,
        initial: object,
        **options: Unpack[ChannelOptions],
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

    def _ask(self, kind: type[Request], method: str, url: str, options: Mapping[str, Any]) -> Any:
        if not isinstance(url, str) or "://" not in url or url.startswith("/"):
            raise _no_url(url)
        request = kind(method, url, **options)
        assert request.origin is not None  # its URL is absolute
        while True:
            try:
                return self._manager.pool(request.origin).ask(request)
            except PoolIdled:  # in this moment: nothing was sent
                continue
            except QuiverError as error:
                advise(error, self._protocols)
                raise

    def get(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """Send a GET request. Options and errors as of `request`."""
        return self.request("GET", url, **options)

    def head(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """Send a HEAD request. Options and errors as of `request`."""
        return self.request("HEAD", url, **options)

    def post(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """Send a POST request. Options and errors as of `request`."""
        return self.request("POST", url, **options)

    def put(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """Send a PUT request. Options and errors as of `request`."""
        return self.request("PUT", url, **options)

    def patch(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """Send a PATCH request. Options and errors as of `request`."""
        return self.request("PATCH", url, **options)

    def delete(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """Send a DELETE request. Options and errors as of `request`."""
        return self.request("DELETE", url, **options)

    def options(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """Send an OPTIONS request. Options and errors as of `request`."""
        return self.request("OPTIONS", url, **options)

    def pool(self, origin: str) -> PoolRef:
        """Return the origin's pool, a Pykka ActorRef: found, or started once.

        While somebody holds that ref, the pool does not end for being idle, nor because its client
        was dropped.

        Raises:
            InvalidURL: it names no origin, or one of `http://` where HTTP/1.1 is not spoken.
            PoolStopped: the client is closed.
        """
        return self._manager.lend(Origin.parse(origin, plain=True))

    def stats(self, origin: str) -> Stats:
        """Return the counts of the origin's pool; all 0, and not `started`, when there is none."""
        return self._manager.stats(Origin.parse(origin, plain=True))

    def close(self) -> None:
        """Stop its pools. Requests that are open may finish; every caller gets its outcome.

        It returns within the longest `shutdown_timeout` of its pools and a few seconds: what has
        not stopped by then is killed.
        """
        self._manager.close()

    def release(self) -> None:
        """Close it without a wait, and without an end for what is open.

        What is being asked is answered, and responses that are being read stay readable for as long
        as that takes. Each pool ends when nothing is open any more. Pools in a registry that was
        given go on.
        """
        self._manager.release()

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
