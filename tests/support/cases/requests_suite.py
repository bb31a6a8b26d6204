"""requests' own tests, of the release that is installed: fetched with pip, run by our adapter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from quiver.testing import Authority
from tests.support.cases.upstream_suite import environment, pip, run_suite, sources_of
from tests.support.servers.independent import Caddy

__all__ = ["Outcome", "Suite", "fetched"]

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
    """The tests, and httpbin behind Caddy. `tools` has what they import beside."""

    sources: Path
    tools: Path
    http: str
    https: str
    cafile: str

    def run(self, adapter: str, *tests: str, over_http: bool = False) -> Outcome:
        """Run these tests, or all, by the adapter `quiver`, `over quivers` or `stock`.

        What they ask of `http://` they get of `https://`, whose root is trusted; or else, with
        `over_http`, as it is.
        """
        told = {
            "SUITE_ADAPTER": adapter,
            "SUITE_HTTP": self.http if over_http else self.https,
            "SUITE_HTTPS": self.https,
            "SUITE_CAFILE": self.cafile,
            "SUITE_TRUSTED": "" if over_http else "yes",
        }
        return Outcome(**run_suite(self.sources, self.tools, "requests_suite", *tests, **told))


@contextmanager
def fetched(folder: Path, authority: Authority) -> Iterator[Suite]:
    """Fetch all of it with pip, and run the servers. Skips the test where nothing can be had."""
    sources, tools = sources_of("requests", folder), folder / "tools"
    pip("install", "--no-deps", "--target", str(tools), "trustme", "pysocks")
    # In a folder of its own, for it asks for a greenlet that would take the place of ours.
    pip("install", "--target", str(folder / "httpbin"), "httpbin")
    with (
        _httpbin(folder / "httpbin") as port,
        Caddy(authority, more=_BEFORE_IT.format(port=port)) as caddy,
    ):
        https = f"https://127.0.0.1:{caddy.port}"
        yield Suite(sources, tools, f"http://127.0.0.1:{port}", https, authority.cafile)


@contextmanager
def _httpbin(packages: Path) -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        env=environment(packages),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline())
        server.kill()
