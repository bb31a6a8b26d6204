"""The results as text: a table for each measure, with what is absent and what failed in it."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
from rich.console import Console
from rich.table import Table

from benchmarks.clients import FLOOR
from benchmarks.measures import MEASURES, Measure
from benchmarks.results import Results, Spread

__all__ = ["Grid", "grids", "number", "remarks", "show"]


@attrs.frozen
class Grid:
    """A table in words: what stands above it, its columns, its rows."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def grids(results: Results) -> Iterator[Grid]:
    """One for each measure of which there is anything."""
    for measure in MEASURES:
        if results.points(measure.name):
            yield _grid(measure, results)


def _grid(measure: Measure, results: Results) -> Grid:
    head = measure.figures[0].name
    ratios = tuple(f"{head} / {base}" for base in _bases(measure))
    columns = (measure.axis, "client", *(each.unit for each in measure.figures), *ratios)
    rows = []
    for at in results.points(measure.name):
        for client in measure.clients:
            if client in results.clients(measure.name) or client in results.absent:
                rows.append(_row(measure, results, client, at))
    return Grid(measure.title, columns, rows)


def _bases(measure: Measure) -> tuple[str, ...]:
    if len(measure.clients) == 1:
        return ()
    return (measure.base, FLOOR) if FLOOR in measure.clients else (measure.base,)


def _row(measure: Measure, results: Results, client: str, at: int) -> tuple[str, ...]:
    name = measure.name
    spreads = [results.spread(name, client, at, each.name) for each in measure.figures]
    if not any(spreads):
        word = "absent" if client in results.absent else "failed"
        return (f"{at:,}", client, word)
    head = measure.figures[0].name
    ratios = [results.ratio(name, client, [base], at, head) for base in _bases(measure)]
    return (
        f"{at:,}",
        client,
        *("" if each is None else _spread(each) for each in spreads),
        *("" if each is None else f"{each.median:.2f}" for each in ratios),
    )


def _spread(spread: Spread) -> str:
    if spread.least == spread.most:
        return number(spread.median)
    return f"{number(spread.median)} ({number(spread.least)}–{number(spread.most)})"


def number(value: float) -> str:
    """Three digits, or all of a whole number above."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def show(results: Results, console: Console) -> None:
    """Print every table."""
    for grid in grids(results):
        shown = Table(title=grid.title, title_justify="left")
        for place, column in enumerate(grid.columns):
            shown.add_column(column, justify="left" if place == 1 else "right", no_wrap=place < 2)
        previous = None
        for row in grid.rows:
            if previous not in (None, row[0]):
                shown.add_section()
            previous = row[0]
            shown.add_row(*row)
        console.print(shown)
    for line in remarks(results):
        console.print(line, style="red", markup=False)


def remarks(results: Results) -> Iterator[str]:
    """Why a client is absent, and why a case failed, or has a round less."""
    for client, why in results.absent.items():
        yield f"{client} is absent: {why}"
    for case, why in results.failures.items():
        rounds = results.rounds[case]
        yield f"{case} failed in {rounds.count(None)} of {len(rounds)} rounds: {why}"
