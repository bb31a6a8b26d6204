"""The end of a body goes out also when its filler reaches it in the middle of a turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from quiver.actors.reply import Reply
from quiver.h3.session import Session
from quiver.pool.callers import Held
from quiver.pool.exchange import Mode
from quiver.pool.messages import Exchange
from quiver.pool.sending import send_stream
from quiver.request import Request
from quiver.upload import FULL, Errands, Outlet, Upload


class Recorder:
    """What a session is told to send."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bool]] = []

    def unacknowledged(self, stream_id: int) -> int:
        return 0

    def send_body(self, stream_id: int, content: bytes, ended: bool) -> None:
        self.sent.append((len(content), ended))


class AtOnce(Errands):
    """The filler is so quick that it has done its turn while the connection looks."""

    def run(self, call: Callable[[], object], *, apart: bool = False) -> None:
        call()


def test_filler_that_ends_in_the_middle_of_a_turn() -> None:
    request = Request("POST", "/", body=iter([b"x" * FULL]))
    outlet = Outlet("https://localhost", lambda: None)
    reply: Reply[Any] = Reply()
    held = Held(Exchange(1, request, None), reply, 0, Mode.BUFFERED, errands=AtOnce(reply))
    held.outlet, held.upload = outlet, Upload(request, outlet)
    session = Recorder()
    turns = 0
    while not held.sent:
        send_stream(cast("Session", session), held, 10 * FULL)
        turns += 1
        assert turns < 10
    assert session.sent == [(FULL, False), (0, True)]
