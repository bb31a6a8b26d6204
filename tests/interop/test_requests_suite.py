"""requests' own tests by our adapter, where httpbin stands behind Caddy: what fails, and why.

They are run three times: where all of httpbin is `https://`, over HTTP/3; and as they are, where
most of it is `http://`, by requests' own TCP and by ours. What fails is run by requests' own
adapter as well: what fails by that too says nothing of ours. A test means `http://`, say, or needs
an address where nobody answers.

    make test PYTEST_ARGS="-n 0 -m slow tests/interop/test_requests_suite.py"

It takes five minutes, and a package index that has the sources of requests.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quiver.testing import Authority
from tests.support.cases.requests_suite import Suite, fetched

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_500)]

LOW, TLS = "tests/test_lowlevel.py::test_", "tests/test_requests.py::TestPreparingURLs::test_"
_CASE = "it compares names of fields with their case, and over our own TCP they are in lower case"
_POOLS = "it counts urllib3's pools, where the connections are ours"

# The tests that fail by our adapter alone, by what is in their names, with the reason.
DIFFERENCES: dict[str, dict[str, str]] = {
    "quiver": {},
    "over quivers": {
        LOW + "use_proxy_from_environment": "a proxy of socks5:// is refused by name",
        LOW + "chunked_upload_uses_only_specified_host_header": _CASE,
        LOW + "chunked_upload_doesnt_skip_host_header": _CASE,
        LOW + "digestauth_401_count_reset_on_redirect": _CASE,
        LOW + "digestauth_401_only_sent_once": _CASE,
        LOW + "chunked_encoding_error": "what breaks off right behind its head is ConnectionError",
        LOW + "conflicting_content_lengths": "a malformed response is ConnectionError",
        TLS + "different_connection_pool_for_tls_settings": _POOLS,
    },
}


@pytest.fixture(scope="module")
def suite(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    with fetched(tmp_path_factory.mktemp("requests"), authority) as made:
        yield made


@pytest.mark.parametrize(
    ("adapter", "over_http", "least"),
    [("quiver", False, 200), ("quiver", True, 3), ("over quivers", True, 3)],
    ids=["https", "http", "http over quivers"],
)
def test_what_fails_by_ours_alone(suite: Suite, adapter: str, over_http: bool, least: int) -> None:
    ours = suite.run(adapter, over_http=over_http)
    assert ours.versions["30"] >= least, "too little of it went over HTTP/3"
    stock = suite.run("stock", *ours.failed, over_http=over_http) if ours.failed else ours
    different = {name: said for name, said in ours.failed.items() if name not in stock.failed}
    known = tuple(DIFFERENCES[adapter])
    assert all(name.startswith(known) for name in different), "\n\n".join(different.values())
