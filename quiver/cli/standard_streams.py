"""stdin, stdout and stderr as a command finds them: open, closed, full, or with nobody behind."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import IO, Any

from quiver.cli.failures import OutputFailed

__all__ = ["abandon", "complete", "flush", "opened", "put", "release", "say", "writing"]


def complete() -> None:
    """Put something in the place of each of the three that is closed.

    Else a socket of ours might get its descriptor, and others' output. Reading from what stands in
    for stdin fails, and so does writing to what stands in for stdout; stderr forgets what it gets.
    """
    if sys.stdin is None:
        sys.stdin = _stand_in(os.O_WRONLY, "r")
    if sys.stdout is None:
        sys.stdout = _stand_in(os.O_RDONLY, "w")
    if sys.stderr is None:
        sys.stderr = _stand_in(os.O_WRONLY, "w")


def _stand_in(access: int, mode: str) -> Any:
    descriptor = os.open(os.devnull, access)  # the lowest that is free: that of the closed one
    os.set_inheritable(descriptor, True)
    return open(descriptor, mode, encoding="utf-8", closefd=False)


@contextlib.contextmanager
def writing(name: str) -> Iterator[None]:
    """Raise OutputFailed for an OSError, but the one of a reader that has gone."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(f"{name} cannot be written: {error.strerror or error}") from error


def put(text: str) -> None:
    """Write text to stdout. Raises OutputFailed and BrokenPipeError."""
    with writing("stdout"):
        sys.stdout.write(text)
        sys.stdout.flush()


@contextlib.contextmanager
def opened(path: str, mode: str) -> Iterator[IO[bytes]]:
    """Open a file for output, and close it. Raises OutputFailed."""
    with writing(path):
        file = open(path, mode)  # noqa: SIM115 - closed below, where that may fail
    try:
        yield file
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            file.close()
        raise
    with writing(path):
        file.close()


def flush() -> None:
    """Write what stdout has buffered. Raises OutputFailed and BrokenPipeError."""
    with writing("stdout"):
        sys.stdout.flush()


def say(line: str, end: str = "\n") -> None:
    """Write a line to stderr, if that can be written: a command does its work without it."""
    try:
        sys.stderr.write(line + end)  # in one piece: two threads tell a story
        sys.stderr.flush()
    except OSError:
        abandon(sys.stderr)


def release() -> None:
    """Give stdout up if it takes no more."""
    try:
        sys.stdout.flush()
    except OSError:
        abandon(sys.stdout)


def abandon(stream: IO[str]) -> None:
    """Send a stream to /dev/null: at the exit its buffer would be written once more, and fail."""
    try:
        descriptor = stream.fileno()
    except OSError:  # one that a test has put there
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
