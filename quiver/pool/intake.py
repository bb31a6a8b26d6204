"""What each event of a stream means for the exchanges: one row each. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from quiver.h3 import events
from quiver.pool.actions import ExchangeAction
from quiver.pool.exchanges import Exchanges

Meaning = Callable[[Exchanges, Any, float], tuple[ExchangeAction, ...]]

# Looked up by class: this is done for every event, and a chain of tests would show.
MEANINGS: Final[dict[type, Meaning]] = {
    events.Headers: lambda x, e, now: x.headers(e.stream_id, e.status, e.headers, e.ended, now),
    events.Body: lambda x, e, now: x.body(e.stream_id, e.content, e.ended, now),
    events.Trailers: lambda x, e, now: x.trailers(e.stream_id, e.headers, now),
    events.Informational: lambda x, e, now: x.informational(e.stream_id, e.status, e.headers, now),
    events.StreamReset: lambda x, e, _: x.reset(e.stream_id, e.code),
    events.StreamMalformed: lambda x, e, _: x.malformed(e.stream_id, e.reason),
    events.HeadersTooLarge: lambda x, e, _: x.headers_too_large(e.stream_id, e.size, e.limit),
}
