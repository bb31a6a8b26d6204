"""Crash points: every place where an actor decides what to do, found in its source.

A point is one arm of a `match` in a method of an actor class or of one of its `PARTS`, or a whole
method. `CrashInjector.installed` puts a call in front of each, for as long as a test lasts; an
armed injector raises there. What is added to an actor later is found like the rest.
"""

from __future__ import annotations
import __future__

import ast
import contextlib
import functools
import importlib
import inspect
import pkgutil
import textwrap
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import gevent

import quiver
from quiver.actors.actor import GeventActor
from quiver.pool.connection import Connection
from quiver.pool.dialer import Dialer
from quiver.pool.exchange_runner import ExchangeRunner
from quiver.pool.tcp_transport import TcpTransport
from quiver.pool.udp_transport import UdpTransport
from quiver.pool.waiting_channels import WaitingChannels

__all__ = ["FAULTS", "CrashInjector", "Point", "actor_classes", "points", "role_of"]

FAULTS: dict[str, tuple[BaseException, bool]] = {  # what is raised; whether it is each time
    "once": (RuntimeError("injected"), False),
    "killed": (gevent.GreenletExit(), False),
    "broken": (RuntimeError("injected"), True),
}

RUNTIME = ("quiver.actors.actor", "quiver.actors.state_machine")  # under the actors; not theirs
PARTS: dict[type[GeventActor], tuple[type, ...]] = {
    Connection: (Dialer, UdpTransport, TcpTransport, ExchangeRunner, WaitingChannels),
}  # what an actor holds and does its work by: they fail as it does
LAST = (
    "on_exit",
    "crash_error",
    "hang_up",
    "close",
    "fail_all",
    "_cause",  # and what a request's boundary does when something was raised within it
    "_not_begun",
    "_unused",
    "_fail_one",
    "failing",
)  # for when all else has failed: not broken too


@attrs.frozen
class Point:
    """Where to raise. `arm` is the pattern of a case as written, or "" for the whole method."""

    owner: type
    method: str
    arm: str

    def __str__(self) -> str:
        return f"{self.owner.__name__}.{self.method}" + (f"[{self.arm}]" if self.arm else "")


def actor_classes() -> list[type[GeventActor]]:
    """All actors of the library that are started, none that others are only derived from.

    Adapters hold none, and importing Locust's would patch this program.
    """
    for module in pkgutil.iter_modules(quiver.__path__, "quiver."):
        if module.name not in ("quiver.cli", "quiver.testing", "quiver.adapters"):
            _import_all(module.name)
    return sorted(_leaves(GeventActor), key=lambda each: each.__name__)


def _import_all(name: str) -> None:
    within = getattr(importlib.import_module(name), "__path__", ())
    for module in pkgutil.iter_modules(within, f"{name}."):
        _import_all(module.name)


def _leaves(base: type[GeventActor]) -> set[type[GeventActor]]:
    found: set[type[GeventActor]] = set()
    for each in base.__subclasses__():
        if each.__module__.startswith("quiver."):
            found |= _leaves(each) or {each}
    return found


def points(actor: type[GeventActor]) -> list[Point]:
    """All crash points of an actor class, those of what it is derived from included."""
    return [point for owner in _owners(actor) for point, _ in _marked(owner)]


def role_of(actor: GeventActor) -> str:
    """Whose part it plays: the root supervisor's is not that of an origin's."""
    name = type(actor).__name__
    return name if "https://" in getattr(actor, "name", "https://") else f"root {name}"


class CrashInjector:
    """Raises `error` when a point is reached, in one actor that is `wanted`.

    `persistent`: also each time after that in the same actor, which is broken then.
    """

    def __init__(self) -> None:
        self.hits: Counter[tuple[str, str]] = Counter()  # by role and point
        self.fired = threading.Event()
        self._point: str | None = None
        self._victim: GeventActor | None = None

    def arm(
        self,
        point: Point,
        error: BaseException,
        wanted: Callable[[GeventActor], bool],
        *,
        persistent: bool = False,
    ) -> None:
        self.fired.clear()
        self._victim, self._error, self._wanted = None, error, wanted
        self._persistent = persistent
        self._point = str(point)

    def disarm(self) -> None:
        self._point = self._victim = None

    def passed(self, point: str, owner: object) -> None:
        actor = _at_work(owner)
        if actor is None:
            return
        self.hits[role_of(actor), point] += 1
        if point != self._point or not self._is_victim(actor):
            return
        self.fired.set()
        if not self._persistent:
            self._point = None
        raise self._error

    def _is_victim(self, actor: GeventActor) -> bool:
        if self._victim is None and self._wanted(actor):
            self._victim = actor
        return self._victim is actor

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Have every method of every actor class pass its points here first."""
        owners = {owner for actor in actor_classes() for owner in _owners(actor)}
        plain = [
            (owner, name, vars(owner)[name]) for owner in owners for name in _methods_of(owner)
        ]
        try:
            for owner in owners:
                for name, function in _rebuilt(owner, self.passed).items():
                    setattr(owner, name, function)
            yield
        finally:
            for owner, name, function in plain:
                setattr(owner, name, function)


def _at_work(owner: object) -> GeventActor | None:
    """The actor that is at work here, itself or by its part: others call some methods too."""
    actor = getattr(gevent.getcurrent(), "resident", None)
    if isinstance(owner, GeventActor) and owner is not actor:
        return None
    return actor if isinstance(actor, GeventActor) else None


def _owners(actor: type[GeventActor]) -> list[type]:
    ours = [each for each in actor.__mro__ if issubclass(each, GeventActor)]
    return [each for each in ours if each.__module__ not in RUNTIME] + [*PARTS.get(actor, ())]


@functools.cache
def _methods_of(owner: type) -> dict[str, ast.FunctionDef]:
    """The plain methods of a class as trees that are to be changed: see `_marked`."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(tree, ast.ClassDef)
    _, first = inspect.getsourcelines(owner)
    ast.increment_lineno(tree, first - 1)
    return {
        each.name: each
        for each in tree.body
        if isinstance(each, ast.FunctionDef)
        and not each.decorator_list
        and not each.name.startswith("__")
    }


@functools.cache
def _marked(owner: type) -> list[tuple[Point, list[ast.stmt]]]:
    """Each point of a class with the block that it stands before."""
    found: list[tuple[Point, list[ast.stmt]]] = []
    for name, method in _methods_of(owner).items():
        if name in LAST or _is_empty(method):
            continue
        found.append((Point(owner, name, ""), method.body))
        for node in ast.walk(method):
            if isinstance(node, ast.match_case):
                guard = f" if {ast.unparse(node.guard)}" if node.guard else ""
                found.append((Point(owner, name, ast.unparse(node.pattern) + guard), node.body))
    return found


def _is_empty(method: ast.FunctionDef) -> bool:
    """Whether it is there to be overridden: a docstring, and nothing that could fail."""
    return len(method.body) == 1 and ast.get_docstring(method) is not None


@functools.cache
def _code_of(owner: type) -> Any:
    """A function that makes the methods anew, each with a call in front of each point."""
    for point, block in _marked(owner):
        call = ast.parse(f"__passed__({str(point)!r}, self)").body[0]
        for node in ast.walk(call):
            ast.copy_location(node, block[0])
        block.insert(0, call)
    methods = _methods_of(owner)
    frame = ast.parse("def make(__class__, __passed__):\n    return locals()")
    (make,) = frame.body
    assert isinstance(make, ast.FunctionDef)
    make.body[:0] = methods.values()
    ast.fix_missing_locations(frame)
    flags = __future__.annotations.compiler_flag
    return compile(frame, inspect.getfile(owner), "exec", flags, dont_inherit=True)


def _rebuilt(owner: type, passed: Callable[[str, GeventActor], None]) -> dict[str, Any]:
    module = importlib.import_module(owner.__module__)
    made: dict[str, Any] = {}
    exec(_code_of(owner), vars(module), made)
    functions = made["make"](owner, passed)
    return {name: functions[name] for name in _methods_of(owner)}
