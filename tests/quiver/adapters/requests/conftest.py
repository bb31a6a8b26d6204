"""One origin for all tests of a file, and a session over HTTP/3 alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from quiver.adapters.requests import HTTP3Adapter
from quiver.testing import Authority, Origin


@pytest.fixture(scope="module")
def origin(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


@pytest.fixture
def session(origin: Origin) -> Iterator[requests.Session]:
    with requests.Session() as made:
        made.trust_env = False
        made.verify = origin.cafile
        made.mount("https://", HTTP3Adapter(fallback=False))
        yield made
