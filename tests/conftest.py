"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from quiver.testing import Authority, Origin


@pytest.fixture(scope="session")
def authority() -> Iterator[Authority]:
    """One throw-away CA for the whole run."""
    with Authority() as made:
        yield made


@pytest.fixture
def origin(authority: Authority) -> Iterator[Origin]:
    """A fresh origin in its own process, with its own counts."""
    with Origin(authority=authority) as started:
        yield started
