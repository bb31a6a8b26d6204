"""Locust: users whose client speaks HTTP/3.

    from locust import task
    from quiver.adapters.locust import HTTP3User

    class Shopper(HTTP3User):
        @task
        def look(self):
            with self.client.get("/items/42", name="/items/[id]", catch_response=True) as response:
                if response.json()["id"] != 42:
                    response.failure("another item")

`HTTP3User` is Locust's `HttpUser`, and `HTTP3FastUser` its `FastHttpUser`: names,
`catch_response`, `rest`, cookies, redirects, authentication and the request events are Locust's.
Locust runs on gevent, and the pools run in its loop too, beside the users.

Importing this imports Locust, which monkey-patches the program.
"""

from __future__ import annotations

import logging

from quiver.optional_imports import extra

with extra("locust"):
    import locust as _patched_first  # noqa: F401 - before anything that it patches

from quiver.adapters.locust.fast_user import HTTP3FastUser
from quiver.adapters.locust.http_user import HTTP3User

__all__ = ["HTTP3FastUser", "HTTP3User"]

# Locust logs at INFO, where each connection and each reset of a stream has a line of aioquic's.
logging.getLogger("quic").setLevel(logging.WARNING)
