"""The shape of the library in figures: what a warm GET costs, how large the classes are, and so on.

    python -m tests.support.shape

For maintainers: a change that is meant to make things smaller can be seen to. `tests/test_shape.py`
holds the bounds.
"""

from __future__ import annotations

import ast
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Final, NamedTuple

import aioquic

from tests.support.sources import Library, private_names_of

__all__ = ["Size", "WarmGet", "import_time", "names_of_aioquic", "sizes", "warm_get"]

ROOT: Final = Path(__file__).resolve().parents[2]
STARTS: Final = 7
TIMED: Final = """
import time
began, spent = time.perf_counter(), time.process_time()
import {}
print(time.perf_counter() - began, time.process_time() - spent)
"""


class WarmGet(NamedTuple):
    """What one GET on a connection that is there enters."""

    files: list[str]  # of ours
    others: list[str]
    calls: float  # of functions in Python, by the caller's thread and the loop's


class Size(NamedTuple):
    """A class with all that it has of base classes of ours."""

    name: str
    bases: int
    methods: int
    attributes: int


def warm_get() -> WarmGet:
    """Count it in a process of its own."""
    return WarmGet(**json.loads(_printed("-m", "tests.support.programs.warm_get")))


def sizes(library: Library) -> list[Size]:
    """All classes, those with the most methods first."""
    found = []
    for source in library.sources:
        for cls in source.classes.values():
            line = [cls, *library.bases(source, cls)]
            methods = {name for each in line for name in _methods(each)}
            attributes = {name for each in line for name in _attributes(each)} - methods
            name = f"{source.name}.{cls.name}"
            found.append(Size(name, len(line) - 1, len(methods), len(attributes)))
    return sorted(found, key=lambda size: -size.methods)


def names_of_aioquic(library: Library) -> dict[str, set[str]]:
    """Those of aioquic's private names that each room reads."""
    private = private_names_of(aioquic)
    found: dict[str, set[str]] = defaultdict(set)
    for source in library.sources:
        if any(full.partition(".")[0] == "aioquic" for _, full in source.imports):
            room = str(PurePath(source.path).parent)
            found[room] |= {read.name for read in library.reads(source) if read.name in private}
    return {room: names for room, names in found.items() if names}


def import_time(module: str) -> tuple[float, float]:
    """Seconds by the clock, and of a core: medians of processes that import it and nothing else."""
    timed = [_printed("-c", TIMED.format(module)).split() for _ in range(STARTS)]
    wall, core = zip(*timed, strict=True)
    return statistics.median(map(float, wall)), statistics.median(map(float, core))


def _printed(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def _methods(cls: ast.ClassDef) -> Iterator[str]:
    for node in cls.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name


def _attributes(cls: ast.ClassDef) -> Iterator[str]:
    """What its methods assign on `self`, and fields."""
    for node in ast.walk(cls):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield from [node.attr] if ast.unparse(node.value) == "self" else ()
    for field in cls.body:
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            yield field.target.id


def main() -> None:
    """Print them all."""
    library = Library(ROOT)
    got = warm_get()
    print(f"a warm GET: {len(got.files)} files of ours, {len(got.others)} others, ", end="")
    print(f"{got.calls:.0f} calls")
    print("the largest classes: methods, attributes, base classes of ours")
    for size in sizes(library)[:8]:
        print(f"{size.methods:6}{size.attributes:5}{size.bases:4}  {size.name}")
    print("private names of aioquic by room")
    for room, names in names_of_aioquic(library).items():
        print(f"{len(names):6}  {room}")
    for module in ("quiver", "quiver.actors"):
        wall, core = import_time(module)
        print(f"import {module}: {wall * 1000:.0f} ms, {core * 1000:.0f} ms of a core")


if __name__ == "__main__":
    main()
