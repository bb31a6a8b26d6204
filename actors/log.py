"""Log records that are made in the loop, handed to the program's logging handlers elsewhere.

A handler may take its time, and holds its lock meanwhile; it may even ask over Quiver, and wait for
an answer. In the loop it would keep everybody waiting, or wait for itself. So a filter on each
logger that is used there takes the record out, and a thread of its own hands it on, in order; in
a patched program, a greenlet. A record that is made in any other thread is handled there at once.

A handler that sends what it gets over Quiver does not feed itself for ever: a request on a
connection that is open makes no record. While none can be had, what waits is bounded.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import gevent
import pykka

from quiver.actors import signal_deferral, wait_queue
from quiver.actors.native_threads import get_ident, start_thread
from quiver.actors.reply import Reply

__all__ = ["FLUSH_TIMEOUT", "LIMIT", "LogForwarder", "flush", "log_forwarder"]

LIMIT: Final = 10_000  # records that wait for the handlers; beyond it the oldest are dropped
FLUSH_TIMEOUT: Final = 1.0  # seconds that the end of the interpreter waits for the handlers


class LogForwarder(logging.Filter):
    """Takes the records that a loop's thread makes, and has them handled where that may block."""

    def __init__(self) -> None:
        super().__init__()
        self.renew()

    def renew(self) -> None:
        """Forget everything: in a forked child the thread is no more, and no record its own."""
        self._loops: dict[int, bool] = {}  # by thread: whether it runs the program's greenlets too
        self._waiting: deque[Callable[[], object]] = deque()
        self._wakes: wait_queue.WaitQueue = []
        self._dropped = 0
        self._running = False
        self._withheld = False
        self._greenlet: gevent.Greenlet[..., None] | None = None

    def take(self, *names: str) -> None:
        """Let no handler get the records of these loggers in a loop's thread."""
        for name in names:
            logging.getLogger(name).addFilter(self)

    def begin_loop(self, *, embedded: bool) -> None:
        """Take the records of the calling thread from now on."""
        self._loops[get_ident()] = embedded

    def end_loop(self) -> None:
        self._loops.pop(get_ident(), None)

    @contextlib.contextmanager
    def withheld(self) -> Iterator[None]:
        """Tell nobody what is made meanwhile: with the next record, or at the exit.

        For the moment in which a forked child lets go of its parent's actors. A handler that asks
        over Quiver then would ask those; and a child need not hear of the end of each.
        """
        self._withheld = True
        try:
            yield
        finally:
            self._withheld = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Let through what is not made in a loop. Called by the logger, as all filters are."""
        if self._withheld:
            if record.levelno > logging.DEBUG:
                self._waiting.append(partial(logging.getLogger(record.name).handle, record))
            return False
        embedded = self._loops.get(get_ident())
        if embedded is None or (embedded and gevent.getcurrent() is self._greenlet):
            return True
        self._put(partial(logging.getLogger(record.name).handle, record))
        return False

    def flush(self, timeout: float = FLUSH_TIMEOUT) -> None:
        """Wait until what was made before has been handled, at most `timeout` seconds."""
        if self._running:
            done: Reply[None] = Reply()
            self._put(partial(done.answer, None))
            with contextlib.suppress(pykka.Timeout):
                done.get(timeout=timeout)
        else:  # what is left had no thread
            self._handle_all()

    def _put(self, call: Callable[[], object]) -> None:
        if len(self._waiting) >= LIMIT:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(call)
        if self._running:
            wait_queue.wake(self._wakes)
            return
        self._running = True
        try:
            if self._loops.get(get_ident()):
                self._greenlet = gevent.spawn(self._run_until_done)
                signal_deferral.protect(self._greenlet)
            else:
                start_thread(self._run, "quiver-log")
        except RuntimeError:  # no thread is to be had now: the next record tries again
            self._running = False

    # in the forwarder's own thread or greenlet ---------------------------------------------------

    def _run(self) -> None:
        while True:
            wait_queue.wait(self._wakes, lambda: bool(self._waiting))
            self._handle_all()

    def _run_until_done(self) -> None:
        try:
            self._handle_all()
        finally:
            if gevent.getcurrent() is self._greenlet:  # not a parent's, in a forked child
                self._running, self._greenlet = False, None

    def _handle_all(self) -> None:
        while self._waiting:
            _handle(self._waiting.popleft())
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                said = "%d log records of the loop were dropped: their handlers are too slow"
                logging.getLogger("quiver.actors").warning(said, dropped)


def _handle(call: Callable[[], object]) -> None:
    process = os.getpid()
    try:
        call()
    except Exception:  # a filter's: handlers see to their own. As logging does with those
        forked = os.getpid() != process  # meanwhile: logging has made this lock of its anew
        if logging.raiseExceptions and sys.stderr is not None and not forked:
            traceback.print_exc()


log_forwarder: Final = LogForwarder()
flush: Final = log_forwarder.flush


os.register_at_fork(after_in_child=log_forwarder.renew)
atexit.register(flush)
log_forwarder.take("quiver.actors", "pykka")  # Pykka tells of each actor that begins or ends
