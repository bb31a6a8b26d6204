"""Locust: users whose client speaks HTTP/3.

    from locust import task
    from quiver.adapters.locust import HTTP3User

    class Shopper(HTTP3User):
        @task
        def look(self):
            with self.client.get("/items/42", name="/items/[id]", catch_response=True) as response:
                if response.json()["id"] != 42:
                    response.failure("another item")

`self.client` is Locust's own session, the one of `HttpUser`, with the adapter for requests below:
names, `catch_response`, cookies, redirects, authentication and the request events are Locust's.
Locust runs on gevent, and the pools run in its loop too, beside the users.

Importing this imports Locust, which monkey-patches the program.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, ClassVar

from quiver.adapters.shared.optional_imports import extra

with extra("locust"):
    from locust import HttpUser  # before anything that it patches

import gevent
from gevent.pool import Group

from quiver.adapters.requests import HTTP3Adapter

__all__ = ["HTTP3User"]

# Locust logs at INFO, where each connection and each reset of a stream has a line of aioquic's.
logging.getLogger("quic").setLevel(logging.WARNING)


class HTTP3User(HttpUser):
    """Subclass it as you would `locust.HttpUser`. Its host must be an https URL.

    Each user has connections of its own, one per origin unless `pool_options` say otherwise, and
    closes them when it stops. With `http3_adapter` all users of a class share that adapter's.
    """

    abstract = True

    http3_adapter: ClassVar[HTTP3Adapter | None] = None
    """An adapter for all users of the class; None gives each user its own, without a fallback."""

    pool_options: ClassVar[Mapping[str, object]] = {}
    """Options of each user's own pools, as `quiver.PoolConfig` has them: cafile, verify, ..."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._own: HTTP3Adapter | None = None
        adapter = self.http3_adapter
        if adapter is None:
            options = {"max_connections": 1, **self.pool_options}
            adapter = self._own = HTTP3Adapter(fallback=False, pools={"default": options})
        self.client.mount("https://", adapter)

    def start(self, group: Group) -> gevent.Greenlet[..., Any]:
        """Called by Locust when the user begins."""
        greenlet: gevent.Greenlet[..., Any] = super().start(group)
        if self._own is not None:
            close = self._own.close
            greenlet.link(lambda _: gevent.spawn(close))  # a link may not wait itself
        return greenlet
