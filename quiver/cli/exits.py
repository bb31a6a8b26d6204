"""What the commands end with, for scripts: one exit status for each kind of end."""

from __future__ import annotations

import enum
import functools
import os
import sys
from collections.abc import Callable
from typing import Final, ParamSpec

from quiver import errors

__all__ = ["Exit", "exit_of", "reporting"]

P = ParamSpec("P")


class Exit(enum.IntEnum):
    """The exit statuses; `meaning` is what the guide's table says."""

    meaning: str

    def __new__(cls, status: int, meaning: str) -> Exit:
        made = int.__new__(cls, status)
        made._value_ = status
        made.meaning = meaning
        return made

    OK = 0, "answered, whatever the status is"
    FAILED = 1, "something else went wrong; a file cannot be read or written"
    USAGE = 2, "a wrong option, URL, header or body"
    NAME = 3, "the host's name has no address"
    REFUSED = 4, "nobody listens on the port"
    TIMEOUT = 5, "a time limit passed"
    CERTIFICATE = 6, "the server's certificate is refused"
    PROTOCOL = 7, "no common protocol; the server broke it, or sent more than a limit allows"
    LOST = 8, "the connection or the stream ended before the response did"
    STATUS = 22, "with --fail: the response's status is 400 or above"
    INTERRUPTED = 130, "interrupted from the keyboard"
    PIPE = 141, "whoever read the output has gone"


# The first that fits holds: some leaves are several of these.
_BY_ERROR: Final[tuple[tuple[type[BaseException], Exit], ...]] = (
    (KeyboardInterrupt, Exit.INTERRUPTED),
    (BrokenPipeError, Exit.PIPE),
    (errors.InvalidError, Exit.USAGE),
    (errors.NameResolutionFailed, Exit.NAME),
    (errors.ConnectionRefused, Exit.REFUSED),
    (errors.CertificateInvalid, Exit.CERTIFICATE),
    (errors.HandshakeFailed, Exit.PROTOCOL),
    (errors.ProtocolViolation, Exit.PROTOCOL),
    (errors.ResponseTooLarge, Exit.PROTOCOL),
    (TimeoutError, Exit.TIMEOUT),
    (errors.ConnectionLost, Exit.LOST),
    (errors.StreamReset, Exit.LOST),
    (errors.GoAway, Exit.LOST),
)


def exit_of(error: type[BaseException]) -> Exit:
    """The exit status when a command was ended by an error of this class."""
    return next((status for kind, status in _BY_ERROR if issubclass(error, kind)), Exit.FAILED)


def reporting(command: Callable[P, Exit]) -> Callable[P, None]:
    """End the program with what `command` returns, or with its error, told in one line."""

    @functools.wraps(command)
    def run(*args: P.args, **options: P.kwargs) -> None:
        try:
            status = command(*args, **options)
            sys.stdout.flush()
        except (errors.QuiverError, OSError, KeyboardInterrupt) as error:
            status = exit_of(type(error))
            if status is Exit.PIPE:
                _forget_stdout()
            elif status is not Exit.INTERRUPTED:
                print(f"quiver: {error}", file=sys.stderr)
        sys.exit(status)

    return run


def _forget_stdout() -> None:
    """Let the interpreter's last flush go nowhere: it would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
