"""`quiver get`: one request. The body goes to stdout or a file, all else to stderr."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable
from typing import IO, Any

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

from quiver.body import StreamedResponse
from quiver.cli.connecting import asking, body_of, client_of, connecting, headers_of
from quiver.cli.exits import Exit, reporting
from quiver.cli.story import Story

__all__ = ["get", "save"]


@click.command()
@asking
@click.option("-i", "--include", is_flag=True, help="Show status, headers and trailers.")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write the body to a file.")
@click.option("-f", "--fail", is_flag=True, help="End with 22, without a body, from 400 on.")
@click.option("-v", "--verbose", is_flag=True, help="Tell the connection's story.")
@connecting
@reporting
def get(
    url: str,
    method: str | None,
    headers: tuple[str, ...],
    data: str | None,
    include: bool,
    output: str | None,
    fail: bool,
    verbose: bool,
    **connection: Any,
) -> Exit:
    """Ask for URL over HTTP/3. The body goes to stdout, everything else to stderr."""
    fields = headers_of(headers)
    with contextlib.ExitStack() as stack:
        body = stack.enter_context(body_of(data))
        method = method or ("GET" if body is None else "POST")
        if verbose:
            stack.enter_context(Story(lambda line: _say(f"* {line}")))
            _sent(method, url, fields)
        client = stack.enter_context(client_of(**connection))
        response = stack.enter_context(client.stream(method, url, headers=fields, body=body))
        mark = "< " if verbose else ""
        if include or verbose:
            _head(response, mark)
        if fail and response.status >= 400:
            _say(f"quiver: {url}: status {response.status}")
            return Exit.STATUS
        _put(response, output)
        if include or verbose:
            _pairs(response.trailers, mark)
    return Exit.OK


def _put(response: StreamedResponse, output: str | None) -> None:
    if output is None or output == "-":
        stdout = sys.stdout.buffer
        for piece in response:
            stdout.write(piece)
            stdout.flush()
        return
    with open(output, "wb") as file:
        save(response, file, Console(stderr=True))


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
        disable=not console.is_terminal,
    )
    with progress:
        task = progress.add_task(str(file.name), total=int(length) if length else None)
        for piece in response:
            file.write(piece)
            progress.advance(task, len(piece))


def _sent(method: str, url: str, fields: Iterable[tuple[str, str]]) -> None:
    _say(f"> {method} {url}")
    _pairs(fields, "> ")


def _head(response: StreamedResponse, mark: str) -> None:
    _say(f"{mark}HTTP/3 {response.status}")
    _pairs(response.headers, mark)
    _say(mark.rstrip())


def _pairs(fields: Iterable[tuple[str, str]], mark: str) -> None:
    for name, value in fields:
        _say(f"{mark}{name}: {value}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
