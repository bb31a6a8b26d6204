"""`quiver get`: one request. The body goes to stdout or a file, all else to stderr."""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple, Unpack

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
from quiver.cli.curl_names import CurlUsersCommand
from quiver.cli.download import Place, Target, place_of, remember, target_of
from quiver.cli.exit_status import REPORTED, ExitStatus, reported, reporting_errors
from quiver.cli.standard_streams import opened, put, say, writing
from quiver.cli.terminal_text import TerminalText
from quiver.cli.verbose_log import VerboseLog
from quiver.cli.write_out import Transfer, pieces_of, read_format
from quiver.printable import escaped
from quiver.redaction import redacted_field, redacted_url
from quiver.streams.response import StreamedResponse

__all__ = ["get", "length_of", "save"]


@click.command(cls=CurlUsersCommand)
@asking
@click.option("-I", "--head", is_flag=True, help="Ask for the head alone (HEAD), and print it.")
@click.option("-i", "--include", is_flag=True, help="Show status, headers and trailers.")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write the body to a file.")
@click.option("-O", "--remote-name", is_flag=True, help="To one that the URL names, a new one.")
@click.option("--clobber", is_flag=True, help="With -O: overwrite the file if there is one.")
@click.option(
    "-C", "--continue-at", type=click.Choice(["-"]), help="Go on where the file ends (-C -)."
)
@click.option("-w", "--write-out", metavar="FORMAT", help="Print '%{http_code} ...' afterwards.")
@click.option("-f", "--fail", is_flag=True, help="End with 22, without a body, from 400 on.")
@click.option("-v", "--verbose", is_flag=True, help="Tell the connection's story.")
@connecting
@reporting_errors
def get(
    url: str,
    method: str | None,
    data: str | None,
    head: bool,
    output: str | None,
    remote_name: bool,
    clobber: bool,
    continue_at: str | None,
    write_out: str | None,
    include: bool,
    fail: bool,
    verbose: bool,
    headers: tuple[str, ...],
    agent: str | None,
    user: str | None,
    **connection: Unpack[Connection],
) -> ExitStatus:
    """Ask for URL, HTTP/3 first. The body goes to stdout, everything else to stderr."""
    if head:
        _see_that_it_is_head(method, data, remote_name, continue_at)
    told = read_format(write_out)
    target = target_of(
        url, output, named_by_url=remote_name, clobber=clobber, resume=continue_at is not None
    )
    fields = target.fields(headers_of(headers, agent, user))
    tell_of_proxy(url, connection)
    method = "HEAD" if head else method or ("GET" if data is None else "POST")
    transfer = Transfer(url, method, target.path, time.perf_counter())
    show = _Show(head=head, include=include, fail=fail, verbose=verbose)
    try:
        status = _transferred(transfer, target, fields, data, connection, show)
    except REPORTED as error:
        status, transfer.error = reported(error), str(error)
    transfer.ended = transfer.ended or time.perf_counter()
    transfer.exit_status = status
    if told is not None:
        _tell(told, transfer)
    return status


def _see_that_it_is_head(method: str | None, data: str | None, *to_file: object) -> None:
    if method not in (None, "HEAD") or data is not None or any(to_file):
        raise click.BadParameter("goes with no -X, -d, -O or -C", param_hint="--head")


class _Show(NamedTuple):
    head: bool
    include: bool
    fail: bool
    verbose: bool

    def of(self, fields: Iterable[tuple[str, str]]) -> None:
        if self.include or self.verbose:
            _pairs(fields, "< " if self.verbose else "", redacted=not self.include)


def _transferred(
    transfer: Transfer,
    target: Target,
    fields: list[tuple[str, str]],
    data: str | None,
    connection: Connection,
    show: _Show,
) -> ExitStatus:
    """Ask, and put what comes where it belongs."""
    url, method = transfer.url, transfer.method
    with contextlib.ExitStack() as stack:
        body = stack.enter_context(body_of(data))
        if show.verbose:
            stack.enter_context(VerboseLog(lambda line: _say(f"* {line}")))
            _sent(method, url, fields)
        client = stack.enter_context(client_of(connection))
        transfer.begun = time.perf_counter()
        response = stack.enter_context(client.stream(method, url, headers=fields, body=body))
        transfer.response, transfer.headed = response, time.perf_counter()
        if show.include or show.verbose:
            _head(response, "< " if show.verbose else "", redacted=not show.include)
        refused = show.fail and response.status >= 400
        if refused and not (target.have and response.status == 416):
            _say(f"quiver: {redacted_url(url)}: status {response.status}")
            return ExitStatus.STATUS
        _put(transfer, response, target, head=show.head)
        transfer.ended = time.perf_counter()
        show.of(response.trailers)
    return ExitStatus.OK


def _put(transfer: Transfer, response: StreamedResponse, target: Target, *, head: bool) -> None:
    """Write the body; with `head` what -I has asked for, in its place."""
    pieces: Iterable[bytes] = _counted(response, transfer)
    if head:
        pieces = itertools.chain([_lines(response)], pieces)
    if target.path is not None:
        etag = response.header("etag")
        place = place_of(target, response.status, response.header("content-range"), etag)
        if place is not Place.COMPLETE:
            with opened(target.path, place.value) as file:
                if place is not Place.CONTINUED:
                    remember(file.fileno(), etag)
                length = None if head else length_of(response)
                save(pieces, file, length, Console(stderr=True))
        return
    shown = TerminalText() if target.on_terminal and sys.stdout.isatty() else None
    for piece in pieces:
        _write(piece if shown is None else shown.feed(piece))
    if shown is not None:
        _write(shown.end())


def _counted(response: StreamedResponse, transfer: Transfer) -> Iterator[bytes]:
    for piece in response:
        transfer.size += len(piece)
        yield piece


def _lines(response: StreamedResponse) -> bytes:
    """The head that -I has asked for."""
    fields = (escaped(f"{name}: {value}") for name, value in response.headers)
    return "\n".join((f"{response.http_version} {response.status}", *fields, "\n")).encode()


def _write(piece: bytes) -> None:
    with writing("stdout"):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def _tell(told: str, transfer: Transfer) -> None:
    for where, text in pieces_of(told, transfer):
        if where == "stdout":
            put(text)
        elif text:
            say(text, end="")


def length_of(response: StreamedResponse) -> int | None:
    """The body's length, if the server has said it."""
    length = response.header("content-length")
    return int(length) if length else None


def save(pieces: Iterable[bytes], file: IO[bytes], length: int | None, console: Console) -> None:
    """Write the body piece by piece, with a bar where the console is a terminal."""
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
        task = progress.add_task(str(file.name), total=length)
        for piece in pieces:
            with writing(str(file.name)):
                file.write(piece)
            progress.advance(task, len(piece))


def _sent(method: str, url: str, fields: Iterable[tuple[str, str]]) -> None:
    _say(f"> {method} {redacted_url(url)}")
    _pairs(fields, "> ", redacted=True)


def _head(response: StreamedResponse, mark: str, *, redacted: bool) -> None:
    _say(f"{mark}{response.http_version} {response.status}")
    _pairs(response.headers, mark, redacted=redacted)
    _say(mark.rstrip())


def _pairs(fields: Iterable[tuple[str, str]], mark: str, *, redacted: bool) -> None:
    for name, value in fields:
        _say(f"{mark}{name}: {redacted_field(name.lower(), value) if redacted else value}")


def _say(line: str) -> None:
    say(escaped(line))
