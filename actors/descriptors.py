"""Whether the descriptors that a loop needs are left, seen before one is made.

libev takes them when its loop is made, and asks the system again for ever when there is none: with
the GIL held, so that the whole program would stand still, writing an error with each attempt.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any, Final

import gevent
import gevent.core  # type: ignore[import-not-found]
from gevent._hub_local import get_hub_if_exists
from gevent.monkey import get_original

from quiver.actors.native_threads import sleep

# Closed at once: in a patched program `os.close` may wait for the loop, as gevent's sockets do.
_Socket: Callable[..., socket.socket] = get_original("socket", "socket")

_OF_LOOP: Final = {"gevent.libuv": 8}  # epoll, io_uring, two pipes, an eventfd
# epoll and an eventfd. Where that one is refused, as others hold the last descriptor just then,
# libev wants a pipe instead, and asks for its two until it has them.
_OF_LIBEV: Final = 3
_PAUSE: Final = 0.01  # seconds between libev's attempts


class NoneLeft(OSError):  # noqa: N818 - a state of things
    """The process, or the system, has no descriptor or thread left for the loop."""


_forked: list[bool] = []  # a loop that came from the parent is made anew, when it next runs
os.register_at_fork(after_in_child=lambda: _forked.append(True))


def check_for_loop() -> None:
    """See that the loop of this thread's hub can be made, unless it is there.

    Raises:
        NoneLeft: it cannot.
    """
    if _forked or get_hub_if_exists() is None:
        package = gevent.config.loop.__module__.rpartition(".")[0]
        check(_OF_LOOP.get(package, _OF_LIBEV))


def make_hub() -> Any:
    """This thread's hub, also when others take, in this moment, what `check_for_loop` has seen.

    It is waited for then, with the GIL let go between the attempts, and in silence.
    """
    call_at_errors = getattr(gevent.core, "set_syserr_cb", lambda _: None)  # libuv has none
    call_at_errors(lambda _said, _errno: sleep(_PAUSE))
    hub: Any = gevent.get_hub()
    call_at_errors(hub.loop._handle_syserr)  # as gevent does it for the first of all loops
    return hub


def check(count: int) -> None:
    """See that so many more descriptors can be opened.

    Raises:
        NoneLeft: they cannot.
    """
    opened: list[socket.socket] = []
    try:
        while len(opened) < count:
            opened.append(_Socket(socket.AF_UNIX))
    except OSError as error:
        raise NoneLeft(error.errno, error.strerror) from error
    finally:
        for descriptor in opened:
            descriptor.close()
