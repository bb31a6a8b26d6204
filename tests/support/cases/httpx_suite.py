"""httpx's own tests, of the release that is installed: fetched with pip, run by our transports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from quiver.testing import Authority
from tests.support.cases.upstream_suite import pip, run_suite, sources_of
from tests.support.servers.independent import Caddy, free_port

__all__ = ["Outcome", "Suite", "fetched"]

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
    """The tests, and Caddy before the port of their server. `tools` has what they import beside."""

    sources: Path
    tools: Path
    url: str
    cafile: str
    port: int

    def run(self, library: str, transport: str) -> Outcome:
        """Run them all for `httpx` or `httpx2`, by the transport `quiver` or `stock`."""
        told = {
            "SUITE_LIBRARY": library,
            "SUITE_TRANSPORT": transport,
            "SUITE_URL": self.url,
            "SUITE_CAFILE": self.cafile,
            "SUITE_PORT": str(self.port),
        }
        return Outcome(**run_suite(self.sources, self.tools, "httpx_suite", **told))


@contextmanager
def fetched(folder: Path, authority: Authority) -> Iterator[Suite]:
    """Fetch all of it with pip, and run Caddy. Skips the test where it cannot be had."""
    sources, tools = sources_of("httpx", folder), folder / "tools"
    pip("install", "--no-deps", "--target", str(tools), *TOOLS)
    port = free_port()
    with Caddy(authority, more=_BEFORE_IT.format(port=port)) as caddy:
        yield Suite(sources, tools, caddy.url, authority.cafile, port)
