"""PathKeeper: keeps the path to a connection's server: asks it in silence, and moves with us.

    silence, an error of the socket --> look --> unchanged: is the server gone? PINGs ask it
                                             --> changed: a new socket, and QUIC's migration
                                             --> no way at all: wait for one, while anything is open

When it is decided what is in `Liveness` and `PathChanges`; here it is done. A connection that has
moved is lent again when the server has been heard from the new path: what may forget connections
whose clients move (a load balancer, say) costs no request that had not begun.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from quiver.actors.timers import Timers
from quiver.errors import EXHAUSTED, QuiverError
from quiver.pool import messages
from quiver.pool.exchanges import Exchanges
from quiver.pool.http_connection import ConnectedSocket, Transport
from quiver.pool.liveness import Liveness, Step, keep_alive_interval
from quiver.pool.local_address import host_of, is_ours, local_host_to
from quiver.pool.path_changes import Outlook, PathChanges
from quiver.pool.reports import ConnectionReport
from quiver.pool.socket_errors import Meaning, SocketError
from quiver.pool.target import PoolTarget
from quiver.quic.engine import Obstacle

__all__ = ["PathKeeper"]

LATE_PACKETS: Final = 3.0  # seconds in which what was sent to the former address may arrive
PING: Final = 1  # a PING's name; which of several was answered never matters


class PathKeeper:
    """The path of the connection of `transport`, from its handshake on.

    Args:
        number: of the connection in its pool.
        exchanges: what is open on it.
        timers: of the connection, which hands the firings of "ping" to `ping_in_time`, those of
            "silence" to `ping_in_silence`, those of "suspicion" to `proceed`, and those of "former"
            to the transport.
        tell_pool: sends the coordinator a message.
        end: ends the connection by an error of the network's.
        leave: ends it likewise, and has what never left carried on by another one.
        withdraw: drains it, for that reason: what is open goes on.
    """

    def __init__(
        self,
        number: int,
        target: PoolTarget,
        transport: Transport,
        liveness: Liveness,
        exchanges: Exchanges,
        timers: Timers,
        report: ConnectionReport,
        tell_pool: Callable[[object], None],
        end: Callable[[QuiverError], None],
        leave: Callable[[QuiverError], None],
        withdraw: Callable[[str], None],
    ) -> None:
        self._number = number
        self._target = target
        self.transport = transport
        self._liveness = liveness
        self._exchanges = exchanges
        self._timers = timers
        self._report = report
        self._tell_pool = tell_pool
        self._end, self._leave, self._withdraw = end, leave, withdraw
        self._changes = PathChanges()
        self._former: tuple[str, int] | None = None  # where we were, while a path is validated

    # PINGs ----------------------------------------------------------------------------------

    def arrange_ping(self) -> None:
        """Have the next PING sent in time, so that neither side's idle timeout ends it."""
        idle_timeout, busy = self.transport.http.idle_timeout, bool(self._exchanges)
        seconds = keep_alive_interval(self._target.config.keep_alive, idle_timeout, busy=busy)
        if seconds < math.inf:
            self._timers.start_in_step("ping", seconds)

    def ping_in_time(self) -> None:
        """Send it, if it is wanted."""
        if self._exchanges or self._target.config.keep_alive is not None:
            now = time.monotonic()
            if self._liveness.wants_look(now):
                self._follow(now)
            self.transport.http.ping(PING)
        self.arrange_ping()

    def ping_in_silence(self) -> None:
        """Send one if nothing has come for long, and see whether that is for a reason of ours."""
        now, self._liveness.awaits_ping = time.monotonic(), False
        if self._exchanges and self._liveness.wants_ping(now):
            self._follow(now)
            self.transport.http.ping(PING)

    # suspicion ------------------------------------------------------------------------------

    def silent(self) -> None:
        """Suspect the server: a request has timed out in silence."""
        self._follow(time.monotonic())
        self._suspect(None)

    def failed(self, error: SocketError) -> None:
        """Take an error of the socket, which may say that there is no way to the server."""
        match error.meaning:
            case Meaning.REFUSED | Meaning.UNREACHABLE:
                if error.local:  # the kernel's own word
                    self._follow(time.monotonic())
                self._suspect(error)
            case Meaning.TOO_LONG:
                self.transport.http.shorten()
            # What is LOST, QUIC sends again.

    def _suspect(self, cause: SocketError | None) -> None:
        """Lend it no more until it says something: it may be gone without a CONNECTION_CLOSE."""
        probe_timeout = self.transport.http.probe_timeout
        self.proceed(self._liveness.suspect(cause, probe_timeout, time.monotonic()))

    def proceed(self, step: Step) -> None:
        """Do what the suspicion has come to."""
        suspicion, http = self._liveness.suspicion, self.transport.http
        match step:
            case Step.SUSPEND:
                self._tell_pool(messages.Suspended(self._number))
                self._report.suspended(self._reason(suspicion.cause))
                http.probe()
            case Step.ASK:
                self._follow(time.monotonic())
                http.probe()
            case Step.RESUME:
                self._tell_pool(messages.Resumed(self._number))
                self._report.resumed()
            case Step.LOSE if not http.closed and not self._put_off():
                silence = time.monotonic() - self._liveness.heard_at
                return self._end(self._gone(suspicion.cause, silence))
        return self._timers.at("suspicion", suspicion.due())

    def _reason(self, cause: SocketError | None) -> str:
        if self._former is not None:
            return "our address has changed"
        return "it went silent" if cause is None else str(cause)

    def _put_off(self) -> bool:
        """Wait on if something is open, and the server cannot be heard for a reason of ours."""
        now = time.monotonic()
        self._follow(now)
        waits = self._former is not None or self._changes.waits(now)
        if not (self._exchanges and waits):
            return False
        self._liveness.suspicion.hold(now)
        return True

    def _gone(self, cause: SocketError | None, silence: float) -> QuiverError:
        socket = self.transport.socket
        if self._former is None or socket is None:
            return self._target.gone(cause, silence)
        return self._target.not_followed(self._former, socket.local, silence)

    # a change of address --------------------------------------------------------------------

    def look_before_lending(self) -> bool:
        """See whether we are still where we were. Returns whether the connection may be lent.

        Where there is no way just now, one that was heard lately is lent all the same: it may be
        for a moment only, and what is asked waits. Another one is dialled in place of the others.
        """
        now = time.monotonic()
        outlook = self._follow(now, lending=True)
        for_a_moment = outlook is Outlook.AWAY and not self._liveness.is_silent(now)
        may_be = outlook is Outlook.UNCHANGED or for_a_moment
        return may_be and not self._liveness.suspicion.raised

    def _follow(self, now: float, *, lending: bool = False) -> Outlook:
        """Look from where the server is reached, and go there if that has changed."""
        socket, changes = self.transport.socket, self._changes
        if socket is None or not changes.may_look(now):
            return changes.outlook
        here, refusal, found = host_of(socket.name), None, None
        try:
            found = local_host_to(socket.to, here) or here
        except OSError as error:
            refusal = SocketError(error.errno or 0, local=True)
        outlook = changes.looked(here, found, now)
        idle = lending and not self._exchanges
        if outlook is Outlook.CHANGED and found is not None:
            self._move(socket, found, now)
        elif outlook is Outlook.LATER and found is not None and idle:
            self._leave(self._target.cannot_move(socket.local, found, outlook.value))
        elif refusal is not None and idle and self._liveness.is_silent(now):
            self._end(self._target.unreached(refusal))  # a new one may go another way
        elif refusal is not None and self._exchanges:
            self._suspect(refusal)
            if changes.makes_room(now):
                self._withdraw("there is no way to its server")
        return outlook

    def _move(self, socket: ConnectedSocket, found: str, now: float) -> None:
        try:
            obstacle = self.transport.migrate(now)
        except OSError as error:
            if error.errno not in EXHAUSTED:
                self._suspect(SocketError(error.errno or 0, local=True))
            return
        if obstacle is None:
            self._changes.moved(now)
            self._former = socket.local
            self._suspect(None)
        else:
            self._stay(socket, found, obstacle)

    def _stay(self, socket: ConnectedSocket, found: str, obstacle: Obstacle) -> None:
        """End what cannot move, or ask the server whether it is still reached from the address
        that is ours beside the new one."""
        self._report.migrated(0.0, socket.local, (found, 0), obstacle.value)
        if is_ours(socket.to[0], socket.name):
            self._changes.keep(found)
            self._suspect(None)
        else:
            self._leave(self._target.cannot_move(socket.local, found, obstacle.value))

    def validated(self, seconds: float) -> None:
        """Note that the server is reached from the new path."""
        socket, former = self.transport.socket, self._former
        self._former = None
        if socket is not None and former is not None:
            self._report.migrated(seconds, former, socket.local, None)
            self._timers.start("former", LATE_PACKETS)

    def invalid(self, seconds: float) -> None:
        """End what the server does not answer from the new path, unless there is another one."""
        socket, former = self.transport.socket, self._former
        self._former = None
        if socket is None or former is None:
            return
        self._report.migrated(seconds, former, socket.local, "the server does not answer there")
        now = time.monotonic()
        self._follow(now)
        if self._former is not None:
            return  # gone on to another one
        if self._changes.waits(now):
            self._suspect(None)
        else:
            self._leave(self._target.not_followed(former, socket.local, seconds))
