"""Name resolution: the addresses of an origin, looked up where that may block.

Each look-up has a thread of its own for as long as it runs, and `LookUpTable` says which dials
share it: one that hangs costs its origin alone. Whoever waits is a greenlet, and may be killed.

What is asked is what the program would ask itself, and where it would:

    the option resolver  in a thread
    socket.getaddrinfo   in a thread; a function that the program has put in its place is called
    gevent's resolver    in a greenlet, if the program has chosen another than the system's

In a patched program the program's own functions are called in a greenlet too: its threads are
greenlets.
"""

from __future__ import annotations

import errno
import os
import reprlib
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import attrs
import gevent
import gevent.resolver.thread  # else the first request would import these two, and what they need
import gevent.socket
import gevent.threadpool
from gevent._hub_local import get_hub_if_exists
from gevent.monkey import get_original, is_module_patched

from quiver.actors import signal_deferral
from quiver.actors.descriptors import NoneLeft, check
from quiver.actors.native_threads import allocate_lock, start_thread
from quiver.actors.wait_queue import wait, wake
from quiver.config import PoolConfig
from quiver.errors import EXHAUSTED, NameResolutionFailed
from quiver.name_options import Resolver
from quiver.pool.look_up_table import TOTAL, LookUp, LookUpTable, Name, TooManyLookUps
from quiver.pool.resolver_answer import WrongAnswer, addresses_of, spelled_out
from quiver.pool.udp import Address

__all__ = ["resolve"]

_DEFAULTS: Final = PoolConfig()
_OPTION: Final = "resolver="
_LIBRARY: Final = "socket.getaddrinfo"
_WORDS: Final = reprlib.Repr()  # of what a resolver has raised
_WORDS.maxother = 200  # characters
_NAMED: Final = 5  # hosts that an error about many look-ups tells


class Question(NamedTuple):
    """How addresses are asked for.

    Attributes:
        asked: who is asked, as an error says it.
        ask: called with host and port.
        here: in a greenlet of this thread's hub, else in a thread.
        whom: who is asked, by identity: look-ups of one name are shared by those who ask the same.
    """

    asked: str
    ask: Callable[[str, int], object]
    here: bool
    whom: object


@attrs.frozen
class Outcome:
    """What a look-up came to: addresses, or what was raised."""

    addresses: tuple[Address, ...] = ()
    error: BaseException | None = None


def resolve(host: str, port: int, config: PoolConfig = _DEFAULTS) -> list[Address]:
    """All addresses of `host`, in the resolver's order of preference. Blocks the greenlet only.

    What `config.resolve` has for it needs nobody else; nor does an address, which is no name.

    Raises:
        NameResolutionFailed: there are none, or what was asked has given none that are any.
        NoneLeft: no descriptor or thread is left to look it up.
    """
    given = None if config.resolve is None else config.resolve.find(host, port)
    if given is not None:
        return _given(host, port, given)
    if literal := spelled_out(host, port):
        return [literal]
    check(1)  # resolvers say of this that the name is unknown
    question = _question(config.resolver)
    look_ups = _here() if question.here else _in_threads
    outcome = look_ups.wait_for(host, port, question)
    if outcome.error is None:
        return list(outcome.addresses)
    error = _named(host, question.asked, outcome.error)
    try:
        raise error
    finally:
        del error, outcome  # else it holds this frame, which holds it: a cycle


def _given(host: str, port: int, given: Sequence[str]) -> list[Address]:
    try:
        return list(addresses_of(given, port))
    except WrongAnswer as error:  # its interface is not there
        said = f"host {host!r} cannot be resolved: resolve={{'{host}:{port}': ...}}"
        raise NameResolutionFailed(f"{said} {error}") from error


def _named(host: str, asked: str, error: BaseException) -> Exception:
    """The error of a look-up, for one of those who have waited for it."""
    named: Exception
    said = f"host {host!r} cannot be resolved"
    if isinstance(error, NoneLeft) or (isinstance(error, OSError) and error.errno in EXHAUSTED):
        named = NoneLeft(error.errno, error.strerror)
    elif isinstance(error, OSError | UnicodeError):
        by = f" by {_OPTION}" if asked == _OPTION else ""
        named = NameResolutionFailed(f"{said}{by}: {error}")
    elif isinstance(error, WrongAnswer):
        named = NameResolutionFailed(f"{said}: {asked} {error}")
    elif isinstance(error, Exception) and asked != _OPTION:
        return error  # nobody foresaw it
    else:  # also what would end more than the look-up
        named = NameResolutionFailed(f"{said}: {asked} raised {_WORDS.repr(error)}")
    named.__cause__ = error
    return named


# who is asked ---------------------------------------------------------------------------------

_GEVENTS: Final = gevent.socket.getaddrinfo
_BY_SYSTEM: Final = gevent.resolver.thread.Resolver.getaddrinfo


def _question(resolver: Resolver | None) -> Question:
    in_greenlet = is_module_patched("threading")
    found: Any = socket.getaddrinfo
    if resolver is not None:
        return Question(_OPTION, resolver, here=in_greenlet, whom=resolver)
    if _is_replaced(found):
        return Question(_LIBRARY, partial(_ask_by, found), here=in_greenlet, whom=found)
    hub = gevent.get_hub()
    # In a loop of ours nobody has put one: it would be made here, with a pool of threads.
    if _is_chosen(hub.resolver if in_greenlet else hub.resolver_class):
        return Question("gevent's resolver", _ask_gevent, here=True, whom=_GEVENTS)
    original = get_original("socket", "getaddrinfo")
    return Question(_LIBRARY, partial(_ask_by, original), here=False, whom=original)


def _is_replaced(found: Any) -> bool:
    """Whether the program has another in the place of Python's own, or of gevent's."""
    return found is not _GEVENTS and getattr(found, "__globals__", None) is not vars(socket)


def _is_chosen(resolver: Any) -> bool:
    """Whether it is another than the one that gevent takes by itself, which asks the system.

    It may also be what would make one.
    """
    if not isinstance(resolver, type):
        if "getaddrinfo" in getattr(resolver, "__dict__", ()):
            return True
        resolver = type(resolver)
    return getattr(resolver, "getaddrinfo", None) is not _BY_SYSTEM


def _ask_by(function: Callable[..., object], host: str, port: int) -> object:
    # By position, as the standard library does: one of the program's may name them as it likes.
    return function(host, port, 0, socket.SOCK_DGRAM)


_ask_gevent: Final = partial(_ask_by, _GEVENTS)


# the look-ups ---------------------------------------------------------------------------------


class LookUps:
    """The look-ups that run in threads, or in the greenlets of one hub.

    Args:
        start: begins a look-up: calls what it is given, elsewhere.
    """

    def __init__(self, start: Callable[[Callable[[], object], str], object]) -> None:
        self._start = start
        self.renew()

    def renew(self) -> None:
        """Forget those of the parent, in a forked child: nobody runs them here."""
        # Held for a few steps, by actors and threads of ours, which no signal's exception hits.
        self._lock = allocate_lock()
        self._table: LookUpTable[Outcome] = LookUpTable()

    def wait_for(self, host: str, port: int, question: Question) -> Outcome:
        """Look up, or wait for one who does.

        Raises:
            NoneLeft: more are under way than may be.
        """
        look_up = self._joined(host, port, question)
        wait(look_up.wakes, lambda: look_up.outcome is not None)
        assert look_up.outcome is not None
        return look_up.outcome

    def _joined(self, host: str, port: int, question: Question) -> LookUp[Outcome]:
        # By identity: it lives for as long as it is asked, and a callable need not be hashable.
        name = Name(host, port, id(question.whom))
        with self._lock:
            try:
                look_up, new = self._table.join(name, time.monotonic())
            except TooManyLookUps:
                raise NoneLeft(errno.EAGAIN, self._too_many()) from None
        if new:
            run = partial(self._run, look_up, host, port, question)
            try:
                self._start(partial(_run_once, [run]), host)
            except RuntimeError as error:  # no thread is left
                refused = NoneLeft(errno.EAGAIN, f"no thread for a look-up: {error}")
                self._end(look_up, Outcome(error=refused))
        return look_up

    def _too_many(self) -> str:
        hosts = dict.fromkeys(each.name.host for each in self._table.all())
        told = ", ".join([*list(hosts)[:_NAMED], *(["..."] if len(hosts) > _NAMED else [])])
        return f"{TOTAL} look-ups of names are under way, the most at once: {told}"

    def _run(self, look_up: LookUp[Outcome], host: str, port: int, question: Question) -> None:
        try:
            outcome = Outcome(addresses_of(question.ask(host, port), port))
        except BaseException as error:  # noqa: BLE001 - it is for whoever waits
            outcome = Outcome(error=error)
        self._end(look_up, outcome)
        del look_up, outcome  # an error holds this frame, which would hold the error: a cycle

    def _end(self, look_up: LookUp[Outcome], outcome: Outcome) -> None:
        with self._lock:
            over = self._table.ended(look_up, outcome, found=outcome.error is None)
        for each in over:
            wake(each.wakes)

    def abandon(self) -> None:
        """Tell those who wait, in a forked child, that the look-up is the parent's."""
        left = self._table.all()
        self.renew()
        for each in left:
            each.outcome = Outcome(error=OSError(errno.ECANCELED, "the parent of a fork does it"))
            wake(each.wakes)


def _run_once(kept: list[Callable[[], object]]) -> None:
    """Call what is kept, and keep it no longer: the frames of an error hold what their calls do."""
    kept.pop()()


def _start_thread(run: Callable[[], object], host: str) -> None:
    start_thread(partial(_run_in_thread, run), f"quiver-look-up-{host}")


def _run_in_thread(run: Callable[[], object]) -> None:
    try:
        run()
    finally:
        hub = get_hub_if_exists()  # of a resolver that uses gevent
        if hub is not None:
            hub.destroy(destroy_loop=True)


def _spawn(run: Callable[[], object], _: str) -> None:
    signal_deferral.protect(gevent.spawn(run))


_in_threads: Final = LookUps(_start_thread)
_of_hubs: Final[WeakKeyDictionary[Any, LookUps]] = WeakKeyDictionary()


def _here() -> LookUps:
    """Those of this hub: they end with it."""
    return _of_hubs.setdefault(gevent.get_hub(), LookUps(_spawn))


def _after_fork() -> None:
    for look_ups in [_in_threads, *_of_hubs.values()]:
        look_ups.abandon()


os.register_at_fork(after_in_child=_after_fork)
