"""PoolTarget: the origin and options that all connections of one pool share, and their errors."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Final

from greenlet import GreenletExit

from quiver.config import PoolConfig
from quiver.errors import (
    ConnectDisabled,
    ConnectionLost,
    ConnectionRefused,
    InternalError,
    PoolStopped,
    QuiverError,
    ReceiveTimeout,
)
from quiver.origin import Origin, no_tls
from quiver.pool.address_attempts import Address
from quiver.pool.address_memory import Worked
from quiver.pool.choice import HTTP1, TCP, Lane
from quiver.pool.dial_progress import Progress
from quiver.pool.http3_stack import Http3Stack
from quiver.pool.http_connection import ProtocolStack, Transport
from quiver.pool.local_address import local_host_to
from quiver.pool.origin_memory import OriginMemory
from quiver.pool.socket_errors import Meaning, SocketError
from quiver.pool.told_heads import Http1Required, Misdirected
from quiver.proxies import Proxy
from quiver.quic.engine import SessionTicket
from quiver.request import OpenChannel

ANEW: Final = 1.0  # seconds after which the same Alt-Svc field begins its time anew
_NO_HTTP1: Final = (
    "HTTP/1.1 is not among what is spoken here: name it in `protocols` of a Client, "
    "or start an HTTP1Pool (the extra tcp)"
)


class PoolTarget:
    """An origin with its options, ready to be dialled.

    Made where the pool is started, so that options which the TLS layer refuses are refused there.

    Args:
        memory: of origins, and their tickets; None begins one for this pool alone.
        stack: what its connections speak.
        over_tcp: yields the stack of a second lane, when it is needed; a dial races both.
        proxy: that is gone through.
        registered_as: what its pool is found by in a registry, if not by origin and stack.

    Attributes:
        proxy: as given.
        dialled: whose name and port are looked up: the origin, or its proxy.
        registered_as: as given, or of its own.
        only: what all of its connections speak, "http/3", say; None where each handshake says it.
        protocol: what is spoken with it now; None before the first handshake has said it.

    Raises:
        InvalidURL: an origin without TLS, where `stack` has TLS always.
        InvalidOptions: roots that cannot be read, say.
    """

    def __init__(
        self,
        origin: Origin,
        config: PoolConfig,
        memory: OriginMemory | None = None,
        stack: type[ProtocolStack] = Http3Stack,
        over_tcp: Callable[[], type[ProtocolStack]] | None = None,
        proxy: Proxy | None = None,
        registered_as: Hashable = None,
    ) -> None:
        if origin.scheme not in stack.schemes:
            raise no_tls(origin, stack.name.upper())
        self._memory = OriginMemory() if memory is None else memory
        self.origin = origin
        self.config = config
        self.name = str(origin)
        self._over_tcp = over_tcp
        self.proxy = proxy
        self.dialled = origin if proxy is None else proxy.place
        self._local: str | None = None  # the host of ours at the last dial
        self._asks_at: float | None = None  # when HTTP/3 is asked again; None: to be seen
        self._told: str | None = None  # the last Alt-Svc field,
        self._told_until = 0.0  # which is no news until then
        self._stacks = {stack.name: self._made(stack)}
        self._lanes = (stack.name,) if over_tcp is None else (stack.name, TCP)
        self.only = None if TCP in self._lanes else stack.name
        self.protocol = self.only
        # HTTP/3's are looked for by their origin.
        own = origin if stack is Http3Stack else (origin, stack.name)
        self.registered_as = registered_as or own

    # What is spoken with it.

    def lanes(self, now: float, address: Address) -> tuple[Lane, ...]:
        """The lanes of a dial that begins now, with this address."""
        self._asks_at = None
        if self.chooses:
            with contextlib.suppress(OSError):  # there is no way to it now
                self._local = local_host_to(address)
        return self._memory.choices.lanes(self.origin, self._lanes, now, self._local)

    def transport(
        self, tell: Callable[[object], None], lane: str | None = None, *, early: bool = False
    ) -> Transport:
        """A transport that is not opened yet, of a lane; None: the first. Raises InvalidOptions."""
        return self._stack_of(lane or self._lanes[0]).transport(tell, early=early)

    def _stack_of(self, lane: str) -> ProtocolStack:
        if lane not in self._stacks:
            assert self._over_tcp is not None
            self._stacks[lane] = self._made(self._over_tcp())
        return self._stacks[lane]

    @property
    def chooses(self) -> bool:
        """Whether a dial has more than one lane."""
        return len(self._lanes) > 1

    def won(self, lane: Lane, behind: Iterable[tuple[Lane, str]], now: float) -> None:
        """Note which lane of a dial was the first; see `Choices.won`."""
        self._asks_at = None
        if self.chooses:
            self._memory.choices.won(self.origin, lane, behind, now, self._local)

    def asks_again(self, now: float) -> bool:
        """Whether HTTP/3 is to be tried beside what is spoken over TCP."""
        if self._asks_at is None:  # it is asked for with each request
            asks_at = self._memory.choices.asks_at
            self._asks_at = asks_at(self.origin, now, self._local) if self.chooses else math.inf
        return now >= self._asks_at

    def wants_http1(self, now: float) -> bool:
        """Whether it has asked for HTTP/1.1, and is dialled for that."""
        return HTTP1 in self._stacks and self._memory.choices.wants_http1(self.origin, now)

    def heard(self, field: str) -> None:
        """Take in an Alt-Svc field of one of its responses; the same in each costs little."""
        now = time.monotonic()
        if field != self._told or now >= self._told_until:
            self._told, self._told_until, self._asks_at = field, now + ANEW, None
            self._memory.choices.heard(self.origin, field, now, self._local)

    def goes_elsewhere(self, refusal: Misdirected | Http1Required, place: str | None) -> bool:
        """Note what a server that has refused a request says of where it would be served.

        Args:
            place: host and port of the alternative service that has said so.

        Returns:
            Whether it can be asked there; if not, the refusal has a note of what it lacks.
        """
        self._told = self._asks_at = None
        choices, now = self._memory.choices, time.monotonic()
        if isinstance(refusal, Misdirected):
            choices.misdirected(self.origin, place, now)
            return True
        if HTTP1 not in self._stacks:
            over_http1 = self._stack_of(self._lanes[-1]).over_http1()
            if over_http1 is None:
                refusal.add_note(_NO_HTTP1)
                return False
            self._stacks[HTTP1] = over_http1
        choices.http1_required(self.origin, now)
        return True

    def _made(self, stack: type[ProtocolStack]) -> ProtocolStack:
        return stack(self.origin, self.config, self._memory.tickets, self.proxy)

    def keep(self, ticket: SessionTicket) -> None:
        """Have a connection to come resume by this ticket."""
        self._memory.tickets.add(self.name, ticket, time.time())

    # Where it was reached.

    def worked(self, address: Address, local: str, now: float, place: Origin | None = None) -> None:
        """Note that a handshake was completed at this address, from the host `local` of ours.

        Args:
            place: of an alternative service; None is the origin's own.
        """
        self._memory.addresses.worked(self._name_of(place), Worked(address, local), now)

    def recall(self, now: float, place: Origin | None = None) -> Address | None:
        """The address at which it was reached last; None when that is not known, too old, or was
        in another network."""
        worked = self._memory.addresses.recall(self._name_of(place), now)
        if worked is None:
            return None
        with contextlib.suppress(OSError):  # there is no way to it now
            if local_host_to(worked.address) == worked.local:
                return worked.address
        return None

    def _name_of(self, place: Origin | None) -> str:
        return self.name if place is None else f"{self.name} at {place}"

    # The errors that can end a connection.

    def unreached(self, cause: SocketError) -> QuiverError:
        """The error of an address that could not be dialled."""
        if cause.meaning is Meaning.REFUSED:
            where = "there" if self.proxy is None else f"at the proxy {self.proxy}"
            said = f"connection refused: nobody listens {where}"
            return self.of_dialled(ConnectionRefused(said, origin=self.name))
        return ConnectionLost(f"no way to it from here: {cause}", origin=self.name)

    def of_dialled(self, error: QuiverError) -> QuiverError:
        """Mark an error of what was dialled, if that is the proxy; return it."""
        error.by_proxy = self.proxy is not None
        return error

    def too_slow(self, progress: Progress) -> QuiverError:
        limit = f"connect_timeout={self.config.connect_timeout} seconds"
        return progress.too_slow(limit, self.name)

    def no_channels(self, request: OpenChannel, spoken: str) -> QuiverError:
        """The error of a channel over TCP, where this is spoken: "http/2", say."""
        only = f"channels are opened over HTTP/3 only, and this is {spoken.upper()}"
        said = f"method={request.method!r}: {only}"
        return ConnectDisabled(said, origin=self.name)

    def no_settings(self) -> QuiverError:
        return ReceiveTimeout("the server has not sent its SETTINGS", origin=self.name)

    def gone(self, cause: SocketError | None, seconds: float) -> QuiverError:
        """The error of a server that was suspected, and did not answer PINGs either."""
        said = f"silent for {seconds:.1f} seconds, also to PINGs"
        if cause is not None:
            closed = cause.meaning is Meaning.REFUSED
            said = f"{'the port is closed now' if closed else cause}; {said}"
        return ConnectionLost(f"connection lost: {said}", origin=self.name)

    def cannot_move(self, former: tuple[str, int], found: str, why: str) -> QuiverError:
        """The error of a connection whose local address is gone, and that cannot follow."""
        said = f"our address has changed from {former[0]} to {found}, and it cannot migrate: {why}"
        return ConnectionLost(f"connection lost: {said}", origin=self.name)

    def not_followed(
        self, former: tuple[str, int], local: tuple[str, int], seconds: float
    ) -> QuiverError:
        """The error of a connection that has moved, and whose server does not answer there."""
        moved = f"it migrated from {former[0]} to {local[0]}"
        silent = f"where the server has not answered for {seconds:.1f} seconds"
        return ConnectionLost(f"connection lost: {moved}, {silent}", origin=self.name)

    def failed(self, error: BaseException) -> QuiverError:
        """The error for a request in whose name something was raised that nobody foresaw."""
        named = InternalError(f"the request failed on our side: {_said(error)}", origin=self.name)
        named.__cause__ = error
        return named

    def stopped(self) -> QuiverError:
        return PoolStopped("the pool was stopped", origin=self.name)

    def forked(self) -> QuiverError:
        return PoolStopped("the connection lives on in the parent process only", origin=self.name)

    def actor_failed(self, reason: BaseException) -> QuiverError:
        """The error of a connection whose actor was killed, or has failed."""
        how = "was killed" if isinstance(reason, GreenletExit) else f"failed: {_said(reason)}"
        lost = ConnectionLost(f"connection lost: its actor {how}", origin=self.name)
        lost.__cause__ = reason
        return lost


def _said(error: BaseException) -> str:
    """An exception in words, also one whose own words fail."""
    try:
        return repr(error)
    except Exception:  # noqa: BLE001 - of a class that is not ours
        return type(error).__name__
