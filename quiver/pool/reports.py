"""What a connection and a request tell to telemetry and the log, in one place each."""

from __future__ import annotations

import enum
import logging
import time
from typing import Any

from quiver import telemetry
from quiver.actors.reply import Reply
from quiver.errors import QuiverError
from quiver.h3.agreement import Agreement
from quiver.h3.session import Session
from quiver.models import Stats
from quiver.pool.udp import UdpSocket
from quiver.request import Request

logger = logging.getLogger("quiver.pool")


class ConnectionReport:
    """One connection's life: start, ready, draining, then stop or exception."""

    def __init__(self, origin: str, connection: int) -> None:
        self._name = f"{origin} connection {connection}"
        self._metadata = {"origin": origin, "connection": connection}
        self._started = time.monotonic()
        self._established = False
        self.requests = 0

    def start(self) -> None:
        self._started = time.monotonic()
        self._emit("connection.start", {})

    def entered(self, state: enum.Enum) -> None:
        logger.debug("%s: %s", self._name, state.value)

    def attempt(self, address: tuple[Any, ...]) -> None:
        self._emit("connection.attempt", {}, address=address[:2])

    def ready(self, max_streams: int, socket: UdpSocket | None, session: Session) -> None:
        self._established = True
        if telemetry.listening and socket is not None:
            measurements = {"duration": self._age(), "max_streams": max_streams}
            about = {"address": socket.address, "local": socket.local}
            self._emit(
                "connection.ready", measurements, handshake=Agreement(session).handshake, **about
            )

    def settled(self, session: Session) -> None:
        if telemetry.listening:
            self._emit("connection.settings", {}, settings=Agreement(session).settings)

    def draining(self, active: int, reason: str) -> None:
        logger.debug("%s drains: %s", self._name, reason)
        self._emit("connection.draining", {"active": active}, reason=reason)

    def dropped(self, count: int, direction: str) -> None:
        self._emit("datagram.dropped", {"count": count}, direction=direction)

    def down(self, error: QuiverError | None) -> None:
        logger.debug("%s is down: %s", self._name, error)
        measurements = {"duration": self._age(), "requests": self.requests}
        more: dict[str, Any] = {"established": self._established}
        if error is None:
            self._emit("connection.stop", measurements, **more)
        else:
            more.update(kind=error.kind, error=error)
            self._emit("connection.exception", measurements, **more)

    def _age(self) -> float:
        return time.monotonic() - self._started

    def _emit(self, event: str, measurements: dict[str, Any], **more: Any) -> None:
        if telemetry.listening:
            telemetry.emit(event, measurements, {**self._metadata, **more})


def observe_request(origin: str, request: Request, reply: Reply[Any]) -> None:
    """Tell when a request starts, and when its caller has an outcome, whatever it is."""
    started = time.monotonic()
    metadata = {"origin": origin, "method": request.method, "target": request.target}
    telemetry.emit("request.start", {}, metadata.copy())
    reply.when_done(lambda: _request_done(started, metadata, reply))


def _request_done(started: float, metadata: dict[str, Any], reply: Reply[Any]) -> None:
    measurements = {"duration": time.monotonic() - started}
    outcome = reply.outcome
    if isinstance(outcome, BaseException):
        metadata.update(kind=getattr(outcome, "kind", "unrecoverable"), error=outcome)
        telemetry.emit("request.exception", measurements, metadata)
    else:
        status = getattr(outcome, "status", None)  # a channel has none yet
        telemetry.emit("request.stop", measurements, {**metadata, "status": status})


class QueueReport:
    """Tells the depth of the queue when it has changed."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._told = 0

    def update(self, stats: Stats) -> None:
        if stats.queued == self._told:
            return
        self._told = stats.queued
        measurements = {"queued": stats.queued, "active": stats.active, "idle": stats.idle}
        telemetry.emit("queue.depth", measurements, {"origin": self._origin})
