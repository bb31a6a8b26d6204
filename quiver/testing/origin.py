"""An HTTP/3 origin in its own OS process, held from here."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Unpack

import attrs

from quiver.testing.authority import Authority
from quiver.testing.control import Control, OriginFailed
from quiver.testing.options import CommandArguments, OriginKeywords

__all__ = ["Origin"]

_ROOT = Path(__file__).resolve().parents[2]
_STOP_TIMEOUT = 5.0  # seconds until a server that was asked to end is killed


class Origin(Control):
    """A server process: started by `start()` or `with`, ended by `stop()` or the end of the `with`.

    Takes the options of `OriginOptions` by keyword. `authority` signs its certificate; without one
    it makes its own. `certfile` and `keyfile`, given together, replace what would be issued.
    Every method may be called from any thread. Counts begin anew when the server is restarted.
    """

    def __init__(
        self, *, authority: Authority | None = None, **options: Unpack[OriginKeywords]
    ) -> None:
        super().__init__(authority=authority, **options)
        self._process: subprocess.Popen[bytes] | None = None
        self._suspended = False
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        """The server's OS process id. Raises OriginFailed when it does not run."""
        return self._running().pid

    def start(self) -> None:
        """Start the server and wait until its port is bound. Raises OriginFailed if it cannot."""
        with self._lock:
            if self._process is None:
                self._process = self._spawn()

    def stop(self) -> None:
        """End the server: its clients get CONNECTION_CLOSE. Does nothing when it does not run."""
        with self._lock:
            process, self._process = self._process, None
            if process is None:
                return
            if self._suspended:
                process.kill()
            self._suspended = False
            _end(process)

    def kill(self) -> None:
        """SIGKILL: the server is gone without a word, and its port refuses."""
        with self._lock:
            process, self._process = self._process, None
            self._suspended = False
            if process is not None:
                process.kill()
                _end(process)

    def restart(self) -> None:
        """Kill the server if it runs, and start it anew on the same port."""
        self.kill()
        self.start()

    def suspend(self) -> None:
        """SIGSTOP: the port stays open and nothing answers."""
        with self._lock:  # not in the middle of a question, which would then block
            os.kill(self.pid, signal.SIGSTOP)
            self._suspended = True

    def resume(self) -> None:
        """SIGCONT, after `suspend`."""
        with self._lock:
            os.kill(self.pid, signal.SIGCONT)
            self._suspended = False

    def _spawn(self) -> subprocess.Popen[bytes]:
        process = self._launch(self._command())
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
        except BaseException:  # interrupted: nobody would know of it
            process.kill()
            _end(process)
            raise
        if not line:
            _end(process)
            raise OriginFailed(f"the server ended at once, with status {process.returncode}")
        began = json.loads(line)
        if "failed" in began:
            _end(process)
            raise OriginFailed(f"the server could not start, port={self.port}: {began['failed']}")
        self.port = int(began["port"])
        return process

    def _command(self) -> list[str]:
        options = attrs.asdict(attrs.evolve(self.options, port=self.port))
        return [sys.executable, "-m", "quiver.testing.server", json.dumps(options)]

    @staticmethod
    def _launch(command: list[str]) -> subprocess.Popen[bytes]:
        # In a group of its own: Ctrl-C at a terminal is the program's, which may want it still.
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=_environment(),
            process_group=0,
        )

    def _ask(self, command: str, **arguments: Unpack[CommandArguments]) -> dict[str, Any]:
        with self._lock:
            process = self._running()
            if self._suspended:
                raise OriginFailed("the server is suspended, and cannot answer until resume()")
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
                process.stdin.flush()
                line = process.stdout.readline()
            except OSError as error:
                raise OriginFailed(f"the server does not answer: {error}") from error
        if not line:
            raise OriginFailed("the server has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise OriginFailed("the server does not run")
        return self._process


def _environment() -> dict[str, str]:
    """Return this environment, with the package importable from wherever it was here."""
    known = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(part for part in (str(_ROOT), known) if part)
    return {**os.environ, "PYTHONPATH": path}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the pipes, which ends the server, and reap it."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):  # a command was still unsent
                pipe.close()
    try:
        process.wait(_STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
