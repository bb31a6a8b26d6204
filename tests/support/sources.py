"""The files of the library: what each imports, and which private names of others it reads.

A class's own are those that its body defines or its methods assign on `self`. It reads them on
`self`, `cls` and `super()`, and on a variable that holds another of its kind, unless an annotation
says that it is something else. What a base class of ours defines is the base's: its subclasses may
override it, and neither read nor assign it. A module's own are read in that module alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path, PurePath
from types import ModuleType
from typing import Final, NamedTuple

import attrs

__all__ = ["Library", "Read", "Source", "private_names_of"]

SELVES: Final = ("self", "cls")
# Documented, for all their underscore: of modules, and of named tuples.
PUBLIC: Final = {"os._exit", "sys._getframe", "_replace", "_asdict", "_make", "_fields"}


class Read(NamedTuple):
    """A private name of another that is read."""

    line: int
    name: str
    says: str


@attrs.define(slots=False, eq=False)
class Source:
    """One file, by its path below the root."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    @cached_property
    def name(self) -> str:
        """Dotted, as code imports it."""
        return ".".join(self._parts).removesuffix(".py").removesuffix(".__init__")

    @cached_property
    def imports(self) -> list[tuple[int, str]]:
        """Line and full dotted name of everything imported, relative ones resolved."""
        return [(line, full) for line, _, full in self._imported]

    @cached_property
    def aliases(self) -> dict[str, str]:
        """The full dotted name of each name that is imported."""
        return {known_as: full for _, known_as, full in self._imported}

    @cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        return {each.name: each for each in ast.walk(self.tree) if isinstance(each, ast.ClassDef)}

    @cached_property
    def _imported(self) -> list[tuple[int, str, str]]:
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    found.append((node.lineno, alias.asname or alias.name, alias.name))
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                for alias in node.names:
                    found.append((node.lineno, alias.asname or alias.name, f"{base}.{alias.name}"))
        return found

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self._parts[: len(self._parts) - node.level]
        return ".".join([*package, *filter(None, [node.module])])

    @property
    def _parts(self) -> tuple[str, ...]:
        parts = PurePath(self.path).parts
        return ("quiver", *parts) if parts[0] == "actors" else parts


class Library:
    """The files in actors/ and quiver/ below a root: which class has inherited from which."""

    def __init__(self, root: Path) -> None:
        linked = root / "quiver" / "actors"  # Python 3.11 to 3.13 differ on links in rglob
        self.sources: Final = [
            Source(file.relative_to(root).as_posix(), file.read_text("utf-8"))
            for folder in ("actors", "quiver")
            for file in sorted((root / folder).rglob("*.py"))
            if linked not in file.parents
        ]

    def reads(self, source: Source) -> Iterator[Read]:
        """What a file reads of others' private names."""
        for line, full in source.imports:
            name = full.rpartition(".")[2]
            if _is_private(name) and full.startswith("quiver."):
                yield Read(line, name, f"imports {full}")
        yield from self._reads_in(source, source.tree, None, {})

    def bases(self, source: Source, cls: ast.ClassDef) -> Iterator[ast.ClassDef]:
        """All classes of ours that it has inherited from."""
        for written in cls.bases:
            plain = written.value if isinstance(written, ast.Subscript) else written
            found = self._find(source, ast.unparse(plain))
            if found is not None and found[1] is not cls:
                yield found[1]
                yield from self.bases(*found)

    @cached_property
    def _by_name(self) -> Mapping[str, Source]:
        return {each.name: each for each in self.sources}

    def _reads_in(
        self, source: Source, node: ast.AST, owner: ast.ClassDef | None, kinds: dict[str, str]
    ) -> Iterator[Read]:
        if isinstance(node, ast.ClassDef):
            owner = node
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            kinds = {**kinds, **_annotated(node.args)}
        elif isinstance(node, ast.Attribute) and _is_private(node.attr):
            whose = self._whose(source, node, owner, kinds)
            if whose is not None:
                yield Read(node.lineno, node.attr, f"reads {ast.unparse(node)}{whose}")
        for child in ast.iter_child_nodes(node):
            yield from self._reads_in(source, child, owner, kinds)

    def _whose(
        self, source: Source, node: ast.Attribute, owner: ast.ClassDef | None, kinds: dict[str, str]
    ) -> str | None:
        """None: its own; else who has it, as far as is known."""
        of = ast.unparse(node.value)
        if of == "super()" or node.attr in PUBLIC or f"{of}.{node.attr}" in PUBLIC:
            return None
        if owner is None:  # beside a class stands what hands its methods on
            return None if of in source.classes else ""
        if of in SELVES:
            assigned = isinstance(node.ctx, ast.Store | ast.Del)
            for base in self.bases(source, owner):
                if node.attr in _defined(base) and (assigned or node.attr not in _declared(owner)):
                    return f" of {base.name}"
            return None if node.attr in _defined(owner) else " of a base"
        if node.attr not in _defined(owner) or not isinstance(node.value, ast.Name | ast.Call):
            return ""
        kind = kinds.get(of, owner.name)
        return None if re.search(rf"\b({owner.name}|Self)\b", kind) else f" of {kind}"

    def _find(self, source: Source, named: str) -> tuple[Source, ast.ClassDef] | None:
        """The class that a name stands for in a file, if it is ours."""
        if named in source.classes:
            return source, source.classes[named]
        module, _, name = named.rpartition(".")
        full = source.aliases.get(module or name, "") + (f".{name}" if module else "")
        where, _, name = full.rpartition(".")
        there = self._by_name.get(where)
        return None if there is None or there is source else self._find(there, name)


@cache
def private_names_of(package: ModuleType) -> frozenset[str]:
    """All that stand in the files of a package."""
    files = Path(package.__path__[0]).rglob("*.py")
    texts = (file.read_text("utf-8") for file in files)
    return frozenset(name for text in texts for name in re.findall(r"\b_[a-zA-Z]\w*", text))


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and not name.endswith("_")


def _annotated(arguments: ast.arguments) -> dict[str, str]:
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    return {each.arg: ast.unparse(each.annotation) for each in every if each.annotation is not None}


@cache
def _declared(cls: ast.ClassDef | ast.Module) -> frozenset[str]:
    """What the body of a class or module defines itself."""
    found: set[str] = set()
    for node in cls.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            every = (each for target in targets for each in ast.walk(target))
            found |= {each.id for each in every if isinstance(each, ast.Name)}
    return frozenset(found)


@cache
def _defined(cls: ast.ClassDef | ast.Module) -> frozenset[str]:
    """That, and what its methods assign on `self`."""
    return _declared(cls) | {
        node.attr
        for node in ast.walk(cls)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id in SELVES
    }
