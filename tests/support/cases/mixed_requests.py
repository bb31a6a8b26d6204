"""Requests of several kinds to a real server, from callers at once: each is rightly answered."""

from __future__ import annotations

from collections.abc import Callable

import quiver
from quiver.testing import pattern
from tests.support.chaos.background_load import CallerKind, run_callers
from tests.support.servers.independent import LARGE, StaticServer

__all__ = ["CALLERS", "MIX", "Ask", "ask_mixed", "wrong_with"]

CALLERS = 20
# Of every twenty: one large, two missing, four HEAD, five POST, eight GET.
MIX = ("large", *["missing"] * 2, *["head"] * 4, *["post"] * 5, *["get"] * 8)

Ask = Callable[[str, str, bytes | None], quiver.Response]
"""Asks the server: method, path and body."""


def ask_mixed(ask: Ask, server: StaticServer, kind: CallerKind, count: int) -> None:
    """Make so many requests of the mix, all of which are to be answered rightly."""
    answered: list[int] = []
    wrong: list[str] = []

    def caller(first: int) -> None:
        for number in range(first, count, CALLERS):
            turn = (number + number // CALLERS) % len(MIX)
            fault = wrong_with(ask, server, MIX[turn], number)
            answered.append(number)
            if fault is not None:
                wrong.append(fault)

    run_callers(kind, CALLERS, caller)
    assert wrong == []
    assert sorted(answered) == list(range(count))


def wrong_with(ask: Ask, server: StaticServer, kind: str, number: int) -> str | None:
    """Make one request of the mix; return what was wrong with the answer."""
    method, path, body, status, expected = "GET", "/small", None, 200, b"ok"
    match kind:
        case "large":
            path, expected = "/large", LARGE
        case "missing":
            path, status = f"/missing-{number}", 404
        case "head":
            method, path, expected = "HEAD", "/large", b""
        case "post" if server.can_echo:
            method, path, body = "POST", "/echo", pattern(number * 7 % 5000).replace(b"\0", b"0")
            expected = body
        case "post":
            method, body = "POST", pattern(number)  # taken, and answered with the file
    response = ask(method, path, body)
    if response.status != status:
        return f"{number} {method} {path}: {response.status}, not {status}"
    if status != 404 and response.body != expected:
        return f"{number} {method} {path}: {len(response.body)} bytes, not {len(expected)}"
    return None
