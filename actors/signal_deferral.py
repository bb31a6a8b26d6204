"""Deferral of signal handlers while actors run in the main thread, as in a patched program.

What a signal handler raises comes out between any two bytecodes of that thread. It is meant for
the program, and an actor that it hits would be left half-way through a message. So a handler whose
signal comes while an actor runs, or the loop, is put off until the loop has its turn; what it
raises then goes to the main greenlet, as gevent does it, and the actor goes on. A greenlet of the
program's is interrupted at once, as ever.

To mask the signals instead would not do: the kernel gives one that the main thread has blocked to
any other, such as gevent's for names, and Python runs its handler in the main thread all the same.
"""

from __future__ import annotations

import contextlib
import importlib
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, TypeVar

import gevent
from gevent._hub_local import get_hub_if_exists
from greenlet import getcurrent, greenlet

T = TypeVar("T")
Handler = Callable[[int, FrameType | None], Any]

# As signal's own, which makes enums of each: a tenth of a millisecond for all.
_handler_of: Final[Callable[[int], object]] = importlib.import_module("_signal").getsignal
_GEVENTS: Final = getattr(signal, "SIGCHLD", None)

active = False
"""Whether the actors live in the main thread."""

_uninterrupted = False


class DeferredHandler:
    """A signal handler of the program's, which is not called amid what Quiver does."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler

    def __repr__(self) -> str:
        return f"<DeferredHandler {self.handler!r}>"

    def __call__(self, number: int, frame: FrameType | None) -> None:
        hub, current = get_hub_if_exists(), getcurrent()
        within = _uninterrupted or current is hub or getattr(current, "signals_deferred", False)
        if within and hub is not None and hub.loop is not None:
            hub.loop.run_callback(self._call_in_loop, number, frame)
        else:
            self.handler(number, frame)

    def _call_in_loop(self, number: int, frame: FrameType | None) -> None:
        try:
            self.handler(number, frame)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the program's
            gevent.get_hub().handle_system_error(type(error), error, error.__traceback__)


def wrap_handlers() -> None:
    """Have the handlers that are set now put off. Call it now and then: a program sets others."""
    global active
    active = True
    for number in range(1, signal.NSIG):
        handler = _handler_of(number)
        if callable(handler) and not isinstance(handler, DeferredHandler) and number != _GEVENTS:
            with contextlib.suppress(ValueError, OSError):  # some cannot be set
                signal.signal(number, DeferredHandler(handler))


def protect(covered: greenlet) -> None:
    """Put handlers off while this greenlet runs."""
    covered.__dict__["signals_deferred"] = True


def uninterrupted(call: Callable[[], T]) -> T:
    """Make `call`, which does not wait, with handlers put off, in whichever greenlet this is."""
    global _uninterrupted
    if not active or _uninterrupted:
        return call()
    _uninterrupted = True
    try:
        return call()
    finally:
        _uninterrupted = False
