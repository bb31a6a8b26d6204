"""The results as PNG charts: lines over an axis, bars where there is one point.

Long paths are lines over the round trip, in a panel for each share of loss.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.report.results import Results
from benchmarks.workloads.measures import MEASURES, Figure, Measure
from benchmarks.workloads.paths import GRID

__all__ = ["draw"]

_MARKS = "osv^D<>ph*Xd+"
_LINES = frozenset({"rate", "connections", "origins", "table"})


def draw(results: Results, folder: Path, say: Callable[[str], None]) -> None:
    """Draw one PNG for each figure of each measure, in `folder`."""
    if importlib.util.find_spec("matplotlib") is None:
        say("no charts: matplotlib is not installed")
        return
    import matplotlib

    matplotlib.use("Agg")
    for measure in MEASURES:
        for figure in measure.figures:
            if results.points(measure.name):
                (_draw_panels if measure.abreast else _draw)(
                    measure,
                    figure,
                    results,
                    folder / f"{measure.name}-{figure.name.replace('/', '')}.png",
                )


def _draw(measure: Measure, figure: Figure, results: Results, path: Path) -> None:
    from matplotlib import pyplot

    drawn, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    axes.set_title(
        f"{measure.title}: {figure.unit} ({'more' if figure.more else 'less'} is better)"
    )
    (_lines if measure.name in _LINES else _bars)(axes, measure, figure, results)
    drawn.savefig(path, dpi=110)
    pyplot.close(drawn)


def _draw_panels(measure: Measure, figure: Figure, results: Results, path: Path) -> None:
    from matplotlib import pyplot

    measured = set(results.points(measure.name))
    paths = [each for each in GRID if each.number in measured]
    panels = sorted({each.loss for each in paths})
    if not panels:
        return
    drawn, (row,) = pyplot.subplots(
        1, len(panels), figsize=(12, 4), layout="constrained", squeeze=False
    )
    drawn.suptitle(f"{measure.title}: {figure.unit} (more is better)")
    for axes, loss in zip(row, panels, strict=True):
        places = {each.number: each.trip for each in paths if each.loss == loss}
        _curves(axes, measure, figure, results, places)
        axes.set_title(f"{loss / 10:g} % lost")
        axes.set_xlabel("ms of a round trip")
        axes.legend(fontsize="small")
    drawn.savefig(path, dpi=110)
    pyplot.close(drawn)


def _lines(axes: Any, measure: Measure, figure: Figure, results: Results) -> None:
    _curves(axes, measure, figure, results, {at: at for at in results.points(measure.name)})
    axes.set_xlabel(measure.axis)
    axes.set_ylabel(figure.unit)
    axes.legend(fontsize="small", ncols=2)


def _curves(
    axes: Any, measure: Measure, figure: Figure, results: Results, places: dict[int, int]
) -> None:
    """One for each client, over the place of each point."""
    from matplotlib import pyplot

    for number, client in enumerate(_clients(measure, results)):
        found = [
            (place, results.spread(measure.name, client, at, figure.name))
            for at, place in places.items()
        ]
        known = [(place, spread) for place, spread in found if spread is not None]
        axes.errorbar(
            [place for place, _ in known],
            [spread.median for _, spread in known],
            yerr=[
                [spread.median - spread.least for _, spread in known],
                [spread.most - spread.median for _, spread in known],
            ],
            label=client,
            marker=_MARKS[number % len(_MARKS)],
            linestyle=_style(client),
            color=pyplot.get_cmap("tab20")(number),
            capsize=2,
        )
    axes.set_xscale("log")
    axes.set_xticks(list(places.values()), [f"{place:,}" for place in places.values()])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def _bars(axes: Any, measure: Measure, figure: Figure, results: Results) -> None:
    points, clients = results.points(measure.name), _clients(measure, results)
    height = 0.8 / len(points)
    for number, at in enumerate(points):
        for place, client in enumerate(clients):
            spread = results.spread(measure.name, client, at, figure.name)
            if spread is None:
                continue
            error = [[spread.median - spread.least], [spread.most - spread.median]]
            bar = axes.barh(
                place + number * height, spread.median, height, xerr=error, color=f"C{number}"
            )
            axes.bar_label(bar, fmt="%.3g", fontsize="small", padding=3)
        axes.barh(0, 0, color=f"C{number}", label=f"{at:,} {measure.axis}")
    axes.set_yticks([place + 0.4 - height / 2 for place in range(len(clients))], clients)
    axes.invert_yaxis()
    axes.set_xlabel(figure.unit)
    axes.legend(fontsize="small")


def _clients(measure: Measure, results: Results) -> list[str]:
    measured = results.clients(measure.name)
    return [each for each in measure.clients if each in measured]


def _style(client: str) -> str:
    """Quiver's lines are whole, the others' broken."""
    return "-" if client.startswith("quiver") else "--"
