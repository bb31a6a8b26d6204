"""Results in a document, between marks that name what stands there.

    <!-- bench: rate down targets -->
    <!-- /bench -->

Tables of the named measures; `about` is the machine and `targets` are the ratios aimed at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.report.results import Results
from benchmarks.report.table import Grid, grid, remarks
from benchmarks.report.targets import target_grid
from benchmarks.workloads.measures import find

__all__ = ["fill"]

_PLACE = re.compile(r"(<!-- bench: ([^>]+?) -->\n).*?(<!-- /bench -->)", re.DOTALL)


def fill(path: Path, results: Results) -> None:
    """Fill every place of the document at `path`. Raises LookupError for an unknown name."""
    text = path.read_text()
    path.write_text(_PLACE.sub(lambda found: _filled(found, results), text))


def _filled(found: re.Match[str], results: Results) -> str:
    parts = [part for name in found[2].split() for part in _part(name, results)]
    return "\n".join([found[1], *parts, found[3]])


def _part(name: str, results: Results) -> Iterator[str]:
    if name == "about":
        yield _about(results)
    elif name == "targets":
        yield _table(target_grid(results))
    elif results.points(find(name).name):
        yield _table(grid(find(name), results))
    else:
        yield "Not measured.\n"


def _about(results: Results) -> str:
    about = results.about
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    first = (
        f"Medians of {about['rounds']} rounds of {about['seconds']} s (least–most) against"
        f" {about['server']}; Python {about['python']}, {about['cpus']} CPUs,"
        f" {about['system']}; {versions}."
    )
    return "\n\n".join([first, *(f"- {line}" for line in remarks(results))]) + "\n"


def _table(shown: Grid) -> str:
    rules = ["---" if column in ("client", "target") else "---:" for column in shown.columns]
    return "\n".join([*map(_line, (shown.columns, rules, *shown.rows)), ""])


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
