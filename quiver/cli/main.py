"""The `quiver` command. A subcommand is imported when it is called: the help needs none."""

from __future__ import annotations

import io
import sys
from importlib import import_module
from typing import Any, Final, NoReturn

try:
    import click
except ImportError as missing:
    sys.exit(f"quiver's command line needs {missing.name}: pip install 'quiver-http3[cli]'")

from quiver import __version__
from quiver.cli import standard_streams
from quiver.cli.exit_status import ExitStatus, reported
from quiver.cli.failures import OutputFailed

__all__ = ["COMMANDS", "main"]

# Where each is, and what the help says of it.
COMMANDS: Final = {
    "bench": ("quiver.cli.bench", "Ask for URL many times, and tell the latencies."),
    "demo": ("quiver.cli.demo_command", "Many threads, one pool, a connection that is stopped."),
    "get": ("quiver.cli.get", "Ask for URL, over HTTP/3 or what else is spoken."),
}


class Commands(click.Group):
    """The subcommands by name; and what click leaves to Python, told in one line."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        return self.load(name) if name in COMMANDS else None

    def load(self, name: str) -> click.Command:
        """Import a subcommand, whose name is one of COMMANDS."""
        try:
            command: click.Command = getattr(import_module(COMMANDS[name][0]), name)
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] != "rich":
                raise
            sys.exit("quiver's command line needs rich: pip install 'quiver-http3[cli]'")
        return command

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in COMMANDS.items()])

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run the command line and end the program, whatever becomes of the standard streams."""
        standard_streams.complete()
        stdout = sys.stdout
        try:
            with standard_streams.writing("stdout"):  # help: a command tells its own errors
                status = super().main(*args, **{**options, "standalone_mode": False})
            standard_streams.flush()
        except click.ClickException as error:
            shown = io.StringIO()
            error.show(shown)
            standard_streams.say(shown.getvalue().removesuffix("\n"))
            status = error.exit_code
        except click.Abort:
            status = ExitStatus.INTERRUPTED
        except (BrokenPipeError, OutputFailed) as error:
            status = reported(error)
        except SystemExit:  # click's own where nobody reads the help: it puts a wrapper there
            if sys.stdout is stdout:
                raise
            status = ExitStatus.PIPE
        sys.exit(status)


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="quiver")
def main() -> None:
    """HTTP/3, HTTP/2 and HTTP/1.1 for programs that have no event loop."""
