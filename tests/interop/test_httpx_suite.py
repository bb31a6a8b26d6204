"""httpx's own tests by our transports, where their server stands behind Caddy: what fails, and why.

They are run by the library's own transports as well: what fails by those too says nothing of ours
(it tells of Caddy, of http:// or of releases). httpx2's sources have no tests: it is run by those
of httpx, under that name.

    make test PYTEST_ARGS="-n 0 -m slow tests/interop/test_httpx_suite.py"

It takes two minutes, and a package index that has the sources of httpx.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quiver.testing import Authority
from tests.support.cases.httpx_suite import Suite, fetched

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]

PROTOCOL = "it expects its server's HTTP/1.1"
LIMITS = "a client's limits are of its own transport; of ours they are the options in `pools`"

# The tests that fail by our transports alone, with the reason.
DIFFERENCES = {
    "tests/test_api.py::test_get": PROTOCOL,
    "tests/test_api.py::test_stream": PROTOCOL,
}
# Those that fail or pass by chance. It waits 0.1 ms for a stream of a pool that has many, and takes
# the name for the wait that is over first.
BY_CHANCE = {"tests/test_timeouts.py::test_pool_timeout[asyncio]": LIMITS}


@pytest.fixture(scope="module")
def suite(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    with fetched(tmp_path_factory.mktemp("httpx"), authority) as made:
        yield made


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_what_fails_by_ours_alone(suite: Suite, library: str) -> None:
    pytest.importorskip(library)
    stock, ours = suite.run(library, "stock"), suite.run(library, "quiver")
    assert len(stock.passed) >= 1_000, "too little of it can be compared"
    assert ours.versions["HTTP/3"] >= 50, "too little of it went over HTTP/3"
    different = {name: said for name, said in ours.failed.items() if name not in stock.failed}
    assert different.keys() - BY_CHANCE == DIFFERENCES.keys(), "\n\n".join(different.values())
