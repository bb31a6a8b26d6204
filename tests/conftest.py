"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from quiver.testing import Authority, Origin
from tests.support.forgetting import forget_greenlets_untraced

# One example's time is no property: a loaded machine would fail it. A test has 60 seconds.
settings.register_profile("quiver", deadline=None)
settings.load_profile("quiver")
forget_greenlets_untraced()


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
