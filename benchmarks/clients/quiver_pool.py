"""Quiver, as its four kinds of caller use it."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

from benchmarks.workloads.closed_loop import GreenletCallers, ThreadCallers
from benchmarks.workloads.load import (
    FirstRequest,
    Load,
    Sample,
    Session,
    Settings,
    Stopwatch,
    check,
    drain,
)
from quiver import Client, Request, telemetry  # with all that is heavy: it is not to be measured
from quiver.actors.actor import GeventActor, GeventActorRef

__all__ = ["QuiverActor", "QuiverClient", "QuiverGreenlets", "QuiverThreads", "options"]


def options(settings: Settings) -> dict[str, Any]:
    """Those of its pools."""
    return {
        "cafile": settings.cafile,
        "max_connections": settings.connections,
        "max_streams_per_connection": 1_000,  # the server allows fewer
        "max_requests_per_connection": None,
        "receive_timeout": 60.0,
    }


def _client(settings: Settings, **more: Any) -> Client:
    return Client(pools={"default": {**options(settings), **more}})


class _Client:
    """`Client.request`, whoever calls it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client = _client(settings)
        self._beginning: dict[Session, Client] = {}

    def ask(self, url: str, load: Load) -> None:
        method = "POST" if load.upload else "GET"
        response = self._client.request(method, url, body=load.body)
        check(load, 3, 3, response.status, len(response.body))  # Quiver speaks nothing else

    def begin(self, url: str, load: Load) -> float:
        """Seconds until the first byte of a body, which is then read to its end."""
        began = time.perf_counter()
        with self._client.stream("GET", url) as response:
            first, size = drain(response, began)
        check(load, 3, 3, response.status, size)
        return first

    def begin_anew(self, session: Session, load: Load, again: bool) -> FirstRequest:
        """The first request of a new connection."""
        (url,) = load.urls
        client = self._beginning.pop(session, None)
        if client is None or session == "full":  # without a ticket
            client = _client(self._settings, early_data=session == "early")
        self._beginning[session] = client
        client.pool(url)  # it is there, and has no connection
        came, at = threading.Event(), dict[str, float]()
        telemetry.attach("ticket", ["connection.ticket"], lambda *_: came.set())
        steps = ["connection.attempt", "connection.ready"]
        telemetry.attach("steps", steps, lambda name, *_: at.setdefault(name, time.process_time()))
        with Stopwatch() as watch:
            response = client.get(url)
        check(load, 3, 3, response.status, len(response.body))
        by = response.connection
        assert by is not None and by.resumed == (again and session != "full")
        assert by.early == (again and session == "early")
        assert came.wait(60.0)
        telemetry.detach("ticket")
        telemetry.detach("steps")
        client.pool(url).stop()
        whole = watch.sample([])
        handshake = at["connection.ready"] - at["connection.attempt"]
        return FirstRequest(whole.seconds, whole.cpu, handshake)

    def close(self) -> None:
        self._client.close()
        for client in self._beginning.values():
            client.close()


class QuiverClient(_Client, ThreadCallers):
    """`Client` from OS threads: a URL in, a Response out."""


class QuiverGreenlets(_Client, GreenletCallers):
    """`Client` from the greenlets of a monkey-patched program."""


class QuiverThreads(ThreadCallers):
    """The pool's ref asked from OS threads, as a program of Pykka actors does."""

    def __init__(self, settings: Settings) -> None:
        self._client = _client(settings)
        self._places: dict[str, tuple[GeventActorRef[Any], str]] = {}

    def ask(self, url: str, load: Load) -> None:
        pool, path = self._places.get(url) or self._place(url)
        method = "POST" if load.upload else "GET"
        response = pool.ask(Request(method, path, body=load.body))
        check(load, 3, 3, response.status, len(response.body))

    def close(self) -> None:
        self._client.close()

    def _place(self, url: str) -> tuple[GeventActorRef[Any], str]:
        return self._places.setdefault(url, split(self._client, url))


class QuiverActor:
    """Callers that are actors themselves: each asks the pool from its own greenlet of the hub."""

    def __init__(self, settings: Settings) -> None:
        self._client = _client(settings)
        self._callers: list[GeventActorRef[_Caller]] = []

    def run(self, load: Load) -> Sample:
        missing = load.callers - len(self._callers)
        self._callers += [_Caller.start(self._client) for _ in range(missing)]
        with Stopwatch() as watch:
            due = time.perf_counter() + load.seconds
            asked = [
                caller.ask((n, load, due), block=False)
                for n, caller in enumerate(self._callers[: load.callers])
            ]
            found = [reply.get() for reply in asked]
        return watch.sample(list(itertools.chain.from_iterable(found)))

    def close(self) -> None:
        for caller in self._callers:
            caller.stop()
        self._client.close()


class _Caller(GeventActor):
    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client

    def on_receive(self, message: tuple[int, Load, float]) -> list[float]:
        number, load, due = message
        pool, path = split(self._client, load.url(number))
        method, latencies = "POST" if load.upload else "GET", []
        while True:
            began = time.perf_counter()
            response = self.ask(pool, Request(method, path, body=load.body))
            ended = time.perf_counter()
            check(load, 3, 3, response.status, len(response.body))
            latencies.append(ended - began)
            if ended >= due:
                return latencies


def split(client: Client, url: str) -> tuple[GeventActorRef[Any], str]:
    """The pool of a URL's origin, and the URL's path."""
    host, _, path = url.removeprefix("https://").partition("/")
    return client.pool(f"https://{host}"), f"/{path}"
