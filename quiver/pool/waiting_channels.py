"""WaitingChannels: requests for channels that wait until it is known what the server takes.

That stands in its SETTINGS (extended CONNECT: RFC 9220 3; datagrams: RFC 9297 2.1.1), which may
come after the handshake, or never.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator

from quiver.actors.timers import Timers
from quiver.errors import ConnectDisabled, DatagramsDisabled, QuiverError
from quiver.h3 import events
from quiver.pool.choice import HTTP3
from quiver.pool.messages import PoolReply, StartExchange
from quiver.pool.target import PoolTarget
from quiver.request import OpenChannel

__all__ = ["WaitingChannels"]


class WaitingChannels:
    """The channels of one connection that wait, by ticket.

    Args:
        timers: fire ("settings", ticket) when one has waited for as long as it may.
        returned: gives one back to the pool, unused.

    Attributes:
        channels: those that wait.
    """

    def __init__(self, target: PoolTarget, timers: Timers, returned: Callable[..., None]) -> None:
        self._target = target
        self._timers = timers
        self._returned = returned
        self.channels: dict[int, tuple[StartExchange, PoolReply]] = {}
        self._settings: events.Settings | None = None

    @property
    def needed(self) -> bool:
        """Whether a channel has to wait."""
        return self._settings is None

    def add(self, exchange: StartExchange, reply: PoolReply) -> None:
        """Add one."""
        self.channels[exchange.ticket] = exchange, reply
        silence = exchange.request.receive_timeout or self._target.config.receive_timeout
        left = math.inf if exchange.deadline is None else exchange.deadline - time.monotonic()
        wait = min(silence or math.inf, left)
        if wait < math.inf:
            self._timers.start(("settings", exchange.ticket), wait)

    def remove(self, ticket: int) -> None:
        """Forget one, if it waits."""
        self._timers.cancel(("settings", ticket))
        self.channels.pop(ticket, None)

    def settle(self, settings: events.Settings) -> Iterator[tuple[StartExchange, PoolReply]]:
        """Note the server's SETTINGS, and yield those that waited for them, in order."""
        self._settings = settings
        for ticket, channel in list(self.channels.items()):
            self.remove(ticket)
            yield channel

    def turn_away(self, ticket: int, error: QuiverError | None) -> None:
        """Give one back, if it waits still; with an error it is answered."""
        channel = self.channels.get(ticket)
        if channel is not None:
            if error is not None:
                channel[1].fail(error)
            self._returned(*channel, unused=True)
            self.remove(ticket)  # not sooner: whatever fails above, `fail_all` finds it

    def turn_away_all(self) -> None:
        """Give back all that wait."""
        for ticket in list(self.channels):
            self.turn_away(ticket, None)

    def fault(self, request: OpenChannel, spoken: str) -> QuiverError | None:
        """The error if the server, whose SETTINGS are known, takes no such channel, or None.

        Args:
            spoken: on this connection, whatever its pool speaks beside: "http/3", say.
        """
        assert self._settings is not None
        if spoken != HTTP3:
            return self._target.no_channels(request, spoken)
        if request.protocol is not None and not self._settings.connect:
            said = f"protocol={request.protocol!r}: the server takes no extended CONNECT"
            return ConnectDisabled(said, origin=self._target.name)
        if request.require_datagrams and not self._settings.datagrams:
            said = "require_datagrams=True, but both sides have not agreed on datagrams"
            return DatagramsDisabled(said, origin=self._target.name)
        return None

    def fail_all(self, error: QuiverError) -> None:
        """Answer all that wait."""
        for _, reply in self.channels.values():
            reply.fail(error)
