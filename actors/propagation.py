"""Which exceptions must go on: those of signal handlers, and what ends a greenlet.

A boundary is where what was raised in code that others gave us to call comes to its end. Python
runs its signal handlers in the main thread, between any two bytecodes. In a patched program the
actors live there too, as greenlets, so that an exception that is meant for the program may come
out in the midst of any of them: see `signal_deferral`.
"""

from __future__ import annotations

import signal
import threading
from types import CodeType, FunctionType, MethodType, TracebackType

from gevent.monkey import is_module_patched
from greenlet import GreenletExit, getcurrent

from quiver.actors.signal_deferral import DeferredHandler

__all__ = ["must_propagate", "must_propagate_from_call", "raised_by_signal"]


def must_propagate(error: BaseException) -> bool:
    """Whether a boundary must let it pass: it is meant for the greenlet, or for the program.

    All else is somebody's own, also a `SystemExit` of a callback and the `gevent.Timeout` of a
    `with` that it wrote; and what looks like a signal's where none comes up, which is outside of
    the main thread. In a patched program greenlets are threads, and all of them live in that one.
    """
    if isinstance(error, GreenletExit):
        return True
    main = threading.current_thread() is threading.main_thread() or is_module_patched("threading")
    return main and raised_by_signal(error)


def must_propagate_from_call(error: BaseException) -> bool:
    """Whether to let pass what a call has raised that somebody left with us to be made.

    As `must_propagate`; but it is made in an actor, and what would end that may be the call's own.

    So is a GreenletExit in an actor that has not been killed; any other greenlet is its owner's
    to kill. So is a KeyboardInterrupt where Ctrl-C is put off: see `signal_deferral`.
    """
    current = getcurrent()
    if isinstance(error, GreenletExit):
        return bool(getattr(current, "killed", True))
    if isinstance(error, KeyboardInterrupt) and getattr(current, "signals_deferred", False):
        return not isinstance(signal.getsignal(signal.SIGINT), DeferredHandler) and must_propagate(
            error
        )
    return must_propagate(error)


def raised_by_signal(error: BaseException) -> bool:
    """Whether a handler that `signal.signal` has set has raised `error`, or let it through."""
    codes = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()} - {None}
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    # The default one of SIGINT is written in C and leaves no frame.
    return isinstance(error, KeyboardInterrupt)


def _code_of(call: object) -> CodeType | None:
    if isinstance(call, DeferredHandler):
        call = call.handler
    if not isinstance(call, FunctionType | MethodType) and callable(call):
        call = type(call).__call__  # an object that can be called
    if isinstance(call, MethodType):
        call = call.__func__
    return call.__code__ if isinstance(call, FunctionType) else None
