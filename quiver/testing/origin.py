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
from types import TracebackType
from typing import Any, Self

import attrs

from quiver.testing.authority import Authority
from quiver.testing.options import OriginOptions

__all__ = ["Origin", "OriginFailed"]

_ROOT = Path(__file__).resolve().parents[2]
_STOP_TIMEOUT = 5.0  # seconds until a server that was asked to end is killed


class OriginFailed(RuntimeError):
    """The server could not start, or is not there to be asked."""


class Origin:
    """A server process: started by `start()` or `with`, ended by `stop()` or the end of the `with`.

    Takes the options of `OriginOptions` by keyword. `authority` signs its certificate; without one
    it makes its own. `certfile` and `keyfile`, given together, replace what would be issued.
    Every method may be called from any thread. Counts begin anew when the server is restarted.
    """

    def __init__(self, *, authority: Authority | None = None, **options: Any) -> None:
        self._own = Authority() if authority is None else None
        self._authority = authority or self._own or Authority()
        if "certfile" not in options:
            options["certfile"], options["keyfile"] = self._authority.issue()
        self.options = OriginOptions(**options)
        self.port = self.options.port
        self._process: subprocess.Popen[bytes] | None = None
        self._suspended = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if self._own is not None:
            self._own.close()

    @property
    def url(self) -> str:
        """`https://localhost:PORT`, without a slash at the end."""
        return f"https://localhost:{self.port}"

    @property
    def cafile(self) -> str:
        """The path of the certificate to trust."""
        return self._authority.cafile

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

    def goaway(self, last: int | None = None) -> int:
        """Send GOAWAY on every open connection; return how many there were.

        It names the next request's id, and the connection drains; or `last`, whatever that is.
        """
        return int(self._ask("goaway", last=last)["connections"])

    def disconnect(self, code: int = 0x100, reason: str = "", *, transport: bool = False) -> int:
        """Close every open connection with an error code; return how many.

        The code is the application's, or with `transport` one of QUIC's own (RFC 9000 20).
        """
        frame_type = 0 if transport else None  # 0: the frame to blame is not known
        command = {"code": code, "reason": reason, "frame_type": frame_type}
        return int(self._ask("disconnect", **command)["connections"])

    def allow_streams(self, streams: int) -> int:
        """Raise MAX_STREAMS to `streams` in all on every open connection; return how many."""
        return int(self._ask("allow", streams=streams)["connections"])

    def requests_served(self, path: str | None = None) -> int:
        """How many requests were taken up, in all or for one path (without its query)."""
        served = self._ask("served")
        return int(served["total"] if path is None else served["paths"].get(path, 0))

    def requests_refused(self) -> int:
        """How many requests were refused unread: beyond a GOAWAY, or by /reject."""
        return int(self._ask("served")["refused"])

    def seen(self, identifier: int | str) -> int:
        """How often a request with `?id=identifier` was taken up."""
        return self.seen_ids().get(str(identifier), 0)

    def seen_ids(self) -> dict[str, int]:
        """For every value of `?id=`, how often it was taken up."""
        ids: dict[str, int] = self._ask("served")["ids"]
        return ids

    def closes(self) -> dict[int, int]:
        """For every error code that connections ended with, how many did, on either side."""
        return {int(code): count for code, count in self._ask("served")["closes"].items()}

    def connections_open(self) -> int:
        """How many connections are open now."""
        return int(self._ask("served")["open"])

    def connections_accepted(self) -> int:
        """How many connections have been accepted since the server started."""
        return int(self._ask("served")["connections"])

    def resets(self) -> list[dict[str, Any]]:
        """RESET_STREAM and STOP_SENDING received: {"path", "kind", "code"}, in order.

        `kind` is "reset" or "stop_sending".
        """
        resets: list[dict[str, Any]] = self._ask("served")["resets"]
        return resets

    def streams_open(self) -> int:
        """How many request streams of all connections QUIC still holds here."""
        return int(self._ask("served")["streams"])

    def bytes_sent(self, path: str) -> int:
        """How many bytes of body were handed to QUIC for a path (without its query)."""
        return int(self._ask("served")["sent"].get(path, 0))

    def bytes_received(self, path: str) -> int:
        """How many bytes of body came for a path (without its query)."""
        return int(self._ask("served")["received"].get(path, 0))

    def _spawn(self) -> subprocess.Popen[bytes]:
        options = attrs.asdict(attrs.evolve(self.options, port=self.port))
        command = [sys.executable, "-m", "quiver.testing.server", json.dumps(options)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            _end(process)
            raise OriginFailed(f"the server ended at once, with status {process.returncode}")
        self.port = int(json.loads(line)["port"])
        return process

    def _ask(self, command: str, **arguments: Any) -> dict[str, Any]:
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
    """This environment, in which the package is importable from wherever it was here."""
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
