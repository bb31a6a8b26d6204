"""The servers under the clients: Caddy with as many origins as wanted, or gtlsserver."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import socket
from contextlib import ExitStack
from pathlib import Path
from typing import Self, TypeVar

from quiver.testing import Authority, Origin
from tests.support.servers import independent

__all__ = ["MIB", "SERVERS", "Absent", "Servers"]

S = TypeVar("S", bound=independent.StaticServer)
MIB = 1024 * 1024
SERVERS = ("caddy", "gtlsserver")
_PATHS = os.pathsep.join((os.defpath, "/usr/sbin", "/usr/local/bin", os.environ.get("PATH", "")))
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
    """The server is not installed here; it says which."""


class _Caddy(independent.Caddy):
    """Many sites, each on a port of its own; /sink reads what is posted and says ok."""

    def __init__(self, authority: Authority, origins: int) -> None:
        self._origins = origins
        super().__init__(authority)

    def _lay_out(self, folder: Path) -> None:
        super()._lay_out(folder)
        _huge(folder)
        self.ports = _ports(self.port, self._origins)
        values = {"certfile": self._certfile, "keyfile": self._keyfile, "www": folder / "www"}
        head = "{\n  admin off\n  auto_https off\n  default_sni localhost\n}\n"
        sites = [_SITE.format(port=port, **values) for port in self.ports]
        (folder / "Caddyfile").write_text(head + "".join(sites))


class _Gtls(independent.Gtls):
    """Answers a POST to a file with the file, once it has read the body."""

    def _lay_out(self, folder: Path) -> None:
        super()._lay_out(folder)
        _huge(folder)
        (folder / "www" / "sink").write_bytes(b"ok")


def _ports(first: int, count: int) -> list[int]:
    """The first port and others that are free, from below those that clients' sockets get."""
    others = filter(_is_free, random.sample(range(20_000, 32_000), 12_000))
    return [first, *itertools.islice(others, count - 1)]


def _is_free(port: int) -> bool:
    """Tell whether a port is free for TCP and UDP now."""
    try:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_INET, kind) as tried:
                tried.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


def _huge(folder: Path) -> None:
    with (folder / "www" / "huge").open("wb") as file:
        file.truncate(100 * MIB)  # zeros: QUIC encrypts them like anything else


class Servers(ExitStack):
    """The servers of a run, started when first needed, and stopped at the end of the `with`.

    Caddy is one program with a site for each origin; of gtlsserver there runs one for each.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__()
        self._ports: dict[int, list[int]] = {}
        self._running: list[independent.StaticServer] = []
        self._sizes: set[int] = set()
        self._slow: Origin | None = None

    def __enter__(self) -> Self:
        if shutil.which(self.kind, path=_PATHS) is None:
            raise Absent(f"{self.kind} is not installed")
        self._authority = self.enter_context(Authority())
        return self

    @property
    def cafile(self) -> str:
        """What clients of the started servers trust."""
        return self._authority.cafile

    @property
    def over_tcp(self) -> bool:
        """Whether it speaks HTTP/1.1 and HTTP/2 too."""
        return self.kind == "caddy"

    def urls(self, path: str, origins: int = 1) -> tuple[str, ...]:
        """The URL of `path` on so many origins."""
        if origins not in self._ports:
            self._ports[origins] = self._start(origins)
        return tuple(f"https://localhost:{port}{path}" for port in self._ports[origins])

    def sized(self, size: int) -> str:
        """The URL of a body of so many bytes."""
        (url,) = self.urls(f"/{size}")
        if size not in self._sizes:
            self._sizes.add(size)
            for each in self._running:
                each.add_file(str(size), size)
        return url

    def slow(self, seconds: float) -> tuple[str, str]:
        """URL and cafile of one that answers after `seconds`: the tests' own origin."""
        if self._slow is None:
            self._slow = self.enter_context(Origin(max_streams=2_000))
        return f"{self._slow.url}/delay/{seconds}", self._slow.cafile

    def _start(self, origins: int) -> list[int]:
        if self.kind == "caddy":
            return self._enter(_Caddy(self._authority, origins)).ports
        return [self._enter(_Gtls(self._authority)).port for _ in range(origins)]

    def _enter(self, server: S) -> S:
        self._running.append(self.enter_context(server))
        return server
