"""Results in a document, between marks that name what stands there.

    <!-- bench: rate down targets -->
    <!-- /bench -->

Tables of the named measures; `about` is the machine, `targets` are the ratios aimed at, and
`path-targets` those over long paths. A place of which nothing was measured stays as it is, and so
does a table of targets of which some are of measures that were not taken: they hold what another
run has measured.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.report.results import Results
from benchmarks.report.table import Grid, remarks, tables
from benchmarks.report.targets import PLACES, target_grid
from benchmarks.workloads.measures import find

__all__ = ["fill"]

_PLACE = re.compile(r"(<!-- bench: ([^>]+?) -->\n).*?(<!-- /bench -->)", re.DOTALL)


def fill(path: Path, results: Results) -> None:
    """Fill every place of the document at `path`. Raises LookupError for an unknown name."""
    text = path.read_text()
    path.write_text(_PLACE.sub(lambda found: _filled(found, results), text))


def _filled(found: re.Match[str], results: Results) -> str:
    names = found[2].split()
    parts = {name: list(_part(name, results)) for name in names if name != "about"}
    if parts and not any(parts.values()):
        return found[0]
    parts["about"] = [_about(results)]
    said = [part for name in names for part in parts[name] or ["Not measured.\n"]]
    return "\n".join([found[1], *said, found[3]])


def _part(name: str, results: Results) -> Iterator[str]:
    if name in PLACES:
        if not all(results.points(each.measure) for each in PLACES[name]):
            return
        targets = target_grid(results, PLACES[name])
        if targets.rows:
            yield _table(targets)
    elif results.points(find(name).name):
        for each in tables(find(name), results):
            yield _table(each)


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
