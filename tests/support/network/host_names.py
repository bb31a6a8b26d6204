"""Names that resolve here and nowhere else, and some that take their time."""

from __future__ import annotations

import _socket
import threading
from typing import Any

import pytest

__all__ = ["Names"]

_system = _socket.getaddrinfo


class Names(dict[str, str]):
    """host -> address, or several with spaces between, before what the system would say.

    It stands where `socket.getaddrinfo` calls the system, in a thread: everything of ours is at
    work. `slow` names are not answered before `released` is set.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.slow: set[str] = set()
        self.asked: list[str] = []
        self.released = threading.Event()
        patch.setattr(_socket, "getaddrinfo", self._resolve)

    def _resolve(self, host: Any, *more: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        self.asked.append(name)
        if name in self.slow:
            self.released.wait(30)
        addresses = self.get(name, name).split()
        return [entry for one in addresses for entry in _system(one, *more, **options)]
