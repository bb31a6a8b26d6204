"""`quiver get`: one request. The body goes to stdout or a file, all else to stderr."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from typing import IO, Unpack

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from quiver.cli.connection_options import (
    Connection,
    asking,
    body_of,
    client_of,
    connecting,
    headers_of,
    tell_of_proxy,
)
from quiver.cli.exit_status import ExitStatus, reporting_errors
from quiver.cli.standard_streams import opened, say, writing
from quiver.cli.terminal_text import TerminalText
from quiver.cli.verbose_log import VerboseLog
from quiver.printable import escaped
from quiver.redaction import redacted_field, redacted_url
from quiver.streams.response import StreamedResponse

__all__ = ["get", "save"]


@click.command()
@asking
@click.option("-i", "--include", is_flag=True, help="Show status, headers and trailers.")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write the body to a file.")
@click.option("-f", "--fail", is_flag=True, help="End with 22, without a body, from 400 on.")
@click.option("-v", "--verbose", is_flag=True, help="Tell the connection's story.")
@connecting
@reporting_errors
def get(
    url: str,
    method: str | None,
    headers: tuple[str, ...],
    data: str | None,
    include: bool,
    output: str | None,
    fail: bool,
    verbose: bool,
    **connection: Unpack[Connection],
) -> ExitStatus:
    """Ask for URL over HTTP/3. The body goes to stdout, everything else to stderr."""
    fields = headers_of(headers)
    tell_of_proxy(url, connection)
    with contextlib.ExitStack() as stack:
        body = stack.enter_context(body_of(data))
        method = method or ("GET" if body is None else "POST")
        if verbose:
            stack.enter_context(VerboseLog(lambda line: _say(f"* {line}")))
            _sent(method, url, fields)
        client = stack.enter_context(client_of(connection))
        response = stack.enter_context(client.stream(method, url, headers=fields, body=body))
        mark = "< " if verbose else ""
        if include or verbose:
            _head(response, mark, redacted=not include)
        if fail and response.status >= 400:
            _say(f"quiver: {redacted_url(url)}: status {response.status}")
            return ExitStatus.STATUS
        _put(response, output)
        if include or verbose:
            _pairs(response.trailers, mark, redacted=not include)
    return ExitStatus.OK


def _put(response: StreamedResponse, output: str | None) -> None:
    if output is None or output == "-":
        shown = TerminalText() if output is None and sys.stdout.isatty() else None
        for piece in response:
            _write(piece if shown is None else shown.feed(piece))
        if shown is not None:
            _write(shown.end())
        return
    with opened(output, "wb") as file:
        save(response, file, Console(stderr=True))


def _write(piece: bytes) -> None:
    with writing("stdout"):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def save(response: StreamedResponse, file: IO[bytes], console: Console) -> None:
    """Write the body piece by piece, with a bar where the console is a terminal."""
    length = response.header("content-length")
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
    # One that is disabled still ends with an empty line, before rich 14.3.
    with progress if console.is_terminal else contextlib.nullcontext():
        task = progress.add_task(str(file.name), total=int(length) if length else None)
        for piece in response:
            with writing(str(file.name)):
                file.write(piece)
            progress.advance(task, len(piece))


def _sent(method: str, url: str, fields: Iterable[tuple[str, str]]) -> None:
    _say(f"> {method} {redacted_url(url)}")
    _pairs(fields, "> ", redacted=True)


def _head(response: StreamedResponse, mark: str, *, redacted: bool) -> None:
    _say(f"{mark}HTTP/3 {response.status}")
    _pairs(response.headers, mark, redacted=redacted)
    _say(mark.rstrip())


def _pairs(fields: Iterable[tuple[str, str]], mark: str, *, redacted: bool) -> None:
    for name, value in fields:
        _say(f"{mark}{name}: {redacted_field(name.lower(), value) if redacted else value}")


def _say(line: str) -> None:
    say(escaped(line))
