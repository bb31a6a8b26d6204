"""The exit statuses of the commands, one for each kind of end, for scripts."""

from __future__ import annotations

import enum
import functools
import sys
from collections.abc import Callable
from typing import Final, ParamSpec

from quiver import errors
from quiver.cli import standard_streams
from quiver.cli.failures import CannotResume, OutputFailed
from quiver.printable import escaped

__all__ = ["REPORTED", "ExitStatus", "exit_status_of", "reported", "reporting_errors"]

P = ParamSpec("P")


class ExitStatus(enum.IntEnum):
    """The exit statuses; `meaning` is what the guide's table says."""

    meaning: str

    def __new__(cls, status: int, meaning: str) -> ExitStatus:
        made = int.__new__(cls, status)
        made._value_ = status
        made.meaning = meaning
        return made

    OK = 0, "answered, whatever the status is"
    FAILED = 1, "something else went wrong; a file cannot be read"
    USAGE = 2, "a wrong option, URL, header or body"
    NAME = 3, "the host's name cannot be resolved, or not in time"
    REFUSED = 4, "nobody listens on the port"
    TIMEOUT = 5, "a time limit passed"
    CERTIFICATE = 6, "the server's certificate is refused"
    PROTOCOL = (
        7,
        "no handshake, as with no common protocol; the server broke HTTP, or a limit of size",
    )
    LOST = 8, "the connection or the stream ended before the response did"
    STATUS = 22, "with --fail: the response's status is 400 or above"
    WRITE = 23, "the output cannot be written: closed, no room, no such folder"
    RANGE = 33, "with -C -: the server does not send the rest; the file is left as it is"
    INTERRUPTED = 130, "interrupted from the keyboard"
    PIPE = 141, "whoever read the output has gone"


# The first that fits holds: some leaves are several of these.
_BY_ERROR: Final[tuple[tuple[type[BaseException], ExitStatus], ...]] = (
    (KeyboardInterrupt, ExitStatus.INTERRUPTED),
    (BrokenPipeError, ExitStatus.PIPE),
    (OutputFailed, ExitStatus.WRITE),
    (CannotResume, ExitStatus.RANGE),
    (errors.InvalidError, ExitStatus.USAGE),
    (errors.NameResolutionFailed, ExitStatus.NAME),
    (errors.ConnectionRefused, ExitStatus.REFUSED),
    (errors.CertificateInvalid, ExitStatus.CERTIFICATE),
    (errors.HandshakeFailed, ExitStatus.PROTOCOL),
    (errors.ProtocolViolation, ExitStatus.PROTOCOL),
    (errors.ResponseTooLarge, ExitStatus.PROTOCOL),
    (TimeoutError, ExitStatus.TIMEOUT),
    (errors.ConnectionLost, ExitStatus.LOST),
    (errors.StreamReset, ExitStatus.LOST),
    (errors.GoAway, ExitStatus.LOST),
)


REPORTED: Final = (errors.QuiverError, OutputFailed, CannotResume, OSError, KeyboardInterrupt)
"""The errors that end a command with a line and a status."""


def exit_status_of(error: type[BaseException]) -> ExitStatus:
    """Return the exit status of a command that was ended by an error of this class."""
    return next(
        (status for kind, status in _BY_ERROR if issubclass(error, kind)), ExitStatus.FAILED
    )


def reporting_errors(command: Callable[P, ExitStatus]) -> Callable[P, None]:
    """End the program with what `command` returns, or with its error, told in one line."""

    @functools.wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> None:
        try:
            status = command(*args, **options)
            standard_streams.flush()
        except REPORTED as error:
            status = reported(error)
        sys.exit(status)

    return run


def reported(error: BaseException) -> ExitStatus:
    """Tell an error in one line, and one for each of its notes; return the status to end with."""
    status = exit_status_of(type(error))
    if status in (ExitStatus.PIPE, ExitStatus.WRITE):
        standard_streams.release()
    if status not in (ExitStatus.PIPE, ExitStatus.INTERRUPTED):
        for said in (error, *getattr(error, "__notes__", ())):
            standard_streams.say(escaped(f"quiver: {said}"))
    return status
