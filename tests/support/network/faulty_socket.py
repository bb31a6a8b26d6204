"""A UDP socket whose next calls fail with an errno, as a kernel may have them fail."""

from __future__ import annotations

import os
import socket
from collections import Counter
from typing import Any

__all__ = ["FaultySocket", "fail", "met"]

_pending: Counter[tuple[str, int]] = Counter()


def fail(call: str, number: int, times: int) -> None:
    """Let the next `times` calls of `call` fail with `number`: "send", "recv", "connect" or
    "setsockopt".

    0 ends it.
    """
    _pending.clear()
    _pending[call, number] = times


def met() -> bool:
    """Tell whether all calls that were to fail have done so."""
    return not any(_pending.values())


class FaultySocket(socket.socket):
    """The real socket, but for the calls that are to fail."""

    def send(self, *args: Any) -> int:
        _perhaps_fail("send")
        return super().send(*args)

    def sendmsg(self, *args: Any) -> int:
        _perhaps_fail("send")
        return super().sendmsg(*args)

    def recv(self, *args: Any) -> bytes:
        _perhaps_fail("recv")
        return super().recv(*args)

    def setsockopt(self, *args: Any) -> None:
        _perhaps_fail("setsockopt")
        super().setsockopt(*args)

    def connect(self, address: Any) -> None:
        _perhaps_fail("connect")
        super().connect(address)


def _perhaps_fail(call: str) -> None:
    for (which, number), times in list(_pending.items()):
        if which == call and times > 0:
            _pending[which, number] -= 1
            raise OSError(number, os.strerror(number))
