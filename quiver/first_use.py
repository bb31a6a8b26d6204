"""Import of the heavy modules at their first use, in a thread of its own.

`import quiver` loads the errors and the functions; QUIC, TLS and the loop come with the first name
that needs them. Python raises what its signal handlers raise in the main thread, between any two
bytecodes. An import that is hit there leaves what importlib does not clean up: a module lock that
nobody releases, a module that its package does not name. So it runs in a thread that is started
for it, where no such exception comes out. Whoever waits may be interrupted; the import goes on, and
the next use waits for it, or finds what it has loaded. One that fails of itself leaves nothing half
made: importlib removes each module whose code has raised, and the next use begins anew with what
was imported whole.

What takes the thread that loads it for the main one (threading), or locks something before a fork
and releases it afterwards (logging, concurrent.futures), is imported here. So is what gevent needs
for a thread's loop (pprint): where it has patched import's own locks, taking one of them makes the
loop of the thread that waits, while the module may be half made in ours.
"""

from __future__ import annotations

import _thread
import atexit
import concurrent.futures.thread  # noqa: F401 - it, and logging, hook forks and the exit
import errno
import os
import pprint  # noqa: F401 - see above
import sys
import time
from collections.abc import Callable, Iterable
from importlib import import_module, invalidate_caches
from importlib.abc import Loader, MetaPathFinder
from types import ModuleType
from typing import Any, Final

from quiver.errors import EXHAUSTED, PoolStopped, QuiverError, ResourceExhausted

__all__ = ["load"]

_PATIENCE: Final = 10.0  # seconds that a fork or the exit waits for an import
_PAUSE: Final = 0.001  # seconds between two looks
_DESCRIPTORS: Final = 4  # that an import has open at once, at the most

_ENDING: Final = 1.0  # seconds that a thread's end may take, when its Python code is over

_importer: int | None = None  # the thread that imports now
_ended: tuple[int, float] | None = None  # the last that did: its native id, and since when
_forkers: dict[int, float] = {}  # threads that are forking, and since when


def load(name: str) -> ModuleType:
    """Import a module whole, or not at all.

    Raises:
        ResourceExhausted: no descriptor is left to read it with. The next call begins anew.
        PoolStopped: the interpreter exits.
        ImportError: as of an import statement.
    """
    if _native("get_ident")() == _importer:  # a module that is being imported uses a name of ours
        return import_module(name)
    outcome: list[ModuleType | BaseException] = []
    try:
        _wait_for(outcome, name)
    except _NoThread:  # none is left, or the interpreter is on its way out
        _import(name, outcome)
    found = outcome[0]
    try:
        if isinstance(found, ModuleType):
            return found
        raise _named(found)
    finally:
        del found, outcome  # else the error holds this frame, which holds the error: a cycle


def _native(name: str, module: ModuleType = _thread) -> Any:
    """A primitive of threads itself, also in a program that gevent has patched."""
    monkey = sys.modules.get("gevent.monkey")  # it may be what is being imported
    get_original = getattr(monkey, "get_original", None)
    return get_original(module.__name__, name) if get_original else getattr(module, name)


# Taken by threads of ours only, which nothing interrupts. A lock of gevent's would let one of them
# wait for ever: it wakes greenlets, in the thread that releases it.
_lock = _native("allocate_lock")()


# the thread that waits ------------------------------------------------------------------------


class _NoThread(Exception):
    """The system starts none."""


def _wait_for(outcome: list[ModuleType | BaseException], name: str) -> None:
    """Wait for the import: the thread waits, or only the greenlet if this is one."""
    local: Any = sys.modules.get("gevent._hub_local")
    hub = None if local is None else local.get_hub_if_exists()
    if hub is not None and hub.loop is not None and _current_greenlet() is not hub:
        _wait_in_greenlet(hub, outcome, name)
        return
    gate = _native("allocate_lock")()
    gate.acquire()
    _start(name, outcome, gate.release)
    gate.acquire()


def _current_greenlet() -> Any:
    return sys.modules["greenlet"].getcurrent()


def _wait_in_greenlet(hub: Any, outcome: list[ModuleType | BaseException], name: str) -> None:
    """Other greenlets go on meanwhile: one may hold a lock that the modules want."""
    from gevent.hub import Waiter

    waiter: Any = Waiter(hub)
    watcher = hub.loop.async_()
    watcher.start(waiter.switch, None)
    try:
        _start(name, outcome, watcher.send)
        while not outcome:
            waiter.get()
            waiter.clear()
    finally:
        watcher.stop()
        watcher.close()


def _start(
    name: str, outcome: list[ModuleType | BaseException], done: Callable[[], object]
) -> None:
    try:
        _native("start_new_thread")(_import_in_thread, (name, outcome, done))
    except RuntimeError as error:
        raise _NoThread from error


# the thread that imports ----------------------------------------------------------------------


def _import_in_thread(
    name: str, outcome: list[ModuleType | BaseException], done: Callable[[], object]
) -> None:
    global _importer, _ended
    with _lock:
        _importer = _native("get_ident")()
        try:
            while _forking():
                _importer = None
                _pause()
                _importer = _native("get_ident")()
            _import(name, outcome)
        finally:
            _ended = _native("get_native_id")(), time.monotonic()
            _importer = None
    try:
        done()
    except Exception:  # noqa: BLE001 - the loop of whoever waited was destroyed meanwhile
        pass


def _import(name: str, outcome: list[ModuleType | BaseException]) -> None:
    before = set(sys.modules)
    try:
        _see_that_descriptors_are_left()
        outcome.append(import_module(name))
        _orphans.forget()
    except BaseException as error:  # noqa: BLE001 - whoever waits raises it
        _orphans.take(sys.modules.keys() - before)
        outcome.append(error)


def _see_that_descriptors_are_left() -> None:
    """Find it out before the first module is read, if it is so already."""
    opened: list[int] = []
    try:
        while len(opened) < _DESCRIPTORS:
            opened.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        for each in opened:
            os.close(each)


class _Orphans(MetaPathFinder, Loader):
    """Modules that were imported whole, for a package that was not.

    importlib removes the package, and binds those in no other that comes in its place: they are
    imported already. So they are bound in it before its code runs, and nothing is loaded twice.
    """

    def __init__(self) -> None:
        self._children: dict[str, dict[str, ModuleType]] = {}
        self._loaders: dict[str, Any] = {}

    def take(self, names: Iterable[str]) -> None:
        for name in names:
            package, _, child = name.rpartition(".")
            if package and package not in sys.modules and name in sys.modules:
                self._children.setdefault(package, {})[child] = sys.modules[name]
        if self._children and self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        invalidate_caches()

    def forget(self) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        self._children.clear()
        self._loaders.clear()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name in self._children:
            for finder in sys.meta_path:
                spec = None if finder is self else finder.find_spec(name, path, target)
                if spec is not None:
                    self._loaders[name], spec.loader = spec.loader, self
                    return spec
        return None

    def exec_module(self, module: ModuleType) -> None:
        loader = self._loaders[module.__name__]
        assert module.__spec__ is not None
        module.__loader__ = module.__spec__.loader = loader
        vars(module).update(self._children[module.__name__])
        loader.exec_module(module)


_orphans = _Orphans()


def _named(error: BaseException) -> BaseException:
    """By its name if it is the process that has none left, or exits; else what was raised."""
    kind: type[QuiverError]
    if isinstance(error, RuntimeError) and "shutdown" in str(error):  # as `threading` says it
        kind = PoolStopped
    elif isinstance(error, Exception) and _exhausted(error):
        kind = ResourceExhausted
    else:
        return error
    named = kind(f"a part of Quiver cannot be loaded: {error}")
    named.unprocessed = True
    named.__cause__ = error
    return named


def _exhausted(error: BaseException) -> bool:
    """Whether it comes of that. The dynamic loader, and modules, give it as errors of their own."""
    said: BaseException | None = error
    while said is not None:
        if getattr(said, "errno", None) in EXHAUSTED:
            return True
        said = said.__cause__ or said.__context__
    if any(os.strerror(number) in str(error) for number in (errno.EMFILE, errno.ENFILE)):
        return True
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as left:
        return left.errno in EXHAUSTED
    return False


# a fork, and the exit -------------------------------------------------------------------------


def _before_fork() -> None:
    """Let an import end first: its locks would stay locked in the child for ever.

    Of the two, each says what it is about to do and then looks at the other; when both have, the
    import gives way. A mark that an interrupted hook has left is worth nothing after a while.
    """
    me = _native("get_ident")()
    if me != _importer:
        _forkers[me] = time.monotonic()
        _wait_for_importer()
        hub = getattr(sys.modules.get("quiver.actors.hub"), "Hub", None)
        if hub is not None:  # its own hook may have come too late for this fork
            hub.before_fork()


def _forking() -> bool:
    for thread, since in list(_forkers.items()):
        if time.monotonic() - since > _PATIENCE:
            _forkers.pop(thread, None)
    return bool(_forkers)


def _after_fork() -> None:
    _forkers.pop(_native("get_ident")(), None)


def _after_fork_in_child() -> None:
    global _lock, _importer, _ended
    _forkers.clear()
    _lock = _native("allocate_lock")()
    _importer = _ended = None


def _wait_for_importer() -> None:
    """Also at the exit: a thread that the interpreter ends amid foreign code ends it by SIGABRT."""
    due = time.monotonic() + _PATIENCE
    while (_importer is not None or _ends()) and time.monotonic() < due:
        _pause()


def _ends() -> bool:
    """Whether the thread that imported last is on its way out: OpenSSL frees what is a thread's at
    its native end, behind all Python code, and holds a lock of its own meanwhile."""
    if _ended is None:
        return False
    thread, since = _ended
    return time.monotonic() - since < _ENDING and os.path.exists(f"/proc/self/task/{thread}")


def _pause() -> None:
    _native("sleep", time)(_PAUSE)


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child
)
atexit.register(_wait_for_importer)
