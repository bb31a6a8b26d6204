"""Fixtures of the transports' tests: one origin, and both libraries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from quiver.adapters.httpx import HTTP3Transport
from quiver.testing import Authority, Origin


@pytest.fixture(scope="module")
def origin(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


@pytest.fixture(params=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> Any:
    """httpx, then httpx2."""
    return pytest.importorskip(request.param)


@pytest.fixture
def client(library: Any, origin: Origin) -> Iterator[Any]:
    """A client of the library, without TCP."""
    with library.Client(
        transport=HTTP3Transport(verify=origin.cafile, fallback=False), timeout=60.0
    ) as made:
        yield made
