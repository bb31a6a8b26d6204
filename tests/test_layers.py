"""The layers: what each file may import, what is private, and how long a file gets.

RULES is the whole law. Every rule names the files that it holds for and carries a breach of itself,
which is planted in a tree of its own to see that the rule still bites. Imports count wherever they
stand, in functions and under TYPE_CHECKING too: they are what one file has to know of another.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import aioquic
import attrs
import h2
import pykka
import pytest

from tests.support.sources import Library, Source, private_names_of

ROOT: Final = Path(__file__).parent.parent
LONGEST: Final = 450  # lines; a file that needs more holds two things

PYKKA_PRIVATE: Final = {
    name
    for cls in (pykka.Actor, pykka.ActorRef, pykka.ActorRegistry, pykka.Future)
    for name in (*vars(cls), *getattr(cls, "__annotations__", ()))
    if name.startswith("_") and not name.startswith("__")
} | {"_actor_weakref"}

ITERATORS: Final = ("chain", "enumerate", "filter", "islice", "iter", "map", "starmap", "zip")
PRIVATE: Final = "what is private is read by its own class or module: make it public, or a method"
AIOQUIC_ROOMS: Final = ("quiver/quic/aioquic/*", "quiver/testing/*")
H2_INSIDES: Final = ("quiver/h2/library.py",)
AIOQUIC_INSIDES: Final = ("quiver/quic/aioquic/*", "quiver/testing/server/aioquic_internals.py")
PRIVATE_READ: Final = {
    # How gevent itself has libev report errors; there is no public way.
    ("actors/descriptors.py", "_handle_syserr"),
    # Whether a loop of gevent's has calls to make, of which it tells nowhere else.
    ("actors/wait_queue.py", "_callbacks"),
    # The chain of a server that ssl does not verify; public from Python 3.13 on.
    ("quiver/tcp/tls_stream.py", "_sslobj"),
}


# What a rule looks at ------------------------------------------------------------------------

Check = Callable[[Source, Library], Iterator[tuple[int, str]]]  # line, and what was found there


def below(name: str, modules: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of the modules, or in one."""
    return any(name == module or name.startswith(module + ".") for module in modules)


def no_import_of(
    *forbidden: str, but: tuple[str, ...] = (), exactly: tuple[str, ...] = ()
) -> Check:
    """Of modules `but` these, with what is in them, and `exactly` those, without."""

    def check(source: Source, _: Library) -> Iterator[tuple[int, str]]:
        for line, name in source.imports:
            if below(name, forbidden) and not below(name, but) and name not in exactly:
                yield line, f"imports {name}"

    return check


def of_quiver_only(*allowed: str) -> Check:
    return no_import_of("quiver", but=(*LEAVES, *allowed))


def no_private_pykka(source: Source, _: Library) -> Iterator[tuple[int, str]]:
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


def no_private_of_another(source: Source, library: Library) -> Iterator[tuple[int, str]]:
    """But aioquic's in its rooms, and Pykka's: the rule on these says where."""
    of_aioquic = private_names_of(aioquic) if matches(source.path, AIOQUIC_INSIDES) else set()
    of_h2 = private_names_of(h2) if matches(source.path, H2_INSIDES) else set()
    allowed = PYKKA_PRIVATE | of_aioquic | of_h2
    for read in library.reads(source):
        if read.name not in allowed and (source.path, read.name) not in PRIVATE_READ:
            yield read.line, read.says


def not_long(source: Source, _: Library) -> Iterator[tuple[int, str]]:
    lines = len(source.text.splitlines())
    if lines >= LONGEST:
        yield lines, f"has {lines} lines"


def no_tuple_in_the_making(source: Source, _: Library) -> Iterator[tuple[int, str]]:
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(func=ast.Name("tuple"), args=[ast.GeneratorExp()]):
                yield node.lineno, f"has {ast.unparse(node)}"
            case ast.Call(func=ast.Name("tuple"), args=[ast.Call(func=ast.Name(name))]):
                if name in ITERATORS:
                    yield node.lineno, f"has {ast.unparse(node)}"


def unplaced(source: Source, _: Library) -> Iterator[tuple[int, str]]:
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
        "chain_verifier",
        "errors",
        "printable",
        "other_libraries",
        "redaction",
        "proxies",
        "first_use",
        "fields",
        "name_options",
        "optional_imports",
        "pool_options",
        "origin",
        "request",
        "request_forms",
        "request_options",
        "version",
        "models",
        "option_checks",
        "config",
        "telemetry",
        "required_names",
        "tls_flights",
        "streams.body_source",
    )
)
LEAF_FILES: Final = tuple(f"{name.replace('.', '/')}.py" for name in LEAVES)
PURE_TABLES: Final = (
    *(
        f"quiver/pool/{name}.py"
        for name in (
            *("routing", "waiting_queue", "backoff", "dial_progress"),
            *("address_attempts", "address_memory", "session_tickets"),
            *("connection_slots", "lending", "early_requests"),
            *("exchanges", "buffered_body", "told_heads", "actions", "socket_errors"),
            *("liveness", "idle_policy"),
            *("look_up_table", "path_changes", "time_limits", "protocol_limits"),
            *("alt_svc", "alternatives", "fallback_table"),
            *("choice", "lane_race", "spoken", "tcp_negotiation"),
        )
    ),
    "quiver/adapters/shared/groups.py",
)
CLIENT: Final = ("quiver.client", "quiver.functions", "quiver.shared_clients")
RENAMED_FILES: Final = tuple(  # former names, for one release
    f"quiver/{name}.py" for name in ("channel", "source", "deprecated")
)
CLIENT_FILES: Final = tuple(f"{name.replace('.', '/')}.py" for name in CLIENT)
ROOMS: Final = tuple(
    f"quiver/{name}/*"
    for name in ("quic", "h3", "tcp", "h2", "h1", "streams", "pool", "adapters", "cli", "testing")
)
EVERYTHING: Final = ("actors/*", "quiver/*")

RULES: Final = (
    Rule(
        "a pure file knows no loop, no clock, no socket and no thread: `now` is an argument",
        (
            *(*PURE_TABLES, "actors/restarts.py"),
            *("quiver/quic/*", "quiver/h3/*", "quiver/tcp/*", "quiver/h2/*", "quiver/h1/*"),
        ),
        no_import_of(
            *("gevent", "greenlet", "asyncio", "pykka", "time", "socket", "select", "threading"),
            "quiver.actors",
        ),
        ("quiver/pool/routing.py", "from time import monotonic"),
    ),
    Rule(
        "only quiver/quic/aioquic and quiver/testing import aioquic",
        EVERYTHING,
        no_import_of("aioquic"),
        ("quiver/quic/varint.py", "from aioquic.buffer import encode_uint_var"),
        but=AIOQUIC_ROOMS,
    ),
    Rule(
        "only quiver/h3 and quiver/testing import pylsqpack",
        EVERYTHING,
        no_import_of("pylsqpack"),
        ("quiver/quic/aioquic/engine.py", "import pylsqpack"),
        but=("quiver/h3/*", "quiver/testing/*"),
    ),
    Rule(
        "quic stands on the leaves: adapters, cli -> client -> pool -> h3 -> quic",
        ("quiver/quic/*",),
        of_quiver_only("quiver.quic"),
        ("quiver/quic/engine.py", "from quiver.h3 import codes"),
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
        of_quiver_only("quiver.actors.propagation"),
        ("quiver/models.py", "from quiver.pool.actions import Forward"),
    ),
    Rule(
        "h3 stands on the seam and the leaves: adapters, cli -> client -> pool -> h3 -> quic",
        ("quiver/h3/*",),
        of_quiver_only(
            *("quiver.h3", "quiver.quic.engine", "quiver.quic.codes", "quiver.quic.varint")
        ),
        ("quiver/h3/client_connection.py", "from ..pool import messages"),
    ),
    Rule(
        "only quiver/h2 imports h2 and what it stands on",
        EVERYTHING,
        no_import_of("h2", "hpack", "hyperframe"),
        ("quiver/pool/tcp.py", "from h2.events import Event"),
        but=("quiver/h2/*",),
    ),
    Rule(
        "only quiver/h1 imports h11",
        EVERYTHING,
        no_import_of("h11"),
        ("quiver/pool/tcp.py", "import h11"),
        but=("quiver/h1/*",),
    ),
    Rule(
        "tcp stands on the events of quic's seam, its trust and the leaves",
        ("quiver/tcp/*",),
        of_quiver_only(
            "quiver.tcp",
            *(f"quiver.quic.{name}" for name in ("engine", "codes", "certificate_judgement")),
            *(f"quiver.quic.{name}" for name in ("trust_roots", "trust_options")),
        ),
        ("quiver/tcp/tls_stream.py", "from quiver.quic.aioquic import certificates"),
    ),
    Rule(
        "h2 and h1 stand on tcp, on what h3 says of HTTP whatever its version, and the leaves",
        ("quiver/h2/*", "quiver/h1/*"),
        of_quiver_only(
            *("quiver.h2", "quiver.h1", "quiver.tcp.byte_stream"),
            *(f"quiver.h3.{name}" for name in ("events", "headers", "codes", "close_reasons")),
            *("quiver.quic.engine", "quiver.quic.flow_control"),
        ),
        ("quiver/h2/streams.py", "from quiver.h3.client_connection import ClientConnection"),
    ),
    Rule(
        "streams stands on actors and the leaves; pool and client use it",
        ("quiver/streams/*",),
        of_quiver_only("quiver.streams", "quiver.actors"),
        ("quiver/streams/response.py", "from quiver.pool import messages"),
        but=LEAF_FILES,
    ),
    Rule(
        "pool stands on h3, h2, quic, actors and the leaves: adapters, cli -> client -> pool -> h3",
        ("quiver/pool/*",),
        of_quiver_only(
            *("quiver.pool", "quiver.h3", "quiver.h2", "quiver.h1", "quiver.tcp"),
            *("quiver.quic", "quiver.actors", "quiver.streams"),
        ),
        ("quiver/pool/manager.py", "from quiver import client"),
    ),
    Rule(
        "client stands on pool, actors and the leaves: adapters, cli -> client -> pool -> h3",
        CLIENT_FILES,
        of_quiver_only(*CLIENT, "quiver.streams", "quiver.pool", "quiver.actors"),
        ("quiver/client.py", "import quiver.cli.main"),
        but=("quiver/functions.py",),
    ),
    Rule(
        "the functions import the face that they are a part of, and load what is behind it",
        ("quiver/functions.py",),
        no_import_of("quiver", but=("quiver.first_use",), exactly=("quiver",)),
        ("quiver/functions.py", "from quiver.client import shared"),
    ),
    Rule(
        "adapters stand beside cli and testing, on the client",
        ("quiver/adapters/*",),
        no_import_of("quiver.cli", "quiver.testing"),
        ("quiver/adapters/requests/adapter.py", "from quiver.cli import main"),
    ),
    Rule(
        "cli stands beside the adapters, on the client",
        ("quiver/cli/*", "quiver/__main__.py"),
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
        PRIVATE,
        EVERYTHING,
        no_private_of_another,
        ("quiver/pool/manager.py", "class M:\n    def f(self):\n        self.pool._routes"),
    ),
    Rule(
        # Python issue 59313: such a tuple cannot be resized then, which is a SystemError.
        "a tuple is made of a list, since gc.get_objects() elsewhere shows a tuple in the making",
        EVERYTHING,
        no_tuple_in_the_making,
        ("quiver/pool/routing.py", "tuple(map(str, actions))"),
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
        but=(
            "quiver/__init__.py",
            "quiver/__main__.py",
            *LEAF_FILES,
            *CLIENT_FILES,
            *RENAMED_FILES,
            *ROOMS,
        ),
    ),
)


def breaches(root: Path) -> list[str]:
    """Every breach in actors/ and quiver/ below `root`: file, what was found, and the rule."""
    library = Library(root)
    return [
        f"{source.path}:{line}: {found}, but {rule.says}"
        for source in library.sources
        for rule in RULES
        if rule.holds_for(source.path)
        for line, found in rule.check(source, library)
    ]


# The test, and the test of the test ---------------------------------------------------------


def test_no_file_breaks_a_rule() -> None:
    assert len(Library(ROOT).sources) > 15, "the walk has missed the library"
    found = breaches(ROOT)
    assert not found, "\n".join(["", *found])


@pytest.mark.parametrize(("path", "name"), sorted(PRIVATE_READ))
def test_each_exception_is_needed(path: str, name: str) -> None:
    library = Library(ROOT)
    (source,) = (each for each in library.sources if each.path == path)
    assert name in [read.name for read in library.reads(source)]


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


OWN: Final = "class A:\n    def f(self): self._x = 1\n"


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        *(
            (path, f"import {module}", f"imports {module}, but a pure file")
            for path in (*PURE_TABLES, "actors/restarts.py", "quiver/h3/client_connection.py")
            for module in ("gevent", "pykka", "time", "socket", "threading")
        ),
        (
            "quiver/h3/control_stream.py",
            "def f():\n    import gevent.event",
            "control_stream.py:2: imports gevent",
        ),
        (
            "quiver/h3/client_connection.py",
            "from quiver.quic.aioquic.engine import AioquicEngine",
            "imports quiver.quic.aioquic.engine.AioquicEngine, but h3 stands on the seam",
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
        *(
            ("quiver/pool/udp.py", text, said)
            for text, said in (
                ("from quiver.fields import _TOKEN", "imports quiver.fields._TOKEN"),
                ("from quiver import fields\nfields._TOKEN", "udp.py:2: reads fields._TOKEN"),
                (f"{OWN}    def g(self): return a._z", "reads a._z"),
                (f"{OWN}    def g(self): self.part._x", "reads self.part._x"),
                (f"{OWN}    def g(self): self._y", "reads self._y of a base"),
                (f"{OWN}class B(A):\n    def g(self): self._x", "reads self._x of A"),
                (f"{OWN}class B(A[int]):\n    def g(self): self._x = 2", "reads self._x of A"),
                (f"{OWN}class B:\n    def g(self, a: A): return a._x", "reads a._x"),
                (f"{OWN}def g(a: A): return a._x", "reads a._x"),
            )
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
        ("quiver/h3/headers.py", "import pylsqpack\nfrom quiver.quic.engine import Engine"),
        (
            "quiver/quic/aioquic/qlog.py",
            "from aioquic.quic import logger\nfrom quiver import fields",
        ),
        ("quiver/pool/connection.py", "import time, gevent\nfrom quiver.actors.actor import A"),
        (
            "quiver/testing/server/__main__.py",
            "import asyncio, aioquic\nfrom quiver.models import Origin",
        ),
        ("quiver/cli/main.py", "from quiver import Client\nfrom quiver.testing import Origin"),
        ("quiver/__init__.py", "from quiver.client import Client"),
        ("actors/actor.py", "import pykka._envelope\npykka.ActorRegistry._actor_refs_lock"),
        ("actors/reply.py", "import pykka\nclass R(pykka.Future):\n    self._get_hook"),
        ("quiver/testing/origin.py", "class Origin:\n    def _stop(self): self._stop()"),
        ("quiver/pool/udp.py", "pass\n" * (LONGEST - 1)),
        ("quiver/pool/routing.py", "tuple(actions), tuple([str(each) for each in actions])"),
        *(
            ("quiver/pool/udp.py", text)
            for text in (
                f"{OWN}    def __eq__(self, other): return self._x == other._x",
                f"{OWN}    def g(self, a: A) -> A: return a._x or type(self)._x",
                f"{OWN}    def _g(self): ...\nTABLE = {{int: A._g}}",
                f"{OWN}    def _g(self): ...\nclass B(A):\n    def _g(self): super()._g()",
                "import os, sys\nos._exit(sys._getframe().f_lineno)",
                "class A(NamedTuple):\n    x: int\nA(1)._replace(x=2)._asdict()",
                "class E(Enum):\n    A = 1\nE.A._value_",
            )
        ),
        ("quiver/quic/aioquic/fast_send.py", "def f(quic): quic._loss._pacer"),
        ("actors/ref.py", "class R(pykka.ActorRef):\n    def f(self): self._actor_weakref"),
    ],
)
def test_what_the_rules_allow(path: str, text: str, tmp_path: Path) -> None:
    assert planted(tmp_path, path, text) == []


def test_the_link_is_not_walked_twice(tmp_path: Path) -> None:
    (tmp_path / "quiver").mkdir()
    (tmp_path / "quiver" / "actors").symlink_to("../actors")
    assert len(planted(tmp_path, "actors/hub.py", "import aioquic")) == 1
