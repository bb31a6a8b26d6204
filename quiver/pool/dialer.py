"""Dialer: how a connection comes about: the name, and its addresses side by side.

    start --> Resolved, a message --> resolved(addresses) --> receive*, tick*, flush* --> an outcome

Which address is tried when, and over what, is decided by `LaneRace` (RFC 8305). Here each attempt
has a transport of its own, a socket and an HTTP connection, until the first of them has shaken
hands: that is the outcome, and the others say goodbye and are gone. One time limit,
`connect_timeout`, holds for all of it.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs
import gevent

from quiver.actors import signal_deferral
from quiver.actors.descriptors import NoneLeft
from quiver.errors import (
    EXHAUSTED,
    CertificateInvalid,
    ConnectionRefused,
    ConnectTimeout,
    NameResolutionFailed,
    QuiverError,
)
from quiver.h3 import events
from quiver.origin import Origin
from quiver.pool.address_attempts import (
    Abandon,
    Address,
    AttemptAction,
    GiveUp,
    Try,
    interleaved,
)
from quiver.pool.checkout import exhausted
from quiver.pool.choice import HTTP3, Lane
from quiver.pool.dial_progress import Progress
from quiver.pool.http_connection import HttpConnection, Transport
from quiver.pool.lane_race import LaneRace
from quiver.pool.local_address import host_of
from quiver.pool.messages import Resolved
from quiver.pool.name_resolution import resolve
from quiver.pool.path_changes import Outlook
from quiver.pool.socket_errors import Meaning, SocketError
from quiver.pool.target import PoolTarget

__all__ = ["Connected", "Dialer", "Outcome"]

AWAY: Final = 2.0  # seconds in which a network that was there may be another one
MOST_ANEW: Final = 3  # changes of our address that one attempt is begun anew for


@attrs.frozen
class Connected:
    """The outcome of a dial that went well.

    Attributes:
        transport: of the attempt that has won; its owner adopts it.
        lane: of that.
        behind: the lanes that had begun beside it, by name, each with why it was not the first.
        events: of its HTTP/3 connection, Ready among them.
    """

    transport: Transport
    lane: Lane
    behind: list[tuple[str, str]]
    events: list[events.Event]


Outcome = Connected | QuiverError | None
"""What a step of a dial has come to; None while it goes on."""


class Dialer:
    """Gets one connection to `target` connected.

    Args:
        tell: sends its owner a message.
        on_attempt: called with each address before it is tried, and the lane.
        on_progress: called when it has come further.
        on_early: called with the connection of the first attempt that there is a way for, when its
            handshake has begun and requests may go along, and its lane; None: none shall.

    Attributes:
        progress: how far it has come.
    """

    def __init__(
        self,
        target: PoolTarget,
        tell: Callable[[object], None],
        on_attempt: Callable[[tuple[str, int], Lane], None],
        on_progress: Callable[[Progress], None],
        on_early: Callable[[HttpConnection, Lane], None] | None = None,
    ) -> None:
        self._target = target
        self._tell = tell
        self._on_attempt = on_attempt
        self._asks: list[gevent.Greenlet[..., None]] = []  # for names
        self._on_progress = on_progress
        self._on_early = on_early
        self._until = math.inf
        self._table: LaneRace | None = None  # when the name is resolved
        self._attempts: dict[int, Transport] = {}  # those that are alive
        self._addresses: dict[int, Address] = {}  # and where they go
        self._anew: dict[int, int] = {}  # how often they were begun anew
        self._away_since: dict[int, float] = {}  # when there was no way for them first
        self.progress = Progress()

    def start(self) -> None:
        """Have the name looked up, off the hub; the time limit begins."""
        limit = self._target.config.connect_timeout
        self._until = time.monotonic() + (math.inf if limit is None else limit)
        if signal_deferral.active:
            signal_deferral.wrap_handlers()  # also those that were set since
        self._look_up(None)

    def resolved(
        self, outcome: list[Address] | QuiverError, now: float, place: Origin | None = None
    ) -> Outcome:
        """Begin with the first of the addresses; they are in the system's order of preference.

        Args:
            place: of an alternative service, whose addresses they are; None: of what is dialled.
        """
        if not outcome:
            outcome = self._no_address(place or self._target.dialled)
        if place is not None:
            return self._found(place, outcome, now)
        return outcome if isinstance(outcome, QuiverError) else self._begin(outcome, now)

    def _begin(self, addresses: list[Address], now: float) -> Outcome:
        in_order = interleaved(addresses, self._target.recall(now))
        lanes = self._target.lanes(now, in_order[0])
        self._table = LaneRace(lanes, in_order, self._until, now)
        for lane in lanes:
            if lane.place is not None:
                self._look_up(lane.place)
        return self._do(self._table.tick(now), now)

    def _found(self, place: Origin, outcome: list[Address] | QuiverError, now: float) -> Outcome:
        assert self._table is not None
        if isinstance(outcome, QuiverError):
            return self._do(self._table.unfound(place, outcome, now), now)
        in_order = interleaved(outcome, self._target.recall(now, place))
        return self._do(self._table.found(place, in_order, now), now)

    # its time ------------------------------------------------------------------------------

    def due(self) -> float | None:
        """The time at which `look` has something to do; None for never."""
        if self._table is not None:
            return self._table.due()
        return None if math.isinf(self._until) else self._until

    def look(self, now: float) -> Outcome:
        """Begin the next attempt if it is time, or give up if that is over."""
        if self._table is not None:
            return self._do(self._table.tick(now), now)
        return self._too_slow() if now >= self._until else None

    def excuse(self, seconds: float) -> None:
        """Add time for which nothing could be heard: the servers have that still."""
        self._until += seconds
        if self._table is not None:
            self._table.excuse(seconds)

    # what goes in and out ------------------------------------------------------------------

    def receive(self, now: float) -> Outcome:
        """Take the datagrams that are there, each attempt its share."""
        for attempt, transport in list(self._attempts.items()):
            begun = time.thread_time()
            transport.receive(time.monotonic())
            outcome = self._take_events(attempt, transport, now)
            if outcome is not None:
                return outcome
            transport.may_go_on(time.thread_time() - begun)  # it may not, but has to know
        return None

    @property
    def more(self) -> bool:
        """Whether there may be more than what was received last."""
        return any(transport.more for transport in self._attempts.values())

    def timer(self) -> float | None:
        """When `tick` is due; None for never."""
        due = [transport.http.timer() for transport in self._attempts.values()]
        return min((each for each in due if each is not None), default=None)

    def tick(self, now: float) -> Outcome:
        """Do what QUIC has to do at this time, in those attempts in which it is due."""
        for attempt, transport in list(self._attempts.items()):
            due = transport.http.timer()
            if due is not None and due <= now:
                if self._follows(attempt, transport, now) is Outlook.CHANGED:
                    continue
                transport.http.tick(now)
                outcome = self._take_events(attempt, transport, now)
                if outcome is not None:
                    return outcome
        return None

    def flush(self) -> None:
        """Send what they have to send; then do what can be done until there is an answer."""
        for transport in self._attempts.values():
            transport.flush()
        for transport in self._attempts.values():
            transport.get_ready()

    def judge_socket_errors(self, now: float) -> Outcome:
        """See what to make of the errors that the sockets have met; none of them is raised."""
        for attempt, transport in list(self._attempts.items()):
            while (error := transport.take_error()) is not None:
                if error.local:
                    self._note_unsent(attempt, error)
                match error.meaning:
                    case Meaning.UNREACHABLE if error.local and self._goes_on(
                        attempt, transport, now
                    ):
                        pass  # from another address, or as soon as there is one
                    case Meaning.REFUSED | Meaning.UNREACHABLE:
                        transport.close()  # it has no more errors then, and nobody to tell
                        outcome = self._fail(attempt, self._target.unreached(error), now)
                        if outcome is not None:
                            return outcome
                    case Meaning.TOO_LONG:
                        transport.http.shorten()
                    case Meaning.LOST:
                        pass  # QUIC sends again what was in it
        return None

    def hang_up(self) -> None:
        """Wait no longer for the name; say CONNECTION_CLOSE in the attempts that are alive."""
        for asks in self._asks:
            asks.kill(block=False)
        with contextlib.ExitStack() as ends:  # whatever one of them raises
            for transport in self._attempts.values():
                ends.callback(transport.hang_up)
            self._attempts = {}

    def forget(self) -> None:
        """Keep nothing of a dial whose outcome was taken; nothing more is asked of it."""
        self._table, self._attempts, self._addresses = None, {}, {}
        self._asks = [each for each in self._asks if not each.dead]

    def close(self) -> None:
        """Free the sockets."""
        for transport in self._attempts.values():
            transport.close()
        self._attempts = {}

    def _note_unsent(self, attempt: int, error: SocketError) -> None:
        assert self._table is not None
        self._table.unsent(attempt, str(error))
        self._tell_progress()

    # the attempts --------------------------------------------------------------------------

    def _take_events(self, attempt: int, transport: Transport, now: float) -> Outcome:
        http = transport.http
        happened = http.events()
        if http.closed:  # also one that was ready for a moment
            ended = (each.error for each in happened if isinstance(each, events.ConnectionEnded))
            error = next(ended, None)
            if isinstance(error, ConnectTimeout):  # in the dial's words: it is its silence
                error = self.progress.too_slow("the idle timeout", self._target.name)
            elif self._begins_in_full(attempt, transport, error, now):
                return None
            return None if error is None else self._fail(attempt, error, now)
        if any(isinstance(each, events.Ready) for each in happened):
            return self._win(attempt, transport, happened, now)
        assert self._table is not None
        if http.answered:
            self._table.answered(attempt)
            self._tell_progress()
        return None

    def _win(
        self, attempt: int, transport: Transport, happened: list[events.Event], now: float
    ) -> Outcome:
        assert self._table is not None and transport.socket is not None
        # The winner stays among them until it is adopted.
        lane, local = self._table.lane_of(attempt), host_of(transport.socket.name)
        self._target.worked(self._addresses[attempt], local, now, lane.place)
        self._do(self._table.won(attempt), now)
        behind = self._table.behind(attempt)
        self._target.won(lane, behind, now)
        return Connected(transport, lane, [(each.name, why) for each, why in behind], happened)

    def _fail(self, attempt: int, error: QuiverError, now: float) -> Outcome:
        """End one attempt; its server hears of that, if there is a way to it."""
        assert self._table is not None
        self._end(attempt)
        return self._do(self._table.failed(attempt, error, now), now)

    def _do(self, actions: tuple[AttemptAction, ...], now: float) -> Outcome:
        """Do what the table asks for, and what it asks for then: of many addresses too."""
        assert self._table is not None
        outcome: Outcome = None
        to_do = deque(actions)
        while to_do:
            match action := to_do.popleft():
                case Try():
                    to_do.extend(self._try(self._table, action, now))
                case Abandon(attempt):
                    self._end(attempt)
                case GiveUp(error):
                    outcome = error or self._too_slow()
        self._tell_progress()
        return outcome

    def _try(self, table: LaneRace, begun: Try, now: float) -> tuple[AttemptAction, ...]:
        attempt, address, name = begun
        lane = table.lane_of(attempt)
        self._on_attempt(address[1][:2], lane)
        on_early = self._on_early if name == HTTP3 else None
        if on_early is not None:
            self._on_early = None
        try:
            transport = self._target.transport(self._tell, name, early=on_early is not None)
        except QuiverError as unfit:  # what the options name, only read now
            return table.failed(attempt, unfit, now)
        self._attempts[attempt], self._addresses[attempt] = transport, address
        try:
            transport.open(address, now)
        except OSError as refusal:
            del self._attempts[attempt]
            self._on_early = on_early  # nothing has gone along
            error: QuiverError
            if refusal.errno in EXHAUSTED:
                error = exhausted(refusal, self._target.name)
            else:
                error = self._target.unreached(SocketError(refusal.errno or 0, local=True))
            return table.failed(attempt, error, now)
        if on_early is not None and transport.http.early_streams:
            on_early(transport.http, lane)
        return ()

    def _goes_on(self, attempt: int, transport: Transport, now: float) -> bool:
        """Whether an attempt goes on whose socket says that there is no way to the server."""
        outlook = self._follows(attempt, transport, now)
        if outlook is Outlook.AWAY:
            return now - self._away_since.setdefault(attempt, now) < AWAY
        return outlook is Outlook.CHANGED

    def _follows(self, attempt: int, transport: Transport, now: float) -> Outlook:
        """Shake hands anew, from the address that is ours now, if the attempt's is not: nobody
        migrates before the handshake is confirmed (RFC 9000 9)."""
        times = self._anew.get(attempt, 0)
        try:
            if times >= MOST_ANEW or not transport.has_moved():
                return Outlook.UNCHANGED
            transport.begin_anew(now)
        except OSError:
            return Outlook.AWAY
        self._anew[attempt] = times + 1
        self._tell_attempt(attempt)
        return Outlook.CHANGED

    def _begins_in_full(
        self, attempt: int, transport: Transport, error: QuiverError | None, now: float
    ) -> bool:
        """Whether it begins anew, by a full handshake: a ticket may be to blame for its end.

        It may have gone bad where it was kept, or its server be another one by now, and each has
        its own way to say so. A certificate that is refused was shown in a full handshake, and who
        refuses connections looks at no ticket.
        """
        if isinstance(error, CertificateInvalid | ConnectionRefused):
            return False
        try:
            begun = transport.begin_without_ticket(now)
        except OSError:
            return False
        if begun:
            self._tell_attempt(attempt)
        return begun

    def _tell_attempt(self, attempt: int) -> None:
        assert self._table is not None
        self._on_attempt(self._addresses[attempt][1][:2], self._table.lane_of(attempt))

    def _end(self, attempt: int) -> None:
        transport = self._attempts.pop(attempt, None)
        if transport is not None:
            transport.hang_up()

    def _tell_progress(self) -> None:
        if self._table is None:
            return
        progress = self._table.progress
        if self._target.proxy is not None:
            progress = attrs.evolve(progress, proxied=True)
        if progress != self.progress:
            self.progress = progress
            self._on_progress(progress)

    def _no_address(self, place: Origin) -> QuiverError:
        said = f"host {place.host!r} has no address"
        return self._target.of_dialled(NameResolutionFailed(said, origin=self._target.name))

    def _too_slow(self) -> QuiverError:
        return self._target.too_slow(self.progress)

    # the name ------------------------------------------------------------------------------

    def _look_up(self, place: Origin | None) -> None:
        """Have the name of an alternative service looked up; None: that of what is dialled."""
        asks = gevent.spawn(self._resolve, place)
        signal_deferral.protect(asks)
        self._asks.append(asks)

    def _resolve(self, place: Origin | None) -> None:
        """Look a name up, in a greenlet of its own: its owner can be stopped meanwhile."""
        outcome: list[Address] | QuiverError
        origin, name = place or self._target.dialled, self._target.name
        try:
            outcome = resolve(origin.host, origin.port, self._target.config)
        except NameResolutionFailed as error:
            outcome = self._target.of_dialled(NameResolutionFailed(str(error), origin=name))
            outcome.__cause__ = error.__cause__  # where the resolver has failed
        except NoneLeft as error:
            outcome = exhausted(error, name)
        except Exception as error:  # noqa: BLE001 - of a resolver that the program has chosen
            outcome = self._target.failed(error)
        self._tell(Resolved(outcome, place))
