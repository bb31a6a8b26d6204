"""requests' own tests by our adapter, where httpbin stands behind Caddy: what fails, and why.

They are run twice: where all of httpbin is `https://`, over HTTP/3; and as they are, where most of
it is `http://`. What fails is run by requests' own adapter as well: what fails by that too says
nothing of ours. A test means `http://`, say, or needs an address where nobody answers.

    make test PYTEST_ARGS="-n 0 -m slow tests/interop/test_requests_suite.py"

It takes three minutes, and a package index that has the sources of requests.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quiver.testing import Authority
from tests.support.cases.requests_suite import Suite, fetched

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_500)]

# The tests that fail by our adapter alone, with the reason.
DIFFERENCES: dict[str, str] = {}


@pytest.fixture(scope="module")
def suite(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    with fetched(tmp_path_factory.mktemp("requests"), authority) as made:
        yield made


@pytest.mark.parametrize(("over_http", "least"), [(False, 200), (True, 3)], ids=["https", "http"])
def test_what_fails_by_ours_alone(suite: Suite, over_http: bool, least: int) -> None:
    ours = suite.run("quiver", over_http=over_http)
    assert ours.versions["30"] >= least, "too little of it went over HTTP/3"
    stock = suite.run("stock", *ours.failed, over_http=over_http) if ours.failed else ours
    different = {name: said for name, said in ours.failed.items() if name not in stock.failed}
    assert different.keys() <= DIFFERENCES.keys(), "\n\n".join(different.values())
