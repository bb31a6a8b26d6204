"""requests' own tests, of the release that is installed: fetched with pip, run by our adapter."""

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
from tests.support.servers.independent import Caddy

__all__ = ["Outcome", "Suite", "fetched"]

LIMIT = 400.0  # seconds for the whole of it
_SERVER = """
from httpbin import app
from werkzeug.serving import make_server
server = make_server("127.0.0.1", 0, app, threaded=True)
print(server.port, flush=True)
server.serve_forever()
"""
# What Caddy answers itself says that it is there.
_BEFORE_IT = """
  @back not path /small /large
  handle @back {{
    reverse_proxy 127.0.0.1:{port} {{
      buffer_requests
      flush_interval -1
      transport http {{
        compression off
      }}
    }}
  }}
"""


@attrs.frozen
class Outcome:
    """How each test failed that did, and how many responses had which version (30 is HTTP/3)."""

    failed: dict[str, str]
    versions: dict[str, int]


@attrs.frozen
class Suite:
    """The tests, and httpbin behind Caddy. Files are below `folder`."""

    folder: Path
    http: str
    https: str
    cafile: str

    def run(self, adapter: str, *tests: str, over_http: bool = False) -> Outcome:
        """Run these tests, or all, by the adapter `quiver` or `stock`.

        What they ask of `http://` they get of `https://`, whose root is trusted; or else, with
        `over_http`, as it is.
        """
        report = self.folder / "report.json"
        told = {
            "SUITE_ADAPTER": adapter,
            "SUITE_HTTP": self.http if over_http else self.https,
            "SUITE_HTTPS": self.https,
            "SUITE_CAFILE": self.cafile,
            "SUITE_TRUSTED": "" if over_http else "yes",
            "SUITE_REPORT": str(report),
        }
        plugins = ("-p", "no:quiver", "-p", "no:cacheprovider", "-p", "requests_suite")
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *plugins, "--timeout=60", *(tests or ["tests"])],
            cwd=self.folder / f"requests-{version('requests')}",
            env=_environment(self.folder / "tools", ROOT, ROOT / "tests/support/programs", **told),
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert ended.returncode in (0, 1), ended.stdout + ended.stderr
        return Outcome(**json.loads(report.read_text(encoding="utf-8")))


@contextmanager
def fetched(folder: Path, authority: Authority) -> Iterator[Suite]:
    """Fetch all of it with pip, and run the servers. Skips the test where nothing can be had."""
    release = f"requests=={version('requests')}"
    _pip("download", "--no-binary", ":all:", "--no-deps", release, "-d", str(folder))
    with tarfile.open(next(folder.glob("requests-*.tar.gz"))) as sdist:
        sdist.extractall(folder, filter="data")
    _pip("install", "--no-deps", "--target", str(folder / "tools"), "trustme", "pysocks")
    # In a folder of its own, for it asks for a greenlet that would take the place of ours.
    _pip("install", "--target", str(folder / "httpbin"), "httpbin")
    with (
        _httpbin(folder / "httpbin") as port,
        Caddy(authority, more=_BEFORE_IT.format(port=port)) as caddy,
    ):
        https = f"https://127.0.0.1:{caddy.port}"
        yield Suite(folder, f"http://127.0.0.1:{port}", https, authority.cafile)


def _pip(*arguments: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pip", "-q", *arguments], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        pytest.skip(f"pip {arguments[0]}: {ended.stderr[-500:]}")


@contextmanager
def _httpbin(packages: Path) -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        env=_environment(packages),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline())
        server.kill()


def _environment(*path: Path, **told: str) -> dict[str, str]:
    return {**os.environ, **told, "PYTHONPATH": os.pathsep.join(map(str, path))}
