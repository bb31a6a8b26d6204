"""Events that tell what Quiver does, for metrics and tracing. The catalogue:

| event                | measurements          | metadata                                      |
|----------------------|-----------------------|-----------------------------------------------|
| request.start        |                       | origin, method, target                        |
| request.stop         | duration              | origin, method, target, status                |
| request.exception    | duration              | origin, method, target, kind, error           |
| request.repeated     |                       | origin, connection, method, target            |
| connection.start     |                       | origin, connection                            |
| connection.attempt   |                       | origin, connection, address, lane, why        |
| connection.ready     | duration, max_streams | origin, connection, and what is told below    |
| connection.settings  |                       | origin, connection, settings                  |
| connection.ticket    | lifetime              | origin, connection, early_data                |
| early_data.sent      | count                 | origin, connection                            |
| early_data.accepted  | count                 | origin, connection                            |
| early_data.rejected  | count                 | origin, connection                            |
| early_data.refused   | count                 | origin, connection, method, target            |
| connection.suspended |                       | origin, connection, reason                    |
| connection.resumed   |                       | origin, connection                            |
| connection.migrated  | duration              | origin, connection, former, local, failure    |
| connection.draining  | active                | origin, connection, reason                    |
| connection.stop      | duration, requests    | origin, connection, established               |
| connection.exception | duration, requests    | origin, connection, established, kind, error  |
| channel.start        |                       | origin, connection, method, target, protocol  |
| channel.stop         | duration              | as of its start, and status                   |
| channel.exception    | duration              | as of its start, and status, kind, error      |
| datagram.sent        | count, size           | origin, connection                            |
| datagram.received    | count, size           | origin, connection                            |
| datagram.dropped     | count                 | origin, connection, direction                 |
| queue.depth          | queued, active, idle  | origin                                        |

Those of a connection also have `http_version`: "HTTP/3", "HTTP/2" or "HTTP/1.1"; None while it is
dialled, where the handshake is to say it; and `proxy`: "http://host:port" that it goes through, or
None.

Durations are seconds as floats: of the handshake when a connection is ready, of its whole life when
that is over, of the validation of its new path when it has migrated from the local address `former`
to `local`: `failure` is None then, and else says why that came to nothing. A suspended connection,
whose server may be gone, gets no requests until it is resumed or over; `active` exchanges of a
draining one go on. `origin` is text such as "https://localhost:4443"; `connection` the integer name
of a connection in its pool, `established` whether it was ever ready; `kind` the error's kind and
`error` the exception itself; `direction` is "sent" or "received". There is one `attempt` for each
of the host's addresses that is tried, several at a time (RFC 8305); `address` and `local` are pairs
(host, port); `handshake` is a `quiver.models.Handshake`, and `settings` what the server announced,
by name (RFC 9114 7.2.4). `lane` is what is tried, "http/3" or "tcp", say, and `why` says why, where
there is a choice; `behind` has a pair of lane and why for each that had begun beside the one that
is `ready`, and `alternative` the host and port of the alternative service (RFC 7838) that it is
with, None where it is with the origin's own. A request is `repeated` over
HTTP/1.1 alone, once: an idempotent one that got no byte of an answer on a connection that had
served another (RFC 9112 9.3.1); whether it was processed, nobody knows. A streamed response counts
as answered when its head is there, and a channel when it is opened: from then on it is told of by
itself, until it is over; its `status` is None when no response has come. Datagrams are those of
channels, `size` bytes of payload together.

A `ticket` is what a later connection may resume the TLS session by for `lifetime` seconds, and
`early_data` whether it may carry early data. Whether one was resumed, and early data accepted, is
in its `handshake` (`resumed`, `early`): the event `connection.resumed` is the end of a suspension.
Of early data `count` requests are `sent`, each when it goes; those that are waited for when the
handshake is over are `accepted`, or `rejected` and sent again, all at once: add up the counts, not
the events. One that the server then answers with 425 (Too Early, RFC 8470 5.2) was accepted, and
is `refused`: it is sent again as well.

Every `start` is followed by exactly one `stop` or `exception`. `queue.depth` is sent when the
number of waiting callers has changed.

    def record(event, measurements, metadata):
        histogram.record(measurements["duration"], origin=metadata["origin"])

    quiver.telemetry.attach("latency", ["request.stop"], record)

A listener is called where the event happens, for most in the loop that carries all requests: it
must be quick and must not block. One that raises is logged and detached. With no listener an
event costs one test of `listening`.

Events tell of requests from the pool's side. What must act in the caller's own thread, before the
request leaves it (a tracer that adds its headers), is an observer: see `observe`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from quiver.actors.propagation import must_propagate_from_call
from quiver.printable import in_message
from quiver.request import Request

__all__ = [
    "EVENTS",
    "Listener",
    "Measurements",
    "Metadata",
    "Observation",
    "Observer",
    "attach",
    "detach",
    "emit",
    "listening",
    "observe",
    "unobserve",
]

Measurements = dict[str, Any]
"""The numbers of one event, by the names in the catalogue."""

Metadata = dict[str, Any]
"""What one event is about, by the names in the catalogue."""

Listener = Callable[[str, Measurements, Metadata], object]
"""A callable that is given an event's name, its measurements and its metadata."""


class Observation(Protocol):
    """One request as its caller sees it. What a method raises is logged and has no other effect."""

    @property
    def request(self) -> Request:
        """The request to send: the one that was asked, or another in its place."""

    def answered(self, answer: Any) -> object:
        """Take the Response, StreamedResponse (its head is there) or Channel. Do not keep it."""

    def ended(self, error: BaseException | None) -> object:
        """Take the end, last and once: after the answer, of a stream or channel when that is over.

        In the thread that waits for the answer, reads or closes; in the loop's for an ask that
        does not block, and for a stream that nobody holds any more.
        """


Observer = Callable[[str, Request], Observation | None]
"""A callable that is given the origin as text and the request, in the thread that asks.

It returns None for a request that it leaves alone.
"""

EVENTS: Final = (
    "request.start",
    "request.stop",
    "request.exception",
    "request.repeated",
    "connection.start",
    "connection.attempt",
    "connection.ready",
    "connection.settings",
    "connection.ticket",
    "early_data.sent",
    "early_data.accepted",
    "early_data.rejected",
    "early_data.refused",
    "connection.suspended",
    "connection.resumed",
    "connection.migrated",
    "connection.draining",
    "connection.stop",
    "connection.exception",
    "channel.start",
    "channel.stop",
    "channel.exception",
    "datagram.sent",
    "datagram.received",
    "datagram.dropped",
    "queue.depth",
)

listening: bool = False
"""Whether there is any listener: to be tested before an event is put together."""

observer: Observer | None = None
"""The observer of requests, if there is one."""

# Ours, and aioquic's two, which log as warnings what a caller is told as an error: without a
# handler, Python would print these on stderr in a program that has set up no logging.
for _name in ("quiver", "quic", "http3"):
    logging.getLogger(_name).addHandler(logging.NullHandler())


class _Printable(logging.Filter):
    """Escapes what aioquic logs as it came: the reason phrase of a CONNECTION_CLOSE, say."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = in_message(record.getMessage()), None
        return True


for _name in ("quic", "http3"):
    logging.getLogger(_name).addFilter(_Printable())

_logger = logging.getLogger("quiver.telemetry")
_lock = threading.Lock()
# Both are replaced as a whole and never changed: `emit` reads them without the lock.
_attached: Mapping[str, tuple[frozenset[str], Listener]] = {}
_by_event: Mapping[str, tuple[tuple[str, Listener], ...]] = {}


def attach(handler_id: str, events: Iterable[str], fn: Listener) -> None:
    """Call `fn(event, measurements, metadata)` for each of `events` from now on.

    Raises:
        ValueError: `handler_id` is attached already, or an event is not in the catalogue.
        TypeError: `fn` cannot be called.
    """
    wanted = _known(events)
    if not callable(fn):
        raise TypeError(f"fn={fn!r} cannot be called")
    with _lock:
        if handler_id in _attached:
            raise ValueError(f"handler_id={handler_id!r} is attached already: detach it first")
        _replace({**_attached, handler_id: (wanted, fn)})


def detach(handler_id: str) -> bool:
    """Stop calling the listener; return False when there is none of that name (any more)."""
    with _lock:
        if handler_id not in _attached:
            return False
        _replace({name: entry for name, entry in _attached.items() if name != handler_id})
        return True


def observe(begin: Observer) -> None:
    """Call `begin(origin, request)` for each request from now on; it returns an `Observation`,
    or None for one that it leaves alone.

    A request that an actor forwards to a pool, instead of asking it, has no caller to be seen.

    Raises:
        ValueError: there is an observer already.
    """
    global observer
    with _lock:
        if observer is not None:
            raise ValueError(f"{observer!r} observes already: there is one at a time")
        observer = begin


def unobserve(begin: Observer) -> bool:
    """Stop calling it, and return False if it is no observer. What it has begun is still ended."""
    global observer
    with _lock:
        if observer != begin:
            return False
        observer = None
        return True


def emit(event: str, measurements: Mapping[str, float], metadata: Mapping[str, object]) -> None:
    """Call the listeners of `event`; one that raises is logged and detached."""
    for handler_id, fn in _by_event.get(event, ()):
        try:
            fn(event, dict(measurements), dict(metadata))
        except BaseException as error:
            if must_propagate_from_call(error):
                raise
            _logger.exception("listener %r failed on %s and was detached", handler_id, event)
            _detach_failed(handler_id, fn)


def _detach_failed(handler_id: str, fn: Listener) -> None:
    with _lock:  # by then another listener may have its name
        if handler_id in _attached and _attached[handler_id][1] is fn:
            _replace({name: entry for name, entry in _attached.items() if name != handler_id})


def _known(events: Iterable[str]) -> frozenset[str]:
    wanted = frozenset((events,) if isinstance(events, str) else events)
    unknown = sorted(map(repr, wanted.difference(EVENTS)))
    if unknown or not wanted:
        said = ", ".join(unknown) or "no event"
        raise ValueError(f"events: {said} given; the catalogue is {', '.join(EVENTS)}")
    return wanted


def _replace(attached: Mapping[str, tuple[frozenset[str], Listener]]) -> None:
    global _attached, _by_event, listening
    _attached = attached
    _by_event = {
        event: tuple([(name, fn) for name, (wanted, fn) in attached.items() if event in wanted])
        for event in EVENTS
    }
    listening = bool(attached)


def _renew_lock() -> None:
    global _lock
    _lock = threading.Lock()  # a fork may have copied it while another thread held it


os.register_at_fork(after_in_child=_renew_lock)
