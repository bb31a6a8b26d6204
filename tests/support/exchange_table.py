"""A table of exchanges in a test's hands, most often with one in it: ticket 7 on stream 0."""

from __future__ import annotations

from typing import Any

import pytest

from quiver.errors import QuiverError
from quiver.fields import Pairs
from quiver.h3 import events
from quiver.pool.actions import Answer, ResetStream
from quiver.pool.exchanges import Actions, Exchanges, Mode
from quiver.pool.time_limits import Limits

__all__ = ["TICKET", "Table", "every_mode", "failure", "table"]

TICKET = 7
every_mode = pytest.mark.parametrize("mode", list(Mode))


class Table(Exchanges):
    """A table whose clock is set by the test."""

    def __init__(
        self, *, max_body_size: int | None = 100, origin: str = "https://a", hears: bool = False
    ) -> None:
        super().__init__(max_body_size=max_body_size, origin=origin, hears=hears)

    def begin(
        self,
        stream_id: int = 0,
        ticket: int = TICKET,
        *,
        mode: Mode = Mode.BUFFERED,
        method: str = "GET",
        now: float = 0.0,
        early: bool = False,
        **limits: float,
    ) -> None:
        of = Limits(**limits)
        self.open(stream_id, ticket, method=method, now=now, limits=of, mode=mode, early=early)

    # each event of a stream by its name

    def informational(self, stream_id: int, status: int, headers: Pairs, now: float) -> Actions:
        return self.take(events.Informational(stream_id, status, headers), now)

    def headers(
        self, stream_id: int, status: int, headers: Pairs, ended: bool, now: float
    ) -> Actions:
        return self.take(events.Headers(stream_id, status, headers, ended), now)

    def whole(self, status: int, headers: Pairs, content: bytes) -> Actions:
        """A response that came at once, on stream 0."""
        return self.take(events.Headers(0, status, headers, True, content), 1.0)

    def body(self, stream_id: int, content: bytes, ended: bool, now: float) -> Actions:
        return self.take(events.Body(stream_id, content, ended), now)

    def trailers(self, stream_id: int, headers: Pairs, now: float) -> Actions:
        return self.take(events.TrailersReceived(stream_id, headers), now)

    def reset(self, stream_id: int, code: int) -> Actions:
        return self.take(events.StreamResetReceived(stream_id, code), 0.0)

    def malformed(self, stream_id: int, reason: str) -> Actions:
        return self.take(events.StreamMalformed(stream_id, reason), 0.0)

    def headers_too_large(self, stream_id: int, size: int, limit: int) -> Actions:
        return self.take(events.HeadersTooLarge(stream_id, size, limit), 0.0)


def table(mode: Mode = Mode.BUFFERED, /, **options: Any) -> Table:
    """A table with one exchange in it, on stream 0."""
    made = Table()
    made.begin(mode=mode, **options)
    return made


def failure(actions: Any, kind: type[QuiverError], said: str, *resets: int) -> QuiverError:
    """The error in actions that end ticket 7 with one, after these resets of its stream."""
    *before, answer = actions
    assert before == [ResetStream(0, code) for code in resets]
    assert isinstance(answer, Answer)
    assert isinstance(answer.outcome, kind)
    assert answer.ticket == TICKET
    assert answer.outcome.origin == "https://a"
    assert said in answer.outcome.message
    return answer.outcome
