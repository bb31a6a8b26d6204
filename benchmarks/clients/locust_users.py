"""Locust's users: its own two over TCP, and Quiver's over HTTP/3, in loops without a wait."""

from __future__ import annotations

import ssl
from typing import Any, ClassVar
from urllib.parse import urlsplit

import gevent
from locust import FastHttpUser, HttpUser, User, constant, task
from locust.env import Environment

from benchmarks.workloads.load import Load, Sample, Settings, Stopwatch
from quiver.adapters.locust import HTTP3FastUser, HTTP3User

__all__ = [
    "LocustFastUsers",
    "LocustHTTP3FastUsers",
    "LocustHTTP3OwnFastUsers",
    "LocustHTTP3OwnUsers",
    "LocustHTTP3Users",
    "LocustUsers",
]

_STEP = 0.005  # seconds
_ALONE = {"users_per_connection": 1}


class _Users:
    """A local run of Locust with a user for each caller. They go on between two loads.

    What is counted is what Locust counts: its request events.
    """

    kind: ClassVar[type[User]]
    extra: ClassVar[dict[str, Any]] = {}

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._environment: Environment | None = None
        self._latencies: list[float] = []
        self._faults: list[str] = []

    def attributes(self) -> dict[str, Any]:
        """Return those of the class of users: here whom to trust over HTTP/3."""
        return {"pool_options": {"cafile": self.settings.cafile}, **self.extra}

    def begin(self, user: Any) -> None:
        """Set up a user that starts."""

    def run(self, load: Load) -> Sample:
        if self._environment is None:
            self._environment = self._started(load)
        latencies = self._latencies = []
        with Stopwatch() as watch:
            gevent.sleep(load.seconds)
            while len(latencies) < load.callers and not self._faults:
                gevent.sleep(_STEP)
            self._latencies = []
        if self._faults:
            raise AssertionError(self._faults[0])
        return watch.sample(latencies)

    def close(self) -> None:
        if self._environment is not None and self._environment.runner is not None:
            self._environment.runner.quit()

    def _started(self, load: Load) -> Environment:
        url = urlsplit(load.url(0))
        body = {
            **self.attributes(),
            "host": f"{url.scheme}://{url.netloc}",
            "wait_time": constant(0),
            "on_start": self.begin_of,
            "ask": task(lambda user: user.client.get(url.path)),
        }
        environment = Environment(user_classes=[type("Users", (self.kind,), body)])

        def count(response_time: float, response_length: int, exception: object, **_: Any) -> None:
            self._latencies.append(response_time / 1e3)
            if exception is not None or response_length != load.expected:
                self._faults.append(f"{exception!r}, {response_length} bytes")

        environment.events.request.add_listener(count)  # type: ignore[no-untyped-call]
        environment.events.user_error.add_listener(  # type: ignore[no-untyped-call]
            lambda exception, **_: self._faults.append(repr(exception))
        )
        environment.create_local_runner().start(load.callers, spawn_rate=load.callers)
        return environment

    @property
    def begin_of(self) -> Any:
        """A method of the class of users."""
        return lambda user: self.begin(user)


class LocustUsers(_Users):
    """HttpUser: HTTP/1.1, by requests."""

    kind = HttpUser

    def attributes(self) -> dict[str, Any]:
        return {}

    def begin(self, user: Any) -> None:
        user.client.verify = self.settings.cafile


class LocustFastUsers(_Users):
    """FastHttpUser: HTTP/1.1, by geventhttpclient."""

    kind = FastHttpUser

    def attributes(self) -> dict[str, Any]:
        context = ssl.create_default_context(cafile=self.settings.cafile)
        return {"ssl_context_factory": staticmethod(lambda **_: context)}


class LocustHTTP3Users(_Users):
    """HTTP3User as it is."""

    kind = HTTP3User


class LocustHTTP3OwnUsers(LocustHTTP3Users):
    """HTTP3User, each with a connection of its own."""

    extra = _ALONE


class LocustHTTP3FastUsers(_Users):
    """HTTP3FastUser as it is."""

    kind = HTTP3FastUser


class LocustHTTP3OwnFastUsers(LocustHTTP3FastUsers):
    """HTTP3FastUser, each with a connection of its own."""

    extra = _ALONE
