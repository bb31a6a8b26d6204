"""Quiver's pytest plugin: the fixtures `http3_origin` and `http3_authority`.

Installed with `quiver-http3[testing]`, it is there in every test run; `-p no:quiver` leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quiver.testing.authority import Authority
from quiver.testing.local import LocalOrigin
from quiver.testing.options import OriginKeywords

__all__ = ["http3_authority", "http3_origin", "pytest_configure"]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "http3_origin(**options): how the origin behaves, see quiver.testing"
    )


@pytest.fixture(scope="session")
def http3_authority() -> Iterator[Authority]:
    """One throw-away certificate authority for the whole run: trust its `cafile`."""
    with Authority() as authority:
        yield authority


@pytest.fixture
def http3_origin(
    request: pytest.FixtureRequest, http3_authority: Authority
) -> Iterator[LocalOrigin]:
    """An HTTP/3 origin of the test's own, on loopback, that takes routes by decorator.

    `@pytest.mark.http3_origin(max_streams=1)` gives it options, the nearest mark the last word.
    An error that a route raised is the test's.
    """
    options: OriginKeywords = {}
    for mark in reversed(list(request.node.iter_markers("http3_origin"))):
        options.update(mark.kwargs)
    with LocalOrigin(authority=http3_authority, **options) as origin:
        yield origin
