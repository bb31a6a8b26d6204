"""The end of a body goes out also when its filler reaches it in the middle of a turn."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context
from typing import Any, cast

from quiver.actors.reply import Reply
from quiver.h3.client_connection import ClientConnection
from quiver.pool.callers import Caller, send_stream
from quiver.pool.exchanges import Mode
from quiver.pool.messages import StartExchange
from quiver.request import Request
from quiver.streams.caller_thread import CallerThreadExecutor
from quiver.streams.send_buffer import HIGH_WATER, SendBuffer
from quiver.streams.upload import Upload


class Recorder:
    """What a connection is told to send."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bool]] = []

    def unacknowledged(self, stream_id: int) -> int:
        return 0

    def send_body(self, stream_id: int, content: bytes, ended: bool) -> None:
        self.sent.append((len(content), ended))


class AtOnce(CallerThreadExecutor):
    """The filler is so quick that it has done its turn while the connection looks."""

    def submit(
        self,
        call: Callable[[], object],
        *,
        own_thread: bool = False,
        context: Context | None = None,
    ) -> None:
        call()


def test_filler_that_ends_in_the_middle_of_a_turn() -> None:
    request = Request("POST", "/", body=iter([b"x" * HIGH_WATER]))
    send_buffer = SendBuffer("https://localhost", lambda: None)
    reply: Reply[Any] = Reply()
    held = Caller(StartExchange(1, request, None), reply, 0, Mode.BUFFERED, executor=AtOnce(reply))
    held.send_buffer, held.upload = send_buffer, Upload(request, send_buffer)
    h3 = Recorder()
    turns = 0
    while not held.sent:
        send_stream(cast("ClientConnection", h3), held, 10 * HIGH_WATER)
        turns += 1
        assert turns < 10
    assert h3.sent == [(HIGH_WATER, False), (0, True)]
