"""One origin for all tests of a file, and a bare client of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quiver.testing import Authority, Origin
from tests.support.clients.bare_streams import StreamClient


@pytest.fixture(scope="module")
def shared(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


@pytest.fixture
def client(shared: Origin) -> Iterator[StreamClient]:
    with StreamClient(shared.port, shared.cafile) as connected:
        yield connected
