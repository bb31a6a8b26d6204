"""Fixtures of the tests against a live origin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import quiver
from quiver.testing import Origin
from tests.support.network.host_names import Names


@pytest.fixture
def client(origin: Origin) -> Iterator[quiver.Client]:
    """A client that trusts the origin, and has default options otherwise."""
    with quiver.Client(pools={"default": {"cafile": origin.cafile}}) as made:
        yield made


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    """Names of the test's own."""
    made = Names(monkeypatch)
    yield made
    made.released.set()
