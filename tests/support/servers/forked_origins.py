"""Origins forked from a process that has imported all they need.

To start Python and import takes an origin a third of a second of a core, and hundreds of tests
start one. So `multiprocessing` keeps a process that has imported and forks, its fork server. The
origin is a process of its own all the same, with pipes of its own, and ends when they do.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from multiprocessing.connection import Connection
from typing import Any, Final

from quiver.testing import Origin
from quiver.testing.server.__main__ import main

__all__ = ["fork_origins"]

_FORKING: Final = multiprocessing.get_context("forkserver")


def fork_origins() -> None:
    """Have every origin of this program started so from now on."""
    _FORKING.set_forkserver_preload([main.__module__])
    Origin._launch = staticmethod(_launch)  # type: ignore[method-assign]


def _launch(command: list[str], launch: Any = Origin._launch) -> Any:
    """Fork the server, unless it is not to be started as Origin does it."""
    return _Forked(command[-1]) if command[0] == sys.executable else launch(command)


class _Forked:
    """A server process, with what an origin asks of `subprocess.Popen`."""

    def __init__(self, options: str) -> None:
        (commands, to_it), (from_it, answers) = os.pipe(), os.pipe()
        self.stdin, self.stdout = os.fdopen(to_it, "wb"), os.fdopen(from_it, "rb")
        its = Connection(commands, writable=False), Connection(answers, readable=False)
        self._process = _FORKING.Process(target=_serve, args=(*its, options), daemon=True)
        self._process.start()
        for each in its:
            each.close()
        self.pid = self._process.pid
        self.kill = self._process.kill

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> None:
        self._process.join(timeout)
        if self._process.is_alive():
            raise subprocess.TimeoutExpired("the origin", timeout or 0.0)


def _serve(commands: Connection, answers: Connection, options: str) -> None:
    """In the new process: its pipes become what the server reads and writes."""
    with commands, answers:
        sys.stdin = os.fdopen(os.dup(commands.fileno()))
        sys.stdout = os.fdopen(os.dup(answers.fileno()), "w")
    main(options)
