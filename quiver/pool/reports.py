"""Telemetry and log records of connections, requests and the queue.

`ask_observed` is the other way round: an observer is told of a request in its caller's thread, and
may put another in its place.
"""

from __future__ import annotations

import enum
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from quiver import telemetry
from quiver.actors.handle import Handle
from quiver.actors.log import log_forwarder
from quiver.actors.propagation import must_propagate_from_call
from quiver.errors import QuiverError
from quiver.h3 import events
from quiver.models import Handshake, ResponseConnection, Stats
from quiver.pool.choice import Lane
from quiver.pool.http_connection import HttpConnection, Transport
from quiver.pool.messages import PoolReply
from quiver.pool.told_heads import TooEarly
from quiver.proxies import Proxy
from quiver.quic.engine import SessionTicket
from quiver.request import OpenChannel, Request
from quiver.streams.receive_buffer import Reader
from quiver.telemetry import Measurements, Metadata, Observation, Observer

__all__ = [
    "ChannelReport",
    "ConnectionReport",
    "QueueReport",
    "ask_observed",
    "logger",
    "observe_request",
]

T = TypeVar("T")
LocalName = tuple[str, int]  # host and port of ours

logger = logging.getLogger("quiver.pool")

# All that speak in the loop, the last two aioquic's.
log_forwarder.take(
    "quiver.pool", "quiver.telemetry", "quiver.upload", "quiver.qlog", "quic", "http3"
)


class ConnectionReport:
    """The events of one connection: start, ready, draining, then stop or exception."""

    def __init__(
        self,
        origin: str,
        connection: int,
        protocol: str | None = "http/3",
        proxy: Proxy | None = None,
    ) -> None:
        self._number = connection
        self._name = f"{origin} connection {connection}"
        self._metadata: Metadata = {
            "origin": origin,
            "connection": connection,
            "http_version": None if protocol is None else protocol.upper(),  # until it is ready
            "proxy": None if proxy is None else str(proxy),
        }
        self._started = time.monotonic()
        self._established = False
        self._alternative: str | None = None
        self._behind: tuple[tuple[str, str], ...] = ()
        self.requests = 0

    def start(self) -> None:
        self._started = time.monotonic()
        self._emit("connection.start", {})

    def entered(self, state: enum.Enum) -> None:
        logger.debug("%s: %s", self._name, state.value)

    def attempt(self, address: tuple[object, ...], lane: Lane) -> None:
        about = {"lane": lane.name, "why": lane.why}
        self._emit("connection.attempt", {}, address=address[:2], **about)

    def chosen(self, alternative: str | None, behind: Sequence[tuple[str, str]]) -> None:
        """Note with whom it has come about, and what has not."""
        self._alternative, self._behind = alternative, tuple(behind)

    def ready(
        self, event: events.Ready, transport: Transport, agreed: Handshake
    ) -> ResponseConnection | None:
        """Tell that the handshake is over, in which that was agreed on.

        Returns what responses say of their connection.
        """
        self._established = True
        socket = transport.socket
        if socket is None:
            return None
        ends, alternative = (socket.address, socket.local), self._alternative
        made = ResponseConnection(self._number, *ends, agreed, self._age(), alternative)
        self._metadata["http_version"] = made.http_version
        if telemetry.listening:
            most = event.max_streams if event.concurrent is None else event.concurrent
            measurements = {"duration": made.seconds, "max_streams": most}
            about = {"address": made.address, "local": made.local, "handshake": made.handshake}
            chosen = {"alternative": alternative, "behind": self._behind}
            self._emit("connection.ready", measurements, **about, **chosen)
        return made

    def settled(self, http: HttpConnection) -> None:
        if telemetry.listening:
            self._emit("connection.settings", {}, settings=http.settings)

    def ticket(self, ticket: SessionTicket) -> None:
        measurements = {"lifetime": ticket.until - ticket.issued}
        self._emit("connection.ticket", measurements, early_data=ticket.early)

    def early_data(self, outcome: str, count: int) -> None:
        if telemetry.listening:
            telemetry.emit(f"early_data.{outcome}", {"count": count}, self._metadata)

    def asks_again(self, request: Request, error: QuiverError) -> None:
        """Tell of a request that goes again, where that is not as if it had never gone."""
        about = {"method": request.method, "target": request.target}
        if isinstance(error, TooEarly):
            self._emit("early_data.refused", {"count": 1}, **about)
        elif not error.unprocessed:
            self._emit("request.repeated", {}, **about)

    def draining(self, active: int, reason: str) -> None:
        logger.debug("%s drains: %s", self._name, reason)
        self._emit("connection.draining", {"active": active}, reason=reason)

    def migrated(
        self, seconds: float, former: LocalName, local: LocalName, failure: str | None
    ) -> None:
        outcome = failure or f"validated in {seconds:.3f} s"
        logger.debug("%s migrates from %s to %s: %s", self._name, former, local, outcome)
        about = {"former": former, "local": local, "failure": failure}
        self._emit("connection.migrated", {"duration": seconds}, **about)

    def suspended(self, reason: str) -> None:
        logger.debug("%s is suspended: %s", self._name, reason)
        self._emit("connection.suspended", {}, reason=reason)

    def resumed(self) -> None:
        logger.debug("%s is lent again", self._name)
        self._emit("connection.resumed", {})

    def datagrams(self, direction: str, payloads: Sequence[bytes]) -> None:
        if payloads and telemetry.listening:
            measurements = {"count": len(payloads), "size": sum(map(len, payloads))}
            self._emit(f"datagram.{direction}", measurements)

    def dropped(self, count: int, direction: str) -> None:
        if count:
            self._emit("datagram.dropped", {"count": count}, direction=direction)

    def channel(self, request: OpenChannel) -> ChannelReport | None:
        return ChannelReport(self._metadata, request) if telemetry.listening else None

    def down(self, error: QuiverError | None) -> None:
        logger.debug("%s is down: %s", self._name, error or "closed in order")
        measurements = {"duration": self._age(), "requests": self.requests}
        more: dict[str, Any] = {"established": self._established}
        if error is None:
            self._emit("connection.stop", measurements, **more)
        else:
            more.update(kind=error.kind, error=error)
            self._emit("connection.exception", measurements, **more)

    def _age(self) -> float:
        return time.monotonic() - self._started

    def _emit(self, event: str, measurements: Measurements, **more: object) -> None:
        if telemetry.listening:
            telemetry.emit(event, measurements, {**self._metadata, **more})


class ChannelReport:
    """The events of one channel: start, then stop or exception.

    Args:
        metadata: of its connection.

    Attributes:
        status: of the response, when that has come.
    """

    def __init__(self, metadata: Metadata, request: OpenChannel) -> None:
        asked = {"method": request.method, "target": request.target, "protocol": request.protocol}
        self._metadata: Metadata = {**metadata, **asked}
        self._started = time.monotonic()
        self._over = False
        self.status: int | None = None
        telemetry.emit("channel.start", {}, self._metadata)

    def over(self, error: QuiverError | None) -> None:
        """Tell its end; only the first one counts."""
        if self._over:
            return
        self._over = True
        measurements = {"duration": time.monotonic() - self._started}
        metadata = {**self._metadata, "status": self.status}
        if error is None:
            telemetry.emit("channel.stop", measurements, metadata)
        else:
            metadata.update(kind=error.kind, error=error)
            telemetry.emit("channel.exception", measurements, metadata)


def observe_request(origin: str, request: Request, reply: PoolReply, since: float) -> None:
    """Tell that a request starts, and when its caller has an outcome, whatever it is.

    Its duration is what the caller waits, from the monotonic time `since`.
    """
    metadata = {"origin": origin, "method": request.method, "target": request.target}
    telemetry.emit("request.start", {}, metadata.copy())
    reply.when_done(lambda: _request_done(since, metadata, reply))


def _request_done(since: float, metadata: Metadata, reply: PoolReply) -> None:
    measurements = {"duration": time.monotonic() - since}
    outcome = reply.outcome
    if isinstance(outcome, BaseException):
        metadata.update(kind=getattr(outcome, "kind", "unrecoverable"), error=outcome)
        telemetry.emit("request.exception", measurements, metadata)
    else:
        status = getattr(outcome, "status", None)  # a channel has none yet
        telemetry.emit("request.stop", measurements, {**metadata, "status": status})


class QueueReport:
    """The event of the queue's depth, when that has changed."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._told = 0

    def update(self, stats: Stats) -> None:
        if stats.queued == self._told:
            return
        self._told = stats.queued
        measurements = {"queued": stats.queued, "active": stats.active, "idle": stats.idle}
        telemetry.emit("queue.depth", measurements, {"origin": self._origin})


# Observers of requests ----------------------------------------------------------------------


_observers = logging.getLogger("quiver.telemetry")


def ask_observed(begin: Observer, origin: str, request: Request, ask: Callable[[Request], T]) -> T:
    """Ask the request, or the one that the observer puts in its place, and return the answer."""
    try:
        observation = begin(origin, request)
        request = request if observation is None else observation.request
    except BaseException as error:
        if must_propagate_from_call(error):
            raise
        _observers.exception("the observer %r failed to begin; the request goes on", begin)
        return ask(request)
    if observation is None:
        return ask(request)
    try:
        answer = ask(request)
    except BaseException as error:
        _safely(observation.ended, error)
        raise
    if isinstance(answer, Handle):  # of an ask that does not block; to observe keeps it not going
        answer.reply.when_done(partial(_conclude, observation, answer.reply))
    else:
        _answered(observation, answer)
    return answer


def _conclude(observation: Observation, reply: PoolReply) -> None:
    outcome = reply.outcome
    if isinstance(outcome, BaseException):
        _safely(observation.ended, outcome)
    else:
        _answered(observation, outcome)


def _answered(observation: Observation, answer: object) -> None:
    _safely(observation.answered, answer)
    if isinstance(answer, Reader):
        answer.when_over(partial(_safely, observation.ended))
    else:
        _safely(observation.ended, None)


def _safely(call: Callable[[T], object], argument: T) -> None:
    try:
        call(argument)
    except BaseException as error:
        if must_propagate_from_call(error):
            raise
        _observers.exception("an observation failed in %r", call)
