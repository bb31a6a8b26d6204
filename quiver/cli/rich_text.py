"""rich on stdout, where it fails as all output does."""

from __future__ import annotations

from rich.console import Console, RenderableType

from quiver.cli.standard_streams import writing

__all__ = ["StdoutConsole", "put"]


class StdoutConsole(Console):
    """A console that leaves to its caller what it ends with when the reader has gone."""

    def on_broken_pipe(self) -> None:
        raise  # the BrokenPipeError that is being handled


def put(shown: RenderableType) -> None:
    """Render it on stdout. Raises OutputFailed and BrokenPipeError."""
    with writing("stdout"):
        StdoutConsole().print(shown)
