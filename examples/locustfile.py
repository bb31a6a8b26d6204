"""A load of HTTP/3 requests, for Locust (https://locust.io).

    locust -f examples/locustfile.py --host https://localhost:4443

and then http://localhost:8089, or `--headless -u 100 -r 10 -t 1m`. Set CAFILE to the certificates
to trust instead of the usual ones. To go beyond one core: `--processes -1`; beyond one machine:
`--master` here and `--worker --master-host HERE` there.
"""

import os

from locust import between, task

from quiver.adapters.locust import HTTP3FastUser, HTTP3User
from quiver.adapters.requests import HTTP3Adapter

CAFILE = os.environ.get("CAFILE")


class Shopper(HTTP3User):
    """One connection for each user, as a browser has it."""

    wait_time = between(0.01, 0.05)
    users_per_connection = 1
    pool_options = {"cafile": CAFILE}  # noqa: RUF012 - as Locust's own class attributes

    @task(3)
    def look(self) -> None:
        with self.client.get("/items/42", name="/items/[id]", catch_response=True) as response:
            if response.status_code == 200 and response.json()["id"] != 42:
                response.failure("this is another item")

    @task
    def order(self) -> None:
        self.client.post("/echo", json={"id": 42}, name="/order")


class Service(HTTP3User):
    """All users share the connections, as the threads of one program do."""

    wait_time = between(0.01, 0.05)
    http3_adapter = HTTP3Adapter(
        fallback=False, pools={"default": {"cafile": CAFILE, "max_connections": 2}}
    )

    @task
    def ask(self) -> None:
        self.client.get("/ok", name="/ok (shared)")


class Crowd(HTTP3FastUser):
    """As many users as one core can play: fifty share a connection, and requests is left out."""

    wait_time = between(0.01, 0.05)
    pool_options = {"cafile": CAFILE}  # noqa: RUF012

    @task
    def look(self) -> None:
        with self.rest("GET", "/items/42", name="/items/[id] (fast)") as response:
            if response.js is not None and response.js["id"] != 42:
                response.failure("this is another item")  # type: ignore[no-untyped-call]
