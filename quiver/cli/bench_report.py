"""The result of `quiver bench`: for people, for programs, and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from quiver.cli.bench_load import Load
from quiver.cli.latency import Summary, percentile, summary_of
from quiver.redaction import redacted_url

__all__ = ["as_json", "picture_formats", "plot", "shown"]

_LATEST = 1000  # answers that the live view's percentiles are of


def as_json(load: Load) -> dict[str, Any]:
    """Return the result for programs; times in seconds, sizes in bytes."""
    plan = load.plan
    return {
        "url": redacted_url(plan.url),
        "method": plan.method,
        "concurrency": plan.concurrency,
        "threads": plan.threads,
        "requested_rate": plan.rate,
        "requested_duration": plan.duration,
        "asked": load.asked,
        "answered": load.answered,
        "errors": {kind.__name__: count for kind, count in sorted_errors(load)},
        "statuses": {str(status): count for status, count in sorted(load.statuses.items())},
        "http_versions": {str(version): count for version, count in load.versions.items()},
        "bytes": load.size,
        "seconds": load.seconds,
        "rate": load.rate,
        "latency": _latency(summary_of(sorted(load.corrected))),
        "service_latency": _latency(summary_of(sorted(load.service))),
    }


def _latency(summary: Summary) -> dict[str, float]:
    shares = {f"p{share:g}": latency for share, latency in summary.shares}
    return {"mean": summary.mean, "min": summary.least, "max": summary.most, **shares}


def sorted_errors(load: Load) -> list[tuple[type[Exception], int]]:
    """List the errors and how often each came, the most frequent first."""
    return [*load.errors.most_common()]


def now(load: Load) -> RenderableType:
    """Render the live view."""
    latest = sorted(load.corrected[-_LATEST:])
    of = "" if load.plan.requests is None else f" of {load.plan.requests}"
    return Text(
        f"{load.answered:>8}{of} answered   {load.rate:,.0f} per second   "
        f"latency {_ms(percentile(latest, 50))} median, {_ms(percentile(latest, 99))} p99   "
        f"errors {sum(load.errors.values())}"
    )


def shown(load: Load) -> RenderableType:
    """Render the result for people."""
    counts = Table(show_header=False)
    counts.add_row("asked", str(load.asked))
    counts.add_row("answered", str(load.answered))
    for status, count in sorted(load.statuses.items()):
        counts.add_row(f"  status {status}", str(count))
    for version, count in load.versions.most_common():
        counts.add_row(f"  by {version}", str(count))
    counts.add_row("errors", str(sum(load.errors.values())))
    for kind, count in sorted_errors(load):
        counts.add_row(f"  {kind.__name__}", str(count))
    counts.add_row("seconds", f"{load.seconds:.2f}")
    counts.add_row("per second", f"{load.rate:,.0f}")
    counts.add_row("MB per second", f"{load.size / 1e6 / max(load.seconds, 1e-6):,.2f}")
    return Group(
        Text(f"{load.plan.method} {redacted_url(load.plan.url)}"), counts, _latencies(load)
    )


def _latencies(load: Load) -> RenderableType:
    """One column; with a rate two: from when a request was due, and from when it was sent."""
    service = summary_of(sorted(load.service))
    if load.plan.rate is None:
        table = Table("latency", "ms")
        columns = [service]
    else:
        table = Table("latency", "ms since due", "ms since sent")
        columns = [summary_of(sorted(load.corrected)), service]
    table.add_row("mean", *(_ms(each.mean) for each in columns))
    for place, (share, _) in enumerate(service.shares):
        table.add_row(f"p{share:g}", *(_ms(each.shares[place][1]) for each in columns))
    table.add_row("max", *(_ms(each.most) for each in columns))
    return table


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.2f}"


def picture_formats() -> set[str]:
    """Name the formats that `plot` can draw. Raises ImportError without matplotlib."""
    from matplotlib.backend_bases import FigureCanvasBase

    return {*FigureCanvasBase.get_supported_filetypes()}


def plot(load: Load, path: Path) -> None:
    """Draw latency by percentile, the tail drawn out, as PNG or what the name's end says.

    Raises ImportError without matplotlib, OSError when the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5))
    axes = figure.add_subplot()
    nines = [n / 50 for n in range(int(_nines(load.answered) * 50) + 1)]
    lines = {"since sent": load.service}
    if load.plan.rate is not None:
        lines = {"since due": load.corrected, **lines}
    for label, latencies in lines.items():
        ordered = sorted(latencies)
        drawn = [percentile(ordered, 100 * (1 - 10**-n)) * 1000 for n in nines]
        axes.plot(nines, drawn, label=label)
    axes.set_xticks(range(int(_nines(load.answered)) + 1))
    axes.set_xticklabels([_share(n) for n in range(int(_nines(load.answered)) + 1)])
    axes.set_xlabel("percentile")
    axes.set_ylabel("latency, ms")
    axes.set_ylim(bottom=0)
    axes.set_title(f"{redacted_url(load.plan.url)}: {load.rate:,.0f} per second")
    axes.grid(True, alpha=0.3)
    axes.legend()
    figure.savefig(path)


def _nines(count: int) -> float:
    """Return floor(log10(samples)), how far their tail reaches: 3.0 is 99.9 percent."""
    return max(1.0, float(len(str(count)) - 1))


def _share(nines: int) -> str:
    return f"{100 * (1 - 10.0**-nines):.{max(0, nines - 2)}f} %"
