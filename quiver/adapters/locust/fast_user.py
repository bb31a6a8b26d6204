"""FastHttpUser over HTTP/3."""

from __future__ import annotations

from typing import Any, ClassVar

from locust.contrib.fasthttp import FastHttpUser
from locust.env import Environment

from quiver.adapters.locust.fast_agent import Connections
from quiver.adapters.locust.fast_session import HTTP3FastSession
from quiver.adapters.locust.shared_connections import SharedConnections, refuse
from quiver.client import Client

__all__ = ["HTTP3FastUser"]


class HTTP3FastUser(SharedConnections, FastHttpUser):
    """Subclass it as you would `locust.FastHttpUser`. Its host must be an https URL.

    `self.client` asks a `quiver.Client` without requests in between. Users share connections,
    `users_per_connection` each, and close them when they stop. With `http3_client` all users of a
    class share that client's.

    FastHttpUser's attributes mean what they do there: `connection_timeout` and `network_timeout`
    (seconds, of the handshake and of silence), `max_redirects`, `max_retries`, `insecure`,
    `ssl_context_factory`, `default_headers` and `concurrency`, the requests that one user may have
    open. `pool_options` go before them.
    """

    abstract = True

    http3_client: ClassVar[Client | None] = None
    """A client for all users of the class, whose options hold; None gives each group its own."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.check_host("locust.FastHttpUser")
        for name in ("client_pool", "proxy_host"):
            if getattr(self, name) is not None:
                what = f"{type(self).__name__}.{name}"
                refuse(
                    self, f"{what} is for TCP, leave it out: HTTP/3 has `http3_client`, no proxy"
                )
        given = self.http3_client
        self.client: HTTP3FastSession = HTTP3FastSession(
            base_url=str(self.host),
            request_event=self.environment.events.request,
            user=self,
            connections=Connections(given) if given else self.join(self._made, Connections.close),
            headers=self.default_headers,
            max_redirects=self.max_redirects,
            max_retries=self.max_retries,
            concurrency=self.concurrency,
        )

    def _made(self) -> Connections:
        options: dict[str, Any] = {
            "max_connections": 1,
            "connect_timeout": self.connection_timeout,
            "receive_timeout": self.network_timeout,
            "checkout_timeout": None,
            "stream_idle_timeout": None,
        }
        if not {"verify", "cafile", "cadata"} & set(self.pool_options):
            factory = self.ssl_context_factory
            options["verify"] = factory() if factory else not self.insecure
        return Connections(
            Client(trust_env=False, protocols=("h3",), **{**options, **self.pool_options})
        )
