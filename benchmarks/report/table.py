"""The results as text: a table for each measure, with what is absent and what failed in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import attrs
from rich.console import Console
from rich.table import Table

from benchmarks.clients.registry import FLOOR
from benchmarks.report.results import Results, Spread
from benchmarks.workloads.measures import MEASURES, Figure, Measure, find

__all__ = ["Grid", "grid", "grids", "number", "print_grid", "ratio", "remarks", "show", "tables"]


@attrs.frozen
class Grid:
    """A table in words: what stands above it, its columns, its rows."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def grids(results: Results) -> Iterator[Grid]:
    """Make a table for each measure of which there is anything."""
    for measure in MEASURES:
        if results.points(measure.name):
            yield from tables(measure, results)


def tables(measure: Measure, results: Results) -> Iterator[Grid]:
    """Make the tables of a measure: one, or one for each figure with the clients side by side."""
    if not measure.abreast:
        yield grid(measure, results)
        return
    for figure in measure.figures:
        yield _abreast(measure, figure, results)


def _abreast(measure: Measure, figure: Figure, results: Results) -> Grid:
    base, name = measure.base, measure.name
    peers = [each for each in measure.clients if each != base]
    rows = []
    for at in results.points(name):
        spreads = [results.spread(name, each, at, figure.name) for each in (base, *peers)]
        ratios = [results.ratio(name, base, [each], at, figure.name) for each in peers]
        rows.append((measure.words(at), *map(_spread, spreads), *map(ratio, ratios)))
    columns = (figure.unit, base, *peers, *(f"/ {each}" for each in peers))
    return Grid(f"{measure.title}: {figure.unit}", columns, rows)


def grid(measure: Measure, results: Results) -> Grid:
    """Make a table of a measure, a row for each client at each point; none without a reason."""
    head = measure.figures[0].name
    ratios = tuple(f"{head} / {base}" for base in _bases(measure))
    columns = (measure.axis, "client", *(each.unit for each in measure.figures), *ratios)
    known = results.clients(measure.name) | results.absent.keys()
    clients = [each for each in measure.clients if each in known]
    rows = [
        _row(measure, results, client, at)
        for at in results.points(measure.name)
        for client in clients
    ]
    return Grid(measure.title, columns, rows)


def _bases(measure: Measure) -> tuple[str, ...]:
    if len(measure.clients) == 1:
        return ()
    bases = dict.fromkeys((measure.base, FLOOR))
    return tuple(each for each in bases if each in measure.clients)


def _row(measure: Measure, results: Results, client: str, at: int) -> tuple[str, ...]:
    name = measure.name
    spreads = [results.spread(name, client, at, each.name) for each in measure.figures]
    if not any(spreads):
        word = "absent" if client in results.absent else "failed"
        return (measure.words(at), client, word, *[""] * (len(spreads) - 1 + len(_bases(measure))))
    head = measure.figures[0].name
    ratios = [results.ratio(name, client, [base], at, head) for base in _bases(measure)]
    return (
        measure.words(at),
        client,
        *map(_spread, spreads),
        *("" if each is None else f"{each.median:.2f}" for each in ratios),
    )


def ratio(spread: Spread | None) -> str:
    """Format a ratio and its spread with two decimals, also where all rounds agree."""
    if spread is None:
        return ""
    return f"{spread.median:.2f} ({spread.least:.2f}–{spread.most:.2f})"


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return ""
    if spread.least == spread.most:
        return number(spread.median)
    return f"{number(spread.median)} ({number(spread.least)}–{number(spread.most)})"


def number(value: float) -> str:
    """Format a number with three digits, or with all of a larger whole one."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def print_grid(shown: Grid, console: Console) -> None:
    """Print a table; where clients are compared, with a rule between the points."""
    table = Table(title=shown.title, title_justify="left")
    for column in shown.columns:
        words = column in ("client", "target")
        table.add_column(column, justify="left" if words else "right", no_wrap=words)
    for row, following in itertools.zip_longest(shown.rows, shown.rows[1:]):
        over = "client" in shown.columns and following is not None and following[0] != row[0]
        table.add_row(*row, end_section=over)
    console.print(table)


def show(results: Results, console: Console) -> None:
    """Print every table."""
    for each in grids(results):
        print_grid(each, console)
    for line in remarks(results):
        console.print(line, style="red", markup=False)


def remarks(results: Results) -> Iterator[str]:
    """List why a client is absent, and why a case failed, or has a round less."""
    for client, why in results.absent.items():
        yield f"{client} is absent: {why}"
    for case, why in results.failures.items():
        rounds, (name, client, at) = results.rounds[case], case.split(" ")
        said = f"{name} {client} {find(name).words(int(at))}"
        yield f"{said} failed in {rounds.count(None)} of {len(rounds)} rounds: {why}"
