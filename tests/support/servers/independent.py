"""Two independent HTTP/3 servers as context managers: Caddy (quic-go) and gtlsserver (ngtcp2).

A machine without them skips the tests that need them, unless QUIVER_REQUIRE_SERVERS=1, when the
absence is a failure.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from quiver.testing import Authority, pattern
from tests.support.clients.bare import BareClient

__all__ = ["LARGE", "SERVERS", "Caddy", "Gtls", "StaticServer", "free_port", "required"]

LARGE = pattern(1024 * 1024)  # what /large serves
_READY_TIMEOUT = 15.0
_MORE_PATH = ("/usr/sbin", "/usr/local/bin")
_CADDYFILE = """
{{
  admin off
  auto_https off
  default_sni localhost
  {options}
}}
https://localhost:{port}, https://127.0.0.1:{port} {{
  tls {certfile} {keyfile} {tls}
  root * {www}
  handle /echo {{
    respond "{{http.request.body}}" 200
  }}
  handle /sink {{
    @read expression `{{http.request.body}} != "."`
    respond @read "ok" 200
  }}
  {more}
  file_server
}}
"""


class StaticServer:
    """A server of the files /small (`ok`) and /large (1 MiB), in its own process.

    `can_echo` says whether POST /echo returns the body.
    """

    binary = ""
    can_echo = False

    def __init__(self, authority: Authority, *flags: str) -> None:
        self.cafile = authority.cafile
        self.port = free_port()
        self._certfile, self._keyfile = authority.issue()
        self._flags = flags
        self._program = self.locate()
        self._folder = tempfile.TemporaryDirectory(prefix="quiver-server-")
        self._process: subprocess.Popen[bytes] | None = None
        self._lay_out(Path(self._folder.name))

    @property
    def url(self) -> str:
        """`https://localhost:PORT`, without a slash at the end."""
        return f"https://localhost:{self.port}"

    @property
    def pid(self) -> int:
        """The OS process id of the running server."""
        assert self._process is not None, "the server does not run"
        return self._process.pid

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        self._folder.cleanup()

    def start(self) -> None:
        """Start it, and wait until it has answered an HTTP/3 request."""
        folder = Path(self._folder.name)
        places = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env={**os.environ, **places},
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """SIGKILL: gone without a word."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """SIGTERM: it says goodbye, and ends when it has done what it means to do."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait(_READY_TIMEOUT)

    def restart(self) -> None:
        """Kill it if it runs, and start it anew on the same port."""
        self.kill()
        self.start()

    def suspend(self) -> None:
        """SIGSTOP: the port stays open, nothing answers. Returns when each thread has stopped."""
        os.kill(self.pid, signal.SIGSTOP)
        # One thread takes the signal and tells the others, which may still be answering meanwhile.
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """SIGCONT, after `suspend`."""
        os.kill(self.pid, signal.SIGCONT)

    def log(self) -> str:
        """What the server has written."""
        return Path(self._folder.name, "log").read_text(errors="replace")

    def add_file(self, name: str, size: int) -> str:
        """Have /NAME serve a sparse file of `size` bytes, marked all over; return its SHA-256."""
        path = Path(self._folder.name, "www", name)
        with path.open("w+b") as file:
            file.truncate(size)
            for offset in range(0, size - 16, 99_991):
                file.seek(offset)
                file.write(b"%d" % offset)
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()

    @classmethod
    def locate(cls) -> str:
        """The path of its program."""
        return _found(cls.binary)

    def _lay_out(self, folder: Path) -> None:
        www = folder / "www"
        www.mkdir()
        (www / "small").write_bytes(b"ok")
        (www / "large").write_bytes(LARGE)

    def _command(self, folder: Path) -> list[str]:
        raise NotImplementedError

    def _wait_until_ready(self) -> None:
        due = time.monotonic() + _READY_TIMEOUT
        while True:
            assert self._process is not None
            if self._process.poll() is not None:
                pytest.fail(f"{self.binary} ended at once:\n{self.log()}")
            if self._answers():
                return
            if time.monotonic() > due:
                pytest.fail(f"{self.binary} does not answer:\n{self.log()}")
            threading.Event().wait(0.02)

    def _answers(self) -> bool:
        try:
            with BareClient(self.port, self.cafile, timeout=1.0) as client:
                return client.get("/small").body == b"ok"
        except OSError:  # refused, closed, or no answer yet
            return False


class Caddy(StaticServer):
    """Caddy: Go, quic-go; HTTP/1.1, 2 and 3 on one port.

    Args:
        more: further lines of the site's block.
        tls: a block for its `tls` line.
        options: further global ones.
    """

    binary = "caddy"
    can_echo = True

    def __init__(
        self,
        authority: Authority,
        *flags: str,
        more: str = "",
        tls: str = "",
        options: str = "",
    ) -> None:
        self._blocks = {"more": more, "tls": tls, "options": options}
        super().__init__(authority, *flags)

    def _lay_out(self, folder: Path) -> None:
        super()._lay_out(folder)
        text = _CADDYFILE.format(
            port=self.port,
            certfile=self._certfile,
            keyfile=self._keyfile,
            www=folder / "www",
            **self._blocks,
        )
        (folder / "Caddyfile").write_text(text)

    def _command(self, folder: Path) -> list[str]:
        file = str(folder / "Caddyfile")
        return [self._program, "run", "--config", file, "--adapter", "caddyfile", *self._flags]


class Gtls(StaticServer):
    """gtlsserver: C, ngtcp2 and nghttp3. Takes flags such as `-V` (Retry) or `--tx-loss=0.05`."""

    binary = "gtlsserver"

    def _command(self, folder: Path) -> list[str]:
        files = ["-d", str(folder / "www")]
        place = ["127.0.0.1", str(self.port), self._keyfile, self._certfile]
        return [self._program, "-q", *files, *self._flags, *place]


SERVERS: tuple[type[StaticServer], ...] = (Caddy, Gtls)


def _found(binary: str) -> str:
    # Not in our own environment, which tox has on the path: there are those that pip brings.
    ours = sysconfig.get_path("scripts")
    path = [each for each in os.get_exec_path() if each != ours]
    return required(shutil.which(binary, path=os.pathsep.join([*path, *_MORE_PATH])), binary)


def required(program: str | Path | None, name: str) -> str:
    """Return where it is; skip the test if that is nowhere, or fail it where servers must be."""
    if program is None:
        words = f"{name} is not installed"
        if os.environ.get("QUIVER_REQUIRE_SERVERS") == "1":
            pytest.fail(words)
        pytest.skip(words)
    return str(program)


def free_port() -> int:
    """A port that is free for TCP and UDP now: the kernel chooses it for TCP alone."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
        ):
            stream.bind(("127.0.0.1", 0))
            port = int(stream.getsockname()[1])
            try:
                datagram.bind(("127.0.0.1", port))
            except OSError:  # a UDP socket has it: often one of a test's clients
                continue
            return port
