"""The floor: the tests' bare sans-IO loop, with the time of each request taken."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import cryptography.hazmat.backends.openssl.backend  # noqa: F401 - else the handshake would
from aioquic.tls import SessionTicket

from benchmarks.workloads.load import (
    FirstRequest,
    Load,
    Sample,
    Session,
    Settings,
    Stopwatch,
    check,
)
from tests.support.clients.bare import BareClient, BareResponse, Pairs

__all__ = ["Bare"]

_WARM = 50  # requests that tell how many will fill the time


class Bare:
    """One connection, one thread, no pool: as many streams open as there would be callers."""

    def __init__(self, settings: Settings) -> None:
        self._cafile = settings.cafile
        self._client: _Timed | None = None
        self._tickets: list[SessionTicket] = []

    def run(self, load: Load) -> Sample:
        (url,) = load.urls
        client = self._client = self._client or self._connect(url)
        client.latencies.clear()
        with Stopwatch() as watch:
            if load.upload or load.callers == 1:
                self._one_by_one(client, load, urlsplit(url).path)
            else:
                self._many(client, load, urlsplit(url).path)
        return watch.sample(list(client.latencies))

    def begin(self, url: str, load: Load) -> float:
        """Seconds until the first byte of a body, which is then read to its end."""
        client = self._client = self._client or self._connect(url)
        began = time.perf_counter()
        stream_id = client.ask(urlsplit(url).path)
        first = client.wait_begun(stream_id) - began
        _judge(load, client.wait(stream_id))
        client.forget()
        return first

    def begin_anew(self, session: Session, load: Load, again: bool) -> FirstRequest:
        """The first request of a new connection."""
        (url,) = load.urls
        ticket = self._tickets.pop() if again and session != "full" else None
        early = urlsplit(url).path if ticket and session == "early" else None
        if ticket and session == "resumed":
            ticket = replace(ticket, max_early_data_size=None)  # else it is offered
        began = time.process_time()
        with Stopwatch() as watch:
            client = self._connect(
                url, keep_ticket=self._tickets.append, ticket=ticket, early=early
            )
            behind = time.process_time()
            stream_id = client.ask(urlsplit(url).path) if early is None else 0
            response = client.wait(stream_id)
        _judge(load, response)
        client.wait_for_one(self._tickets)
        told = client.negotiated
        assert told is not None and told.session_resumed == (ticket is not None)
        assert told.early_data_accepted == (early is not None)
        client.close()
        whole = watch.sample([])
        return FirstRequest(whole.seconds, whole.cpu, behind - began)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _connect(self, url: str, **about: Any) -> _Timed:
        parts = urlsplit(url)
        socket.getaddrinfo(parts.hostname, parts.port)  # part of a first request, as of others'
        return _Timed(parts.port or 443, self._cafile, **about)

    def _one_by_one(self, client: _Timed, load: Load, path: str) -> None:
        due = time.perf_counter() + load.seconds
        while True:
            method = "POST" if load.upload else "GET"
            _judge(load, client.request(method, path, body=load.body))
            client.forget()
            if time.perf_counter() >= due:
                return

    def _many(self, client: _Timed, load: Load, path: str) -> None:
        due = time.perf_counter() + load.seconds
        count = load.callers if load.expected > 65_536 else max(_WARM, load.callers)
        while True:
            run = client.run(count, load.callers, path)
            for response in run.responses:
                _judge(load, response)
            client.forget()
            left = due - time.perf_counter()
            if left <= 0:
                return
            count = max(load.callers, int(run.rate * left))


def _judge(load: Load, response: BareResponse) -> None:
    check(load, 3, 3, response.status, len(response.body))


class _Timed(BareClient):
    """Notes when each stream was opened and when it ended."""

    def __init__(self, port: int, cafile: str, **about: Any) -> None:
        self.latencies: list[float] = []
        self._began: dict[int, float] = {}
        super().__init__(port, cafile, timeout=120.0, **about)

    def forget(self) -> None:
        """Drop the responses that have been judged."""
        self._responses.clear()

    def wait_begun(self, stream_id: int) -> float:
        """When there was the first byte of the body."""
        response = self._responses[stream_id]
        self._until(lambda: bool(response.body))
        return time.perf_counter()

    def wait_for_one(self, tickets: list[SessionTicket]) -> None:
        """Wait until the server has given a ticket."""
        self._until(lambda: bool(tickets))

    def _open(self, path: str, method: str, headers: Pairs, body: bytes | None) -> int:
        began = time.perf_counter()
        stream_id = super()._open(path, method, headers, body)
        self._began[id(self._responses[stream_id])] = began
        return stream_id

    def _finish(self, response: BareResponse) -> None:
        if not response.ended:
            self.latencies.append(time.perf_counter() - self._began.pop(id(response)))
        super()._finish(response)
