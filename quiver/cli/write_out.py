"""`quiver get -w`: what is told of a transfer, in curl's names."""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import click

from quiver.models import ResponseConnection
from quiver.printable import escaped
from quiver.streams.response import StreamedResponse

__all__ = ["VARIABLES", "Transfer", "pieces_of", "read_format"]


@attrs.define
class Transfer:
    """One transfer, as far as it has come. Times are those of one clock, in seconds.

    Attributes:
        begun, headed, ended: when it began, had its response's head, and was over.
        size: bytes of the body that have come.
        path: the file that it went to.
    """

    url: str
    method: str
    path: str | None
    begun: float
    headed: float | None = None
    ended: float | None = None
    response: StreamedResponse | None = None
    size: int = 0
    error: str = ""
    exit_status: int = 0

    @property
    def connection(self) -> ResponseConnection | None:
        return None if self.response is None else self.response.connection

    @property
    def seconds(self) -> float:
        return 0.0 if self.ended is None else self.ended - self.begun

    def header(self, name: str) -> str:
        return "" if self.response is None else self.response.header(name) or ""


def _seconds(value: float) -> str:
    return f"{value:.6f}"


def _connected(transfer: Transfer) -> str:
    return _seconds(transfer.connection.seconds if transfer.connection else 0.0)


def _headed(transfer: Transfer) -> str:
    return _seconds(0.0 if transfer.headed is None else transfer.headed - transfer.begun)


def _status(transfer: Transfer) -> str:
    return "000" if transfer.response is None else f"{transfer.response.status:03}"


def _version(transfer: Transfer) -> str:
    """As curl has it: "3", "2", "1.1"; "0" before anything is known."""
    return transfer.connection.http_version.removeprefix("HTTP/") if transfer.connection else "0"


def _end(of: Callable[[ResponseConnection], tuple[str, int]], part: int) -> Callable[..., str]:
    def told(transfer: Transfer) -> str:
        return str(of(transfer.connection)[part]) if transfer.connection else ("", "0")[part]

    return told


def _header_json(transfer: Transfer) -> str:
    values: dict[str, list[str]] = {}
    for name, value in transfer.response.headers if transfer.response else ():
        values.setdefault(name, []).append(value)
    return json.dumps(values)


VARIABLES: Final[dict[str, Callable[[Transfer], str]]] = {
    "content_type": lambda of: of.header("content-type"),
    "errormsg": lambda of: of.error,
    "exitcode": lambda of: str(int(of.exit_status)),
    "filename_effective": lambda of: of.path or "",
    "header_json": _header_json,
    "http_code": _status,
    "http_version": _version,
    "local_ip": _end(lambda connection: connection.local, 0),
    "local_port": _end(lambda connection: connection.local, 1),
    "method": lambda of: of.method,
    "num_connects": lambda of: "1" if of.connection else "0",
    "num_headers": lambda of: str(len(of.response.headers) if of.response else 0),
    "remote_ip": _end(lambda connection: connection.address, 0),
    "remote_port": _end(lambda connection: connection.address, 1),
    "response_code": _status,
    "scheme": lambda of: of.url.partition(":")[0].upper(),
    "size_download": lambda of: str(of.size),
    "speed_download": lambda of: str(int(of.size / of.seconds) if of.seconds else 0),
    "time_appconnect": _connected,
    "time_connect": _connected,
    "time_starttransfer": _headed,
    "time_total": lambda of: _seconds(of.seconds),
    "url": lambda of: of.url,
    "url_effective": lambda of: of.url,
}
"""By name, as curl's manual has them. TLS is a part of QUIC's handshake: both are over at once."""

_ENDS: Final = {r"\n": "\n", r"\r": "\r", r"\t": "\t", "%%": "%"}
_PART: Final = re.compile(r"\\[nrt]|%%|%\{(\w*)\}|%header\{([^}]*)\}")


def read_format(given: str | None) -> str | None:
    """Return the format: what is given, or what is in the `@FILE` or `@-`. Raises BadParameter."""
    if given is None:
        return None
    try:
        if given == "@-":
            given = sys.stdin.read()
        elif given.startswith("@"):
            given = Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise click.BadParameter(str(error), param_hint="--write-out") from error
    for part in _PART.finditer(given):
        name = part[1]
        if name is not None and name not in (*VARIABLES, "stdout", "stderr"):
            near = difflib.get_close_matches(name, VARIABLES, 1)
            meant = f": did you mean {near[0]}?" if near else ""
            raise click.BadParameter(f"no variable {name!r}{meant}", param_hint="--write-out")
    return given


def pieces_of(text: str, transfer: Transfer) -> Iterator[tuple[str, str]]:
    """Yield pairs of "stdout" or "stderr" and what is to be written there. Pure.

    What the server has said is escaped: it cannot steer a terminal.
    """
    where, place = "stdout", 0
    for part in _PART.finditer(text):
        yield where, text[place : part.start()]
        place = part.end()
        if part[1] in ("stdout", "stderr"):
            where = part[1]
        else:
            yield where, _value(part, transfer)
    yield where, text[place:]


def _value(part: re.Match[str], transfer: Transfer) -> str:
    variable: Any = part[1]
    if variable is not None:
        return escaped(VARIABLES[variable](transfer))
    return _ENDS.get(part[0]) or escaped(transfer.header(part[2] or ""))
