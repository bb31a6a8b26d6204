"""`quiver demo`: its options, and what it ends with."""

from __future__ import annotations

import click

from quiver.cli.demo import Demo
from quiver.cli.demo_view import run_live
from quiver.cli.exit_status import ExitStatus, reporting_errors
from quiver.cli.rich_text import StdoutConsole
from quiver.cli.standard_streams import writing

__all__ = ["demo"]

_COUNT = click.IntRange(min=1)


@click.command()
@click.option("--requests", type=_COUNT, default=4_000, show_default=True, help="Requests in all.")
@click.option("--threads", type=_COUNT, default=32, show_default=True, help="Threads that ask.")
@click.option("--connections", type=_COUNT, default=2, show_default=True, help="In the pool.")
@reporting_errors
def demo(requests: int, threads: int, connections: int) -> ExitStatus:
    """Many threads through one pool to an HTTP/3 server in a process of its own.

    One connection is stopped half-way; the summary shows that nothing is lost.
    """
    plan = Demo(requests=requests, threads=threads, connections=connections)
    with plan as running, writing("stdout"):
        run_live(running, StdoutConsole())
    return ExitStatus.OK if running.account.complete else ExitStatus.FAILED
