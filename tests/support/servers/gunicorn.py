"""A gunicorn of its own, with one prefork worker, on a socket in the file system."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import attrs

from tests.support.programs.runner import ROOT
from tests.support.waiting import until

__all__ = ["Gunicorn", "gunicorn"]


@attrs.frozen
class Gunicorn:
    """One that runs. `pid` is the arbiter's."""

    pid: int
    place: Path
    logfile: Path

    def ask(self, path: str = "/") -> bytes:
        """The whole answer, its head included."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20.0)
            connection.connect(str(self.place))
            connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = b""
            while chunk := connection.recv(4096):
                answer += chunk
            return answer

    def log(self) -> str:
        return self.logfile.read_text()


@contextmanager
def gunicorn(app: str, worker: str, folder: Path) -> Iterator[Gunicorn]:
    """Run `app`, the text of a module that defines `app`, which is loaded before the fork.

    Args:
        worker: "sync" or "gevent".
        folder: for its files.
    """
    (folder / "service.py").write_text(app)
    place, logfile = folder / "socket", folder / "log"
    # One worker: a second that still boots may miss the SIGTERM at the end.
    command = ["-m", "gunicorn", "--preload", "-w", "1", "-k", worker, "-b", f"unix:{place}"]
    command += ["--no-control-socket"] if _has_control_socket() else []
    with logfile.open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, *command, "service:app"],
            cwd=folder,
            env={"PYTHONPATH": f"{ROOT}:{folder}", "HOME": str(folder)},
            stdout=log,
            stderr=log,
        )
    made = Gunicorn(server.pid, place, logfile)
    try:
        # The file is there sooner: when the socket is bound, and still refuses.
        until(lambda: "Listening at" in made.log() or server.poll() is not None, within=20.0)
        yield made
    finally:
        server.terminate()
        try:
            server.wait(10.0)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            raise


@cache
def _has_control_socket() -> bool:
    command = [sys.executable, "-m", "gunicorn", "--help"]
    return "--no-control-socket" in subprocess.run(command, capture_output=True, text=True).stdout
