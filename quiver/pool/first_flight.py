"""FirstFlight: requests that go out before the handshake is over, as early data (RFC 9001 4.6).

    begin --> start* --> settle(accepted) --> claim, or give_up, of each

What goes is a copy: the request, its caller's Reply and its place in the line stay with the
coordinator until the server has decided. Then its exchange comes for what the server has sent
meanwhile; of what was rejected there is nothing left.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from quiver.h3 import events
from quiver.h3.codes import ErrorCode
from quiver.h3.headers import request_fields
from quiver.pool.callers import mode_of
from quiver.pool.exchanges import Mode
from quiver.pool.http_connection import HttpConnection
from quiver.pool.messages import StartEarly
from quiver.pool.reports import ConnectionReport
from quiver.pool.target import PoolTarget

__all__ = ["EarlyExchange", "FirstFlight"]


class EarlyExchange(NamedTuple):
    """The stream of a request, and what has happened on it, in order."""

    stream_id: int
    happened: list[Any]


class FirstFlight:
    """Those of one connection.

    Attributes:
        streams: of those that are out, by ticket.
        alternative: host and port of the alternative service that all requests go to, also later.
    """

    def __init__(self, target: PoolTarget, report: ConnectionReport) -> None:
        self._target = target
        self._report = report
        self._http: HttpConnection | None = None
        self._goes_on = False  # the handshake does, so that more may go
        self._happened: dict[int, list[Any]] = {}
        self.streams: dict[int, int] = {}
        self.alternative: str | None = None

    def begin(self, http: HttpConnection, alternative: str | None) -> int:
        """Send on this one, whose handshake has begun. Returns how many may go."""
        self._http, self._goes_on, self.alternative = http, True, alternative
        return http.early_streams

    def start(self, early: StartEarly) -> None:
        """Send a request without a body. What cannot go, waits: it goes after the handshake."""
        http, (ticket, request) = self._http, early
        if http is None or not self._goes_on or not http.early_streams:
            return
        config, origin, stream_id = self._target.config, self._target.origin, http.next_stream_id
        window = None if mode_of(request) is Mode.BUFFERED else config.receive_window
        try:
            fields = request_fields(request, origin, config.user_agent, self.alternative)
            http.open_request(fields, None, True, window)
        except Exception:  # noqa: BLE001 - whoever asks will hear of it then, if it is so still
            http.cancel(stream_id, ErrorCode.H3_INTERNAL_ERROR)
            return
        self.streams[ticket] = stream_id
        self._happened[stream_id] = []
        self._report.early_data("sent", 1)

    def settle(self, accepted: bool | None) -> bool:
        """The handshake is over, on this connection or another. Returns whether all stands."""
        self._goes_on = False
        if accepted is not None and self.streams:
            self._report.early_data("accepted" if accepted else "rejected", len(self.streams))
        if not accepted:
            self.streams.clear()
            self._happened.clear()
        return bool(accepted)

    def takes(self, event: Any) -> bool:
        """Keep what happens on a stream whose exchange is not here yet; False for another's."""
        happened = self._happened.get(event.stream_id)
        if happened is None:
            return False
        happened.append(event)
        return True

    def refuse(self, stream_id: int) -> None:
        """Streams from this one on were not acted on (RFC 9114 5.2)."""
        for each, happened in self._happened.items():
            if each >= stream_id:
                rejected = events.StreamResetReceived(each, ErrorCode.H3_REQUEST_REJECTED)
                happened.append(rejected)

    def claim(self, ticket: int) -> EarlyExchange | None:
        """Hand over what was sent for a ticket, whose exchange is here; None if nothing was."""
        stream_id = self.streams.pop(ticket, None)
        if stream_id is None:
            return None
        return EarlyExchange(stream_id, self._happened.pop(stream_id))

    def give_up(self, ticket: int) -> bool:
        """Give up what was sent for a ticket. Returns whether it was, and the handshake is over."""
        gone = self.claim(ticket)
        if gone is None or self._http is None:
            return False
        self._http.cancel(gone.stream_id, ErrorCode.H3_REQUEST_CANCELLED)
        return not self._goes_on
