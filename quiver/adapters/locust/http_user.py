"""HttpUser over HTTP/3."""

from __future__ import annotations

from typing import ClassVar

from locust import HttpUser
from locust.env import Environment

from quiver.adapters.locust.shared_connections import SharedConnections
from quiver.adapters.requests import HTTP3Adapter

__all__ = ["HTTP3User"]


class HTTP3User(SharedConnections, HttpUser):
    """Subclass it as you would `locust.HttpUser`. Its host must be an https URL.

    `self.client` is Locust's own session, with the adapter for requests below. Users share
    connections, `users_per_connection` each, and close them when they stop. With `http3_adapter`
    all users of a class share that adapter's.
    """

    abstract = True

    http3_adapter: ClassVar[HTTP3Adapter | None] = None
    """An adapter for all users of the class; None gives each group its own, without a fallback."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.check_host("locust.HttpUser")
        adapter = self.http3_adapter or self.join(self._adapter, HTTP3Adapter.close)
        self.client.mount("https://", adapter)
        self.client.mount("http://", adapter)  # which falls back, or says that there is none

    def _adapter(self) -> HTTP3Adapter:
        options = {"max_connections": 1, **self.pool_options}
        return HTTP3Adapter(fallback=False, pools={"default": options})
