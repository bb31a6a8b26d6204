"""Counts of what a server has been asked."""

from __future__ import annotations

from collections import Counter, deque
from typing import Any, Final

__all__ = ["RequestCounts"]

_RESETS: Final = 10_000  # the latest are kept


class RequestCounts:
    """Counts requests that were taken up; one that was refused unread (REJECTED) is not counted."""

    def __init__(self) -> None:
        self.total = 0
        self.refused = 0
        self.connections = 0
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.resets: deque[dict[str, str | int]] = deque(maxlen=_RESETS)
        self._paths: Counter[str] = Counter()
        self._ids: Counter[str] = Counter()
        self._rejected: set[str] = set()
        self._closes: Counter[int] = Counter()

    def count(self, path: str, identifier: str | None) -> None:
        """Count a request that is about to be answered."""
        self.total += 1
        self._paths[path] += 1
        if identifier is not None:
            self._ids[identifier] += 1

    def withdraw(self, path: str, identifier: str | None) -> None:
        """Take back the request just counted: it was refused after all."""
        self.total -= 1
        self.refused += 1
        self._paths[path] -= 1
        if identifier is not None:
            self._ids[identifier] -= 1

    def reset(self, path: str, kind: str, code: int) -> None:
        """Note that the client abandoned a stream, or one direction of it."""
        self.resets.append({"path": path, "kind": kind, "code": code})

    def closed(self, code: int) -> None:
        """Count a connection that ended with this code, the client's or the server's own."""
        self._closes[code] += 1

    def first_time(self, key: str) -> bool:
        """Tell whether `key` had never been rejected before; from now on it has."""
        if key in self._rejected:
            return False
        self._rejected.add(key)
        return True

    def as_json(self) -> dict[str, Any]:
        """Return the counts as the control pipe carries them."""
        return {
            "total": self.total,
            "refused": self.refused,
            "connections": self.connections,
            "sent": self.sent,
            "received": self.received,
            "resets": list(self.resets),
            "paths": +self._paths,
            "ids": +self._ids,
            "closes": self._closes,
        }
