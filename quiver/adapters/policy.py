"""Policy: the fallback table with its clock, its lock and its file."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Iterable
from typing import Final

from quiver.adapters.fallback import FallbackTable, PolicyName, Route
from quiver.adapters.turn import Turn
from quiver.errors import (
    CheckoutTimeout,
    GoAway,
    NameResolutionFailed,
    PoolStopped,
    QueueFull,
    QuiverError,
    RequestTimeout,
)
from quiver.origin import Origin
from quiver.request import Request
from quiver.source import Source

__all__ = ["Policy"]

OUR_LIMITS: Final = (CheckoutTimeout, QueueFull, PoolStopped, RequestTimeout)
NO_VERDICT: Final = (GoAway, NameResolutionFailed)

logger = logging.getLogger("quiver.adapters")


class Policy:
    """When a request goes out over HTTP/3, and when over TCP. Several adapters may share one.

    Args:
        name: "always": HTTP/3 first; "alt-svc": only where a hint or an Alt-Svc field (RFC 7838)
            says that it is spoken.
        fallback_after: seconds that a request waits for a connection before it goes out over TCP.
        hints: URLs of origins that are known to speak HTTP/3.
        file: where to keep what Alt-Svc fields have told; None keeps it in memory only.

    Raises:
        ValueError: no such policy, or no time above 0.
        InvalidURL: a hint names no https origin.
    """

    def __init__(
        self,
        name: PolicyName = "always",
        *,
        fallback_after: float = 0.3,
        hints: Iterable[str] = (),
        file: str | os.PathLike[str] | None = None,
    ) -> None:
        if fallback_after <= 0:
            raise ValueError(f"fallback_after={fallback_after!r}: must be seconds above 0")
        self.fallback_after = fallback_after
        self._table = FallbackTable(name, map(Origin.parse, hints))
        self._file = file
        self._lock = Turn()
        if file is not None:
            self._load(file)

    def route(self, origin: Origin) -> Route | None:
        """Where to try HTTP/3 now, or None for TCP."""
        with self._lock:
            return self._table.route(origin, time.time())

    def succeeded(self, origin: Origin) -> None:
        """HTTP/3 has answered."""
        with self._lock:
            self._table.succeeded(origin)

    def gives_way(self, origin: Origin, request: Request, error: QuiverError) -> bool:
        """Whether the request, which HTTP/3 failed with `error`, may go out over TCP.

        Only if nothing of it was processed and nothing of its body read. A limit of our own pool
        is no reason. What says nothing about HTTP/3 there does not make it be left alone.
        """
        body = request.body
        if not error.unprocessed or (isinstance(body, Source) and body.opened):
            return False
        if isinstance(error, OUR_LIMITS):
            return False
        logger.debug("%s: over TCP, because: %s", origin, error)
        if not isinstance(error, NO_VERDICT):
            with self._lock:
                self._table.failed(origin, time.time())
        return True

    def heard(self, origin: Origin, field: str | None) -> None:
        """Take in the Alt-Svc field of a response, if it had one."""
        if field is None:
            return
        with self._lock:
            news = self._table.alternatives.learn(origin, field, time.time())
            text = self._table.alternatives.dump() if news and self._file is not None else None
        if text is not None and self._file is not None:
            self._save(os.fspath(self._file), text)

    def network_changed(self) -> None:
        """Forget the alternatives that were not said to persist (RFC 7838 2.2)."""
        with self._lock:
            self._table.alternatives.network_changed()

    def _load(self, file: str | os.PathLike[str]) -> None:
        try:
            with open(file, encoding="utf-8") as opened:
                self._table.alternatives.load(opened.read())
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            logger.warning("%s: begun anew, because it cannot be read: %s", file, error)

    def _save(self, file: str, text: str) -> None:
        """In one step, so that another program never reads half of it."""
        try:
            with tempfile.NamedTemporaryFile(
                "w", dir=os.path.dirname(file) or ".", encoding="utf-8", delete=False
            ) as opened:
                opened.write(text)
            os.replace(opened.name, file)
        except OSError as error:
            logger.warning("%s: not kept: %s", file, error)
            with contextlib.suppress(OSError, UnboundLocalError):
                os.unlink(opened.name)
