"""The demo's live view while it runs, and its summary at the end."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

import quiver
from quiver.cli.demo import Demo
from quiver.cli.latency import percentile
from quiver.models import ConnectionStats, Stats

REFRESH = 0.2  # seconds


def run_live(demo: Demo, console: Console | None = None) -> None:
    """Show `demo` until its threads are done, then sum it up."""
    console = console or Console()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while demo.running:
            demo.wait(REFRESH)
            demo.stop_a_connection_half_way()
            live.update(_now(demo), refresh=True)
    if demo.account.complete:
        with console.status("as many threads through a pool of the usual style ..."):
            demo.compare()
    console.print(_summary(demo))


def _now(demo: Demo) -> RenderableType:
    try:
        stats, connections = demo.stats()
    except quiver.QuiverError as error:
        return Text(f"no pool: {error}")
    return Group(_progress(demo, stats), _connections(connections))


def _progress(demo: Demo, stats: Stats) -> RenderableType:
    account = demo.account
    latest = sorted(account.latencies[-500:])
    return Text(
        f"{account.answered:>6} of {account.planned} answered   {account.rate:,.0f} per second   "
        f"latency {_ms(percentile(latest, 50))} median, {_ms(percentile(latest, 99))} p99\n"
        f"queue {stats.queued}   streams {stats.active} open, {stats.idle} free"
    )


def _connections(connections: Sequence[ConnectionStats]) -> RenderableType:
    table = Table("connection", "state", "open streams", "requests", title="connections")
    for each in connections:
        table.add_row(str(each.number), each.state, str(each.active), str(each.opened))
    return table


def _summary(demo: Demo) -> RenderableType:
    account = demo.account
    latencies = sorted(account.latencies)
    table = Table(show_header=False, title="summary")
    table.add_row("asked", str(account.asked))
    table.add_row("answered", str(account.answered))
    table.add_row("errors", str(sum(account.errors.values())))
    for kind, count in sorted(account.errors.items()):
        table.add_row(f"  {kind}", str(count))
    table.add_row("seconds", f"{account.last:.1f}")
    table.add_row("per second", f"{account.rate:,.0f}")
    if demo.compared is not None:
        table.add_row("  one request at a time", f"{demo.compared:,.0f}")
    for share in (50, 90, 99):
        table.add_row(f"latency p{share}", _ms(percentile(latencies, share)))
    table.add_row("stopped half-way", demo.stopped or "nothing")
    lost = account.asked - account.answered - sum(account.errors.values())
    verdict = "Nothing is lost." if not lost else f"LOST: {lost} asks without an outcome."
    return Group(table, *_shown(demo), Text(verdict))


def _shown(demo: Demo) -> list[RenderableType]:
    """What it has come to, in a line."""
    if not demo.compared:
        return []
    times = demo.account.rate / demo.compared
    said = (
        f"{demo.callers} threads shared {demo.connections} connections: {times:,.1f} times the "
        "answers of a pool, made of the same parts, that lends each connection to one request at a "
        "time."
    )
    return [Text(said)]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
