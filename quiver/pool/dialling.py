"""How a connection comes about: the name, its addresses, one attempt after the other.

The first half of a Connection's life, kept apart from the exchanges that come after it. One time
limit, `connect_timeout`, holds for all of it; each address has its share of what is left.
"""

from __future__ import annotations

import contextlib
import enum
import math
import time
from typing import Any

import gevent
import pykka

from quiver.actors.machine import StateMachine
from quiver.errors import ConnectTimeout, NameResolutionFailed, QuiverError
from quiver.h3.session import Session
from quiver.pool import messages
from quiver.pool.endpoint import Endpoint
from quiver.pool.messages import Occurrence
from quiver.pool.udp import Address, UdpSocket, resolve


class State(enum.Enum):
    """Where a connection is in its life."""

    RESOLVING = "resolving"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DRAINING = "draining"


class Dialling(StateMachine):
    """Owns the socket and the session, and gets them to shake hands.

    A subclass takes what the session then says, and ends in `_end(error)` when all has failed.
    """

    initial = State.RESOLVING
    _session: Session  # from the first attempt on

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._addresses: list[Address] = []
        self._socket: UdpSocket | None = None
        self._readable = False  # a READABLE is in the inbox
        self._error: QuiverError | None = None  # what the network ended it with

    def on_start(self) -> None:
        super().on_start()
        limit = self._endpoint.config.connect_timeout
        self._dial_until = time.monotonic() + (math.inf if limit is None else limit)
        if limit is not None:
            self.timers.at("resolving", self._dial_until)
        gevent.spawn(self._resolve)

    def on_receive(self, message: Any) -> None:
        match message:
            case messages.Resolved(outcome):
                self._resolved(outcome)
            case _:
                raise TypeError(f"{self} does not know the message {message!r}")

    def dialling_timer_fired(self, key: object) -> None:
        if key == "resolving":
            self._end(self._endpoint.too_slow())

    def _resolve(self) -> None:
        """In a greenlet of its own, so that the actor can be stopped meanwhile."""
        outcome: list[Address] | QuiverError
        try:
            outcome = resolve(self._endpoint.origin.host, self._endpoint.origin.port)
        except NameResolutionFailed as error:
            outcome = NameResolutionFailed(str(error), origin=self._endpoint.name)
        self._tell(self.actor_ref, messages.Resolved(outcome))

    def _resolved(self, outcome: list[Address] | QuiverError) -> None:
        self.timers.cancel("resolving")
        if isinstance(outcome, QuiverError):
            return self._end(outcome)
        self._addresses = outcome
        return self._dial_next()

    def _dial_next(self) -> None:
        """Try the next address, for its share of the time that is left."""
        family, address = self._addresses.pop(0)
        self._attempting(address)
        now = time.monotonic()
        share = max(0.0, self._dial_until - now) / (len(self._addresses) + 1)
        try:
            self._socket = UdpSocket((family, address), self._on_readable)
        except OSError as error:
            return self._attempt_failed(self._endpoint.unreachable(error))
        self._session = self._endpoint.session()
        self._session.connect(address, now)
        return self.become(State.CONNECTING, timeout=None if math.isinf(share) else share)

    def _attempting(self, address: tuple[Any, ...]) -> None:
        """An address is about to be tried; for a subclass to tell of it."""

    def on_state_timeout(self, state: enum.Enum) -> None:  # noqa: ARG002 - CONNECTING has one
        self._attempt_failed(self._endpoint.too_slow())

    def _closed(self, error: QuiverError) -> None:
        """The session is over. Another address may do better if this one did not answer."""
        if isinstance(error, ConnectTimeout):
            self._attempt_failed(error)
        else:
            self._end(error)

    def _attempt_failed(self, error: QuiverError) -> None:
        self._drop_socket()
        if self._addresses:
            self._dial_next()
        else:
            self._end(error)

    def _end(self, error: QuiverError) -> None:
        self._error = error
        self.leave()

    def _on_readable(self) -> None:
        if not self._readable:
            self._readable = True
            self._tell(self.actor_ref, Occurrence.READABLE)

    def _flush(self) -> None:
        assert self._socket is not None
        try:
            self._socket.send(self._session.datagrams(time.monotonic()))
        except ConnectionRefusedError:
            self._tell(self.actor_ref, Occurrence.REFUSED)

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, ref: pykka.ActorRef[Any], message: object) -> None:
        with contextlib.suppress(pykka.ActorDeadError):  # it hears no more, and need not
            ref.tell(message)
