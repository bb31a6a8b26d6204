"""A rule's `early_data` holds under the interfaces of others, whose GET has no body either."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import requests

from quiver import telemetry
from quiver.adapters.httpx import AsyncHTTP3Transport, HTTP3Transport
from quiver.adapters.requests import HTTP3Adapter
from quiver.testing import Authority, Origin
from tests.support.waiting import until

Ask = Callable[[str, str], int]


class Heard:
    """How often each event was told, and the wait for a connection that is over."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def note(self, event: str, *_: Any) -> None:
        with self._lock:
            self.counts[event] += 1

    def at_rest(self) -> bool:
        """Whether each connection that was ready has brought its ticket, and is over."""
        ready = self.counts["connection.ready"]
        return ready == self.counts["connection.ticket"] == self.counts["connection.stop"] > 0


@pytest.fixture
def heard() -> Iterator[Heard]:
    made = Heard()
    of_connections = [f"connection.{name}" for name in ("ready", "ticket", "stop")]
    telemetry.attach("early", [*of_connections, "early_data.accepted"], made.note)
    yield made
    telemetry.detach("early")


@pytest.fixture
def giving(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority, session_tickets=True) as started:
        yield started


def by_requests(pools: Any, steps: Callable[[Ask], None]) -> None:
    with requests.Session() as session:
        session.trust_env = False  # or a bundle of the environment's takes the place of `cafile`
        session.mount("https://", HTTP3Adapter(fallback=False, pools=pools))
        steps(lambda method, url: session.request(method, url, timeout=20.0).status_code)


def by_httpx(pools: Any, steps: Callable[[Ask], None]) -> None:
    with httpx.Client(
        transport=HTTP3Transport(fallback=False, pools=pools), timeout=60.0
    ) as client:
        steps(lambda method, url: client.request(method, url, timeout=20.0).status_code)


def by_async_httpx(pools: Any, steps: Callable[[Ask], None]) -> None:
    async def ask(method: str, url: str) -> int:
        return (await client.request(method, url, timeout=20.0)).status_code

    client = httpx.AsyncClient(
        transport=AsyncHTTP3Transport(fallback=False, pools=pools), timeout=60.0
    )
    with asyncio.Runner() as runner:
        steps(lambda method, url: runner.run(ask(method, url)))
        runner.run(client.aclose())


@pytest.mark.parametrize("session", [by_requests, by_httpx, by_async_httpx])
def test_what_is_safe_goes_early(
    session: Callable[[Any, Callable[[Ask], None]], None], giving: Origin, heard: Heard
) -> None:
    rule = {"cafile": giving.cafile, "max_connections": 1, "early_data": True}
    url = giving.url + "/ok"

    def steps(ask: Ask) -> None:
        for method, accepted in [("GET", 0), ("GET", 1), ("POST", 1), ("HEAD", 2)]:
            assert ask(method, url) == 200
            assert heard.counts["early_data.accepted"] == accepted, method
            until(heard.at_rest, what="the end of the connection")

    session({"default": {**rule, "idle_timeout": 0.3}}, steps)
