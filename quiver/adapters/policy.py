"""Policy: HTTP/3 or TCP for each request: the fallback table with a clock, a lock and a file."""

from __future__ import annotations

import contextlib
import logging
import os
import time
import weakref
from collections.abc import Hashable, Iterable, Iterator
from functools import partial
from typing import Final

from quiver.adapters.shared.alternatives_file import AlternativesFile
from quiver.adapters.shared.fork_safe_lock import ForkSafeLock
from quiver.errors import (
    CertificateInvalid,
    CheckoutTimeout,
    GoAway,
    HandshakeFailed,
    InvalidOptions,
    InvalidRequest,
    NameResolutionFailed,
    PoolStopped,
    QueueFull,
    QuiverError,
    RequestTimeout,
    ResourceExhausted,
)
from quiver.origin import Origin
from quiver.pool.choice import place_of
from quiver.pool.fallback_table import FallbackTable, PolicyName, Route
from quiver.pool_options import spelt
from quiver.request import Request
from quiver.streams.body_source import BodySource

__all__ = ["Policy", "cause_of", "withdrawn"]

OUR_LIMITS: Final = (CheckoutTimeout, QueueFull, PoolStopped, RequestTimeout)
OF_TRUST: Final = (CertificateInvalid, HandshakeFailed)
NO_VERDICT: Final = (GoAway, InvalidRequest, NameResolutionFailed, ResourceExhausted)

logger = logging.getLogger("quiver.adapters")


class Policy:
    """When a request goes out over HTTP/3, and when over TCP. Several adapters may share one.

    A copy, or one that was pickled, has the same options, and knows what the file tells.

    Args:
        name: "always": HTTP/3 first; "alt-svc": only where a hint or an Alt-Svc field (RFC 7838)
            says that it is spoken.
        fallback_after: seconds that a request waits for a connection before it goes out over TCP.
            A second address of the host is tried after 0.25.
        hints: URLs of origins that are known to speak HTTP/3.
        file: where to keep what Alt-Svc fields have told; None keeps it in memory only. News are
            written at once ten times, then at most once in ten seconds, and at the end. What is no
            such file is begun anew. Whatever it says holds for 30 days at most.

    Raises:
        ValueError: no such policy, or no time above 0.
        InvalidURL: a hint names no https origin.
        InvalidOptions: `hints` are one text.
    """

    @spelt
    def __init__(
        self,
        name: PolicyName = "always",
        *,
        fallback_after: float = 0.5,
        hints: Iterable[str] = (),
        file: str | os.PathLike[str] | None = None,
    ) -> None:
        if fallback_after <= 0:
            raise ValueError(f"fallback_after={fallback_after!r}: must be seconds above 0")
        self.fallback_after = fallback_after
        if isinstance(hints, str):
            raise InvalidOptions(f"hints={hints!r}: must be a tuple of URLs")
        hints = tuple(hints)
        self._options = {
            "name": name,
            "fallback_after": fallback_after,
            "hints": hints,
            "file": file,
        }
        self._table = FallbackTable(name, map(Origin.parse, hints))
        self._lock = ForkSafeLock()
        self._file = None if file is None else AlternativesFile(file)
        if self._file is not None:
            self._load(self._file)
            weakref.finalize(self, _write, self._table, self._file, self._lock)

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), **self._options), ()  # type: ignore[arg-type]

    def route(self, origin: Origin, trust: Hashable = None) -> Route | None:
        """Return where to try HTTP/3 now, or None for TCP."""
        with self._lock:
            return self._table.route(origin, time.monotonic(), trust)

    def succeeded(self, origin: Origin, trust: Hashable = None) -> None:
        """Note that HTTP/3 has answered."""
        if not self._table.paused:  # nothing is to be forgotten; a lock is dear to each request
            return
        with self._lock:
            self._table.succeeded(origin, trust)

    def gives_way(
        self, origin: Origin, request: Request, error: QuiverError, trust: Hashable = None
    ) -> bool:
        """Tell whether the request, which HTTP/3 failed with `error`, may go out over TCP.

        Only if nothing of it was processed and all of its body can be read from its start: then
        we read it no more. A limit of our own pool is no reason. What says nothing about HTTP/3
        there does not make it be left alone.
        """
        if not error.unprocessed:
            return False
        # One without time left has none for TCP either, but the next one shall not wait in vain.
        cause = cause_of(error)
        if not isinstance(cause, OUR_LIMITS + NO_VERDICT):
            whose = trust if isinstance(cause, OF_TRUST) else None
            with self._lock:
                self._table.failed(origin, time.monotonic(), str(error), whose)
        if isinstance(error, OUR_LIMITS):
            return False
        if not withdrawn(request):
            return False
        logger.debug("%s: over TCP, because: %s", origin, error)
        return True

    @contextlib.contextmanager
    def explained(self, url: str, trust: Hashable = None) -> Iterator[None]:
        """Add a note to what TCP raises within, which says why HTTP/3 had failed before.

        Else a refused certificate, say, would be seen as the closed port of TCP.
        """
        try:
            yield
        except Exception as error:
            with contextlib.suppress(QuiverError), self._lock:
                why = self._table.why(Origin.parse(url), time.monotonic(), trust)
                if why:
                    error.add_note(f"This was TCP's error. HTTP/3 had failed before: {why}")
            raise

    def heard(self, origin: Origin, field: str | None) -> None:
        """Take in the Alt-Svc field of a response, if it had one."""
        if field is None:
            return
        now = time.monotonic()
        with self._lock:
            due = self._table.alternatives.learn(origin, field, now) and self._is_due(now)
        if due:
            self.flush()

    def misdirected(self, route: Route) -> None:
        """Note that who is at an alternative does not answer for its origin (RFC 7838 6).

        The origin may go on to name it: HTTP/3 is left alone there, as after a failure.
        """
        origin, place = route.origin, route.place
        with self._lock:
            named = self._table.alternatives
            named.forget(origin, lambda each: place_of(origin, each) == place)
            why = f"{place.authority} does not answer for it (421 Misdirected Request)"
            self._table.failed(origin, time.monotonic(), why)

    def network_changed(self) -> None:
        """Forget the alternatives that were not said to persist (RFC 7838 2.2)."""
        now = time.monotonic()
        with self._lock:
            due = self._table.alternatives.network_changed() and self._is_due(now)
        if due:
            self.flush()

    def flush(self) -> None:
        """Write to the file what waits for that. The end of an adapter or the program does so."""
        if self._file is not None:
            _write(self._table, self._file, self._lock)

    def _is_due(self, now: float) -> bool:
        return self._file is not None and self._file.news(now)

    def _load(self, file: AlternativesFile) -> None:
        text = file.read()
        if text is None:
            return
        try:
            self._table.alternatives.load(text, time.monotonic(), time.time())
        except ValueError as error:
            file.damaged(error)


def _write(table: FallbackTable, file: AlternativesFile, lock: ForkSafeLock) -> None:
    """Write what is pending. The policy may be gone by then."""
    with lock:
        if not file.pending:
            return
        text = table.alternatives.dump(time.monotonic(), time.time())
    file.write(text)


def withdrawn(request: Request) -> bool:
    """Tell whether all of a request's body can be read elsewhere; then we read it no more."""
    return not isinstance(request.body, BodySource) or request.body.withdraw()


def cause_of(error: QuiverError) -> QuiverError:
    """Return the error, or what a request had waited for when its time was up: a connection."""
    cause = error.__cause__
    return cause if isinstance(error, RequestTimeout) and isinstance(cause, QuiverError) else error
