"""The servers under the clients: Caddy with as many origins as wanted, or gtlsserver."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from quiver.testing import Authority, Origin
from tests.support import servers

__all__ = ["MIB", "SERVERS", "Absent", "Servers"]

MIB = 1024 * 1024
SERVERS = ("caddy", "gtlsserver")
_SITE = """
https://localhost:{port}, https://127.0.0.1:{port} {{
  tls {certfile} {keyfile}
  root * {www}
  handle /sink {{
    map {{http.request.body}} {{read}} {{
      default ok
    }}
    respond "{{read}}" 200
  }}
  file_server
}}
"""


class Absent(Exception):
    """What is asked for is not installed here, or not to be had so; it says what is missing."""


class _Caddy(servers.Caddy):
    """Many sites, each on a port of its own; /sink reads what is posted and says ok."""

    def __init__(self, authority: Authority, origins: int) -> None:
        self._extra = [servers._free_port() for _ in range(origins - 1)]
        super().__init__(authority)

    @property
    def ports(self) -> list[int]:
        return [self.port, *self._extra]

    def _lay_out(self, folder: Path) -> None:
        super()._lay_out(folder)
        _huge(folder)
        values = {"certfile": self._certfile, "keyfile": self._keyfile, "www": folder / "www"}
        head = "{\n  admin off\n  auto_https off\n  default_sni localhost\n}\n"
        sites = [_SITE.format(port=port, **values) for port in self.ports]
        (folder / "Caddyfile").write_text(head + "".join(sites))


class _Gtls(servers.Gtls):
    """Answers a POST to a file with the file, once it has read the body."""

    def _lay_out(self, folder: Path) -> None:
        super()._lay_out(folder)
        _huge(folder)
        (folder / "www" / "sink").write_bytes(b"ok")


def _huge(folder: Path) -> None:
    with (folder / "www" / "huge").open("wb") as file:
        file.truncate(100 * MIB)  # zeros: QUIC encrypts them like anything else


class Servers:
    """Started when first needed, one of each kind, and stopped at the end of the `with`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._stack = ExitStack()
        self._started: dict[int, _Caddy | _Gtls] = {}
        self._slow: Origin | None = None

    def __enter__(self) -> Self:
        if shutil.which(self.kind, path="/usr/sbin:/usr/local/bin:/usr/bin:/bin") is None:
            raise Absent(f"{self.kind} is not installed")
        self._authority = self._stack.enter_context(Authority())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def cafile(self) -> str:
        """What clients of the started servers trust."""
        return self._authority.cafile

    def urls(self, path: str, origins: int = 1) -> tuple[str, ...]:
        """The URL of `path` on so many origins. Raises Absent: gtlsserver is one origin."""
        server = self._server(origins)
        ports = server.ports if isinstance(server, _Caddy) else [server.port]
        return tuple(f"https://localhost:{port}{path}" for port in ports)

    def slow(self, seconds: float) -> tuple[str, str]:
        """URL and cafile of one that answers after `seconds`: the tests' own origin."""
        if self._slow is None:
            self._slow = self._stack.enter_context(Origin(max_streams=2_000))
        return f"{self._slow.url}/delay/{seconds}", self._slow.cafile

    def _server(self, origins: int) -> _Caddy | _Gtls:
        if origins not in self._started:
            server = self._made(origins)
            self._stack.enter_context(server)
            self._started[origins] = server
        return self._started[origins]

    def _made(self, origins: int) -> _Caddy | _Gtls:
        if self.kind == "caddy":
            return _Caddy(self._authority, origins)
        if origins > 1:
            raise Absent("gtlsserver serves one origin: use Caddy for more")
        return _Gtls(self._authority)
