"""The layers: what each file may import, what is private, and how long a file gets.

RULES is the whole law. Every rule names the files that it holds for and carries a breach of itself,
which is planted in a tree of its own to see that the rule still bites. Imports count wherever they
stand, in functions and under TYPE_CHECKING too: they are what one file has to know of another.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Final

import attrs
import pykka
import pytest

ROOT: Final = Path(__file__).parent.parent
LONGEST: Final = 360  # lines; a file that needs more holds two things

PYKKA_PRIVATE: Final = {
    name
    for cls in (pykka.Actor, pykka.ActorRef, pykka.ActorRegistry, pykka.Future)
    for name in (*vars(cls), *getattr(cls, "__annotations__", ()))
    if name.startswith("_") and not name.startswith("__")
} | {"_actor_weakref"}


# What a file says ---------------------------------------------------------------------------


@attrs.define(slots=False)
class Source:
    """One file of the library, by its path below the root."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        """Line and full dotted name of everything imported, relative ones resolved."""
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(node.lineno, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                found += [(node.lineno, f"{base}.{alias.name}") for alias in node.names]
        return found

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        path = Path("quiver", self.path) if self.path.startswith("actors/") else Path(self.path)
        package = path.parts[: len(path.parts) - node.level]
        return ".".join([*package, *filter(None, [node.module])])


Check = Callable[[Source], Iterator[tuple[int, str]]]  # line, and what was found there


def below(name: str, modules: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of the modules, or in one."""
    return any(name == module or name.startswith(module + ".") for module in modules)


def no_import_of(*forbidden: str, but: tuple[str, ...] = ()) -> Check:
    def check(source: Source) -> Iterator[tuple[int, str]]:
        for line, name in source.imports:
            if below(name, forbidden) and not below(name, but):
                yield line, f"imports {name}"

    return check


def of_quiver_only(*allowed: str) -> Check:
    return no_import_of("quiver", but=(*LEAVES, *allowed))


def no_private_pykka(source: Source) -> Iterator[tuple[int, str]]:
    """Private modules and names of pykka; and, where actors are in sight, theirs by name.

    What a subclass reads of itself is not counted, what it overrides is.
    """
    for line, name in source.imports:
        if below(name, ("pykka",)) and any(part.startswith("_") for part in name.split(".")):
            yield line, f"imports {name}"
    if any(below(name, ("pykka", "quiver.actors")) for _, name in source.imports):
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Attribute) and node.attr in PYKKA_PRIVATE:
                if ast.unparse(node.value) != "self":
                    yield node.lineno, f"uses {ast.unparse(node)}"
            elif isinstance(node, ast.FunctionDef) and node.name in PYKKA_PRIVATE:
                yield node.lineno, f"defines {node.name}"


def not_long(source: Source) -> Iterator[tuple[int, str]]:
    lines = len(source.text.splitlines())
    if lines >= LONGEST:
        yield lines, f"has {lines} lines"


def unplaced(source: Source) -> Iterator[tuple[int, str]]:
    yield 1, "is in no layer"


# The law ------------------------------------------------------------------------------------


@attrs.frozen
class Rule:
    """It holds for `files` without `but`; `*` goes through folders."""

    says: str
    files: tuple[str, ...]
    check: Check
    breach: tuple[str, str]  # a path and a text that break it
    but: tuple[str, ...] = ()

    def holds_for(self, path: str) -> bool:
        return matches(path, self.files) and not matches(path, self.but)


def matches(path: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


LEAVES: Final = tuple(
    f"quiver.{name}"
    for name in (
        "errors",
        "fields",
        "origin",
        "source",
        "request",
        "models",
        "config",
        "telemetry",
    )
)
LEAF_FILES: Final = tuple(f"{name.replace('.', '/')}.py" for name in LEAVES)
PURE_TABLES: Final = (
    *(
        f"quiver/pool/{name}.py"
        for name in ("routing", "waiting", "backoff", "lender", "exchanges", "actions", "patience")
    ),
    *(f"quiver/adapters/{name}.py" for name in ("altsvc", "alternatives", "fallback")),
)
CALLER: Final = tuple(
    f"quiver.{name}" for name in ("inlet", "body", "channel", "upload", "async_upload")
)
CALLER_FILES: Final = tuple(f"{name.replace('.', '/')}.py" for name in CALLER)
CLIENT: Final = ("quiver.client",)
CLIENT_FILES: Final = tuple(f"{name.replace('.', '/')}.py" for name in CLIENT)
ROOMS: Final = tuple(f"quiver/{name}/*" for name in ("h3", "pool", "adapters", "cli", "testing"))
EVERYTHING: Final = ("actors/*", "quiver/*")

RULES: Final = (
    Rule(
        "a pure file knows no loop, no clock, no socket and no thread: `now` is an argument",
        (*PURE_TABLES, "actors/restarts.py", "quiver/h3/*"),
        no_import_of(
            *("gevent", "greenlet", "asyncio", "pykka", "time", "socket", "select", "threading"),
            "quiver.actors",
        ),
        ("quiver/pool/routing.py", "from time import monotonic"),
    ),
    Rule(
        "only quiver/h3 and quiver/testing import aioquic",
        EVERYTHING,
        no_import_of("aioquic", "pylsqpack"),
        ("quiver/pool/connection.py", "from aioquic.quic import events"),
        but=("quiver/h3/*", "quiver/testing/*"),
    ),
    Rule(
        "actors/ knows nothing of quiver but quiver.actors",
        ("actors/*",),
        no_import_of("quiver", but=("quiver.actors",)),
        ("actors/hub.py", "from quiver.errors import PoolStopped"),
    ),
    Rule(
        "a leaf imports only leaves of quiver",
        LEAF_FILES,
        of_quiver_only(),
        ("quiver/models.py", "from quiver.pool.actions import Forward"),
    ),
    Rule(
        "h3 stands on the leaves: adapters, cli -> client -> pool -> h3",
        ("quiver/h3/*",),
        of_quiver_only("quiver.h3"),
        ("quiver/h3/session.py", "from ..pool import messages"),
    ),
    Rule(
        "the caller's side of a stream stands on actors and the leaves; pool and client use it",
        CALLER_FILES,
        of_quiver_only(*CALLER, "quiver.actors"),
        ("quiver/body.py", "from quiver.pool import messages"),
    ),
    Rule(
        "pool stands on h3, actors and the leaves: adapters, cli -> client -> pool -> h3",
        ("quiver/pool/*",),
        of_quiver_only("quiver.pool", "quiver.h3", "quiver.actors", *CALLER),
        ("quiver/pool/manager.py", "from quiver import client"),
    ),
    Rule(
        "client stands on pool, actors and the leaves: adapters, cli -> client -> pool -> h3",
        CLIENT_FILES,
        of_quiver_only(*CLIENT, *CALLER, "quiver.pool", "quiver.actors"),
        ("quiver/client.py", "import quiver.cli.main"),
    ),
    Rule(
        "adapters stand beside cli and testing, on the client",
        ("quiver/adapters/*",),
        no_import_of("quiver.cli", "quiver.testing"),
        ("quiver/adapters/requests.py", "from quiver.cli import main"),
    ),
    Rule(
        "cli stands beside the adapters, on the client",
        ("quiver/cli/*",),
        no_import_of("quiver.adapters"),
        ("quiver/cli/main.py", "from quiver.adapters import requests"),
    ),
    Rule(
        "the library does without quiver.testing; only cli shows it",
        EVERYTHING,
        no_import_of("quiver.testing"),
        ("quiver/__init__.py", "from quiver.testing import Origin"),
        but=("quiver/testing/*", "quiver/cli/*"),
    ),
    Rule(
        "quiver.testing stands on the leaves alone: it is a server, not a part of the client",
        ("quiver/testing/*",),
        of_quiver_only("quiver.testing"),
        ("quiver/testing/origin.py", "from quiver.h3.codes import ErrorCode"),
    ),
    Rule(
        "only actors/actor.py touches Pykka's private names",
        EVERYTHING,
        no_private_pykka,
        ("actors/registry.py", "import pykka\npykka.ActorRegistry._actor_refs.clear()"),
        but=("actors/actor.py",),
    ),
    Rule(
        f"a file stays below {LONGEST} lines: split it",
        EVERYTHING,
        not_long,
        ("quiver/pool/coordinator.py", "\n" * LONGEST),
    ),
    Rule(
        "every file has its layer: give it one in tests/test_layers.py",
        ("quiver/*",),
        unplaced,
        ("quiver/extras.py", ""),
        but=("quiver/__init__.py", *LEAF_FILES, *CALLER_FILES, *CLIENT_FILES, *ROOMS),
    ),
)


def breaches(root: Path) -> list[str]:
    """Every breach in actors/ and quiver/ below `root`: file, what was found, and the rule."""
    return [
        f"{source.path}:{line}: {found}, but {rule.says}"
        for source in sources(root)
        for rule in RULES
        if rule.holds_for(source.path)
        for line, found in rule.check(source)
    ]


def sources(root: Path) -> Iterator[Source]:
    linked = root / "quiver" / "actors"  # Python 3.11 to 3.13 differ on links in rglob
    for folder in ("actors", "quiver"):
        for file in sorted((root / folder).rglob("*.py")):
            if linked not in file.parents:
                yield Source(file.relative_to(root).as_posix(), file.read_text("utf-8"))


# The test, and the test of the test ---------------------------------------------------------


def test_no_file_breaks_a_rule() -> None:
    assert len(list(sources(ROOT))) > 15, "the walk has missed the library"
    found = breaches(ROOT)
    assert not found, "\n".join(["", *found])


def planted(root: Path, path: str, text: str) -> list[str]:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return breaches(root)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.says.partition(":")[0])
def test_every_rule_can_fail(rule: Rule, tmp_path: Path) -> None:
    path, text = rule.breach
    found = planted(tmp_path, path, text)
    assert any(each.startswith(f"{path}:") and each.endswith(rule.says) for each in found), found


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        *(
            (path, f"import {module}", f"imports {module}, but a pure file")
            for path in (*PURE_TABLES, "actors/restarts.py", "quiver/h3/session.py")
            for module in ("gevent", "pykka", "time", "socket", "threading")
        ),
        (
            "quiver/h3/control.py",
            "def f():\n    import gevent.event",
            "control.py:2: imports gevent",
        ),
        ("actors/restarts.py", "from . import hub", "imports quiver.actors.hub, but a pure file"),
        ("quiver/fields.py", "from quiver import Client", "imports quiver.Client, but a leaf"),
        ("quiver/errors.py", "import quiver", "imports quiver, but a leaf"),
        ("quiver/telemetry.py", "from quiver import *", "imports quiver.*, but a leaf"),
        ("quiver/client.py", "from pykka._actor import Actor", "imports pykka._actor.Actor"),
        ("actors/hub.py", "from pykka.messages import _ActorStop", "pykka.messages._ActorStop"),
        (
            "quiver/pool/udp.py",
            "import pykka\nclass A(pykka.Actor):\n    def _handle_receive(self, m): ...",
            "defines _handle_receive",
        ),
        (
            "quiver/pool/udp.py",
            "from quiver.actors.actor import GeventActor\nGeventActor._create_future()",
            "uses GeventActor._create_future",
        ),
    ],
)
def test_a_breach_is_named(path: str, text: str, said: str, tmp_path: Path) -> None:
    found = planted(tmp_path, path, text)
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("quiver/pool/routing.py", "import math, timeit\nfrom quiver.pool.actions import Forward"),
        ("quiver/h3/session.py", "from aioquic.quic import events\nfrom quiver import fields"),
        ("quiver/pool/connection.py", "import time, gevent\nfrom quiver.actors.actor import A"),
        ("quiver/testing/server.py", "import asyncio, aioquic\nfrom quiver.models import Origin"),
        ("quiver/cli/main.py", "from quiver import Client\nfrom quiver.testing import Origin"),
        ("quiver/__init__.py", "from quiver.client import Client"),
        ("actors/actor.py", "import pykka._envelope\npykka.ActorRegistry._actor_refs_lock"),
        ("actors/reply.py", "import pykka\nclass R(pykka.Future):\n    self._get_hook"),
        ("quiver/testing/origin.py", "class Origin:\n    def _stop(self): self._stop()"),
        ("quiver/pool/udp.py", "pass\n" * (LONGEST - 1)),
    ],
)
def test_what_the_rules_allow(path: str, text: str, tmp_path: Path) -> None:
    assert planted(tmp_path, path, text) == []


def test_the_link_is_not_walked_twice(tmp_path: Path) -> None:
    (tmp_path / "quiver").mkdir()
    (tmp_path / "quiver" / "actors").symlink_to("../actors")
    assert len(planted(tmp_path, "actors/hub.py", "import aioquic")) == 1
