"""Interim responses (1xx), told in order to whoever asked, and before the answer."""

from __future__ import annotations

from functools import partial

from quiver.actors.propagation import must_propagate
from quiver.fields import Pairs
from quiver.pool.messages import PoolAnswer, PoolReply
from quiver.request import Request
from quiver.streams.caller_thread import CallerThreadExecutor
from quiver.streams.send_buffer import SendBuffer

__all__ = ["InformationalCalls"]


class InformationalCalls:
    """The calls of one request's `on_informational`, where it may block.

    They are made apart from who reads the request's body.

    What it raises ends that request: `reply` is given up with it, or the channel is, by its buffer,
    which has had its reply.
    """

    def __init__(
        self, request: Request, reply: PoolReply | None, send_buffer: SendBuffer | None
    ) -> None:
        assert request.on_informational is not None and request.context is not None
        self._callback = request.on_informational
        self._context = request.context.copy()  # the request may be asked twice at the same time
        self._reply = reply
        self._send_buffer = send_buffer
        self._executor = CallerThreadExecutor(reply)
        self._untold = 0  # written by the connection only; `_told` by whoever calls
        self._told = 0

    def tell(self, status: int, headers: Pairs) -> None:
        """Have it called soon. Raises ResourceExhausted as `CallerThreadExecutor.submit`."""
        self._executor.submit(partial(self._call, status, headers), context=self._context)
        self._untold += 1

    def answer(self, outcome: PoolAnswer) -> bool:
        """Answer once all has been told. False, and nothing is done, when it has been.

        Whoever waits for the answer itself makes the calls before it takes that.
        """
        reply = self._reply
        if reply is None or reply.has_waiter or self._told == self._untold:
            return False
        self._executor.submit(partial(reply.answer, outcome))
        return True

    @property
    def unanswered(self) -> PoolReply | None:
        """The reply, when it is to be answered in turn, and has not been."""
        reply = self._reply
        return None if reply is None or reply.has_waiter or reply.done else reply

    def close(self) -> None:
        """Tell nothing more."""
        self._executor.shutdown()

    def _call(self, status: int, headers: Pairs) -> None:
        try:
            self._callback(status, headers)
        except BaseException as error:
            if not self._break_off(error) or must_propagate(error):
                raise
        finally:
            self._told += 1

    def _break_off(self, error: BaseException) -> bool:
        """End the request. Returns whether there was something to end."""
        if self._reply is not None:
            return self._reply.give_up(error)
        if self._send_buffer is None or self._send_buffer.closed:
            return False
        self._send_buffer.fail(error)
        return True
