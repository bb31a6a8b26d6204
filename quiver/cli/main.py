"""The `quiver` command."""

from __future__ import annotations

import sys

try:
    import click
    import rich  # noqa: F401
except ImportError as missing:
    sys.exit(f"quiver's command line needs {missing.name}: install quiver-http3[cli]")

from quiver import __version__
from quiver.cli.bench import bench
from quiver.cli.demo import Demo
from quiver.cli.demo_view import run_live
from quiver.cli.exit_status import ExitStatus, reporting_errors
from quiver.cli.get import get


@click.group()
@click.version_option(__version__, prog_name="quiver")
def main() -> None:
    """HTTP/3 for programs that have no event loop."""


main.add_command(get)
main.add_command(bench)


@main.command()
@click.option("--requests", default=4_000, show_default=True, help="Requests in all.")
@click.option("--threads", default=32, show_default=True, help="Threads that ask.")
@click.option("--connections", default=2, show_default=True, help="Connections in the pool.")
@reporting_errors
def demo(requests: int, threads: int, connections: int) -> ExitStatus:
    """Many threads through one pool to an HTTP/3 server in a process of its own.

    One connection is stopped half-way; the summary shows that nothing is lost.
    """
    for name, value in (("requests", requests), ("threads", threads), ("connections", connections)):
        if value < 1:
            raise click.BadParameter(f"{value} is less than 1", param_hint=f"--{name}")
    with Demo(requests=requests, threads=threads, connections=connections) as running:
        run_live(running)
    return ExitStatus.OK if running.account.complete else ExitStatus.FAILED
