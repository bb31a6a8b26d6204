"""`quiver bench`: many requests to one URL, and how long they took."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from pathlib import Path
from typing import Unpack

import click
from rich.console import Console
from rich.live import Live

from quiver.cli import bench_report, rich_text, standard_streams
from quiver.cli.bench_load import Load, Plan
from quiver.cli.connection_options import (
    Connection,
    asking,
    body_of,
    client_of,
    connecting,
    headers_of,
    tell_of_proxy,
)
from quiver.cli.exit_status import ExitStatus, exit_status_of, reporting_errors
from quiver.cli.numbers import Positive

__all__ = ["bench"]

_REFRESH = 0.25  # seconds
_REQUESTS = 10_000
_COUNT = click.IntRange(min=1)


@click.command()
@asking
@click.option("-c", "--concurrency", type=_COUNT, default=50, show_default=True, help="In flight.")
@click.option(
    "-n",
    "--requests",
    type=_COUNT,
    show_default=f"{_REQUESTS}, or any number with -D",
    help="In all.",
)
@click.option("-D", "--duration", type=Positive(), help="Seconds after which no more are sent.")
@click.option("-t", "--threads", type=_COUNT, default=1, show_default=True, help="That ask.")
@click.option(
    "--rate",
    type=Positive(),
    help="Requests per second; latencies then count from when each was due.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw latencies by percentile."
)
@connecting
@reporting_errors
def bench(
    url: str,
    method: str | None,
    headers: tuple[str, ...],
    agent: str | None,
    user: str | None,
    data: str | None,
    concurrency: int,
    requests: int | None,
    duration: float | None,
    threads: int,
    rate: float | None,
    as_json: bool,
    plot: Path | None,
    **connection: Unpack[Connection],
) -> ExitStatus:
    """Ask for URL many times, at a rate or as fast as answers come, and tell the latencies.

    One request goes ahead, uncounted: when that fails, so does the command.
    """
    if plot is not None:
        _see_that_it_can_be_drawn(plot)
    tell_of_proxy(url, connection)
    body = _whole(data)
    method = method or ("GET" if body is None else "POST")
    fields, threads = headers_of(headers, agent, user), min(threads, concurrency)
    if requests is None and duration is None:
        requests = _REQUESTS
    plan = Plan(method, url, fields, body, concurrency, requests, threads, rate, duration)
    with client_of(connection, checkout_timeout=None) as client:
        client.request(method, url, headers=plan.headers, body=body)
        with Load(client, plan) as load:
            interrupted = not _watch(load)
    _show(load, as_json)
    if plot is not None:
        with standard_streams.writing(str(plot)):
            bench_report.plot(load, plot)
    return ExitStatus.INTERRUPTED if interrupted else _verdict(load)


def _see_that_it_can_be_drawn(plot: Path) -> None:
    """Find it out before the load, not behind it."""
    if importlib.util.find_spec("matplotlib") is None:
        fault = "needs matplotlib: pip install 'quiver-http3[plot]'"
        raise click.BadParameter(fault, param_hint="--plot")
    kind, known = plot.suffix.removeprefix(".").lower(), bench_report.picture_formats()
    if kind and kind not in known:
        fault = f"{kind!r} is no format of pictures here: it is one of {', '.join(sorted(known))}"
        raise click.BadParameter(fault, param_hint="--plot")


def _whole(data: str | None) -> bytes | None:
    """Read the body at once: it is sent many times."""
    with body_of(data) as body:
        return body if body is None or isinstance(body, bytes) else body.read()


def _watch(load: Load) -> bool:
    """Show how it goes until it is over; False when the user has had enough."""
    console = Console(stderr=True)
    shown = Live(console=console, auto_refresh=False, transient=True)
    try:
        with shown if console.is_terminal else contextlib.nullcontext() as live:
            while load.running:
                load.wait(_REFRESH)
                if live is not None:
                    live.update(bench_report.now(load), refresh=True)
    except KeyboardInterrupt:
        return False
    return True


def _show(load: Load, as_json: bool) -> None:
    if as_json:
        standard_streams.put(json.dumps(bench_report.as_json(load), indent=2) + "\n")
    else:
        rich_text.put(bench_report.shown(load))


def _verdict(load: Load) -> ExitStatus:
    """Return the exit status of the most frequent error, if there was one."""
    errors = bench_report.sorted_errors(load)
    return exit_status_of(errors[0][0]) if errors else ExitStatus.OK
