"""Client: a URL in, a Response out. For programs of threads or greenlets that know no actors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from quiver.actors.actor import GeventActorRef
from quiver.actors.registry import Registry, default
from quiver.config import OriginRules
from quiver.errors import InvalidURL
from quiver.models import Headers, Origin, Request, Response, Stats
from quiver.pool.manager import Manager

_numbers = itertools.count(1)


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

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Headers = (),
        body: bytes | None = None,
        timeout: float | None = None,
        receive_timeout: float | None = None,
    ) -> Response:
        """Send one request and wait for its response, whatever the status is.

        Args:
            method: "GET", "POST", or any other token.
            url: "https://host[:port]/path?query".
            headers: a mapping, or pairs.
            body: bytes; encode text before.
            timeout: seconds for all of it; None takes the pool's.
            receive_timeout: seconds of silence to bear with; None takes the pool's.

        Raises:
            QuiverError: see `quiver.errors`; its `kind` tells whether to try again.
        """
        request = Request(
            method, url, headers, body, timeout=timeout, receive_timeout=receive_timeout
        )
        if request.origin is None:
            raise InvalidURL(f"url={url!r} is not absolute: write https://host[:port]/path")
        response: Response = self._manager.pool(request.origin).ask(request)
        return response

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
