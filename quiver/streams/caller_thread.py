"""CallerThreadExecutor: what may block is run in the thread of the caller that waits anyway.

The loop must not run a body's iterator or a callback: that is code of the program's, which may
block or ask over Quiver itself. The caller of a buffered request waits for its reply meanwhile, so
its own thread (or greenlet) does it, and context variables and thread-locals are as it expects.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Protocol

from quiver.actors.wait_queue import WaitQueue, wait, wake
from quiver.errors import ResourceExhausted

__all__ = ["CallerThreadExecutor"]

logger = logging.getLogger("quiver.upload")


class WaitingCaller(Protocol):
    """A caller that waits for a reply, as that `Reply` knows it."""

    def call_in_caller(self, call: Callable[[], object], /) -> bool:
        """Have the caller make `call`; return False when none waits."""


class CallerThreadExecutor:
    """An executor of calls in order: in the thread that waits for `reply`, else in one of its own.

    In a monkey-patched program its own thread is a greenlet.
    """

    def __init__(self, reply: WaitingCaller | None) -> None:
        self._reply = reply
        self._calls: list[Callable[[], object]] = []
        self._wakes: WaitQueue = []
        self._serving = False
        self._closed = False

    def submit(
        self,
        call: Callable[[], object],
        *,
        own_thread: bool = False,
        context: Context | None = None,
    ) -> None:
        """Have `call` made soon, after those before it; with `own_thread` not in the caller's.

        Args:
            context: the context variables of a call that is not made in the caller's thread.

        Raises:
            ResourceExhausted: it needs a thread, and none can be started.
        """
        if not own_thread:
            if self._reply is not None and self._reply.call_in_caller(call):
                return
            self.detach()  # its caller has left, or never waited
        self._calls.append(call if context is None else partial(context.run, call))
        wake(self._wakes)
        if not self._serving:
            self._start()

    def _start(self) -> None:
        thread = threading.Thread(target=self._serve, name="quiver-caller-thread", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            said = "no thread can be started that reads its body or makes its callbacks"
            raise ResourceExhausted(f"{said}: {error}") from error
        self._serving = True

    def detach(self) -> None:
        """Run what is still to be run in an own thread: the caller waits no more."""
        self._reply = None

    def shutdown(self) -> None:
        """Let its thread end when it has made the calls that are left."""
        self._closed = True
        wake(self._wakes)

    def _serve(self) -> None:
        while True:
            wait(self._wakes, lambda: bool(self._calls) or self._closed)
            if not self._calls:
                return
            try:
                self._calls.pop(0)()
            except BaseException:  # of the program's code: the calls after it are made all the same
                logger.exception("a callback of a request raised, and nobody waits to be told")
