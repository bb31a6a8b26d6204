"""One origin for all tests of a file, and a client with one connection to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import quiver
from quiver.testing import Authority, Origin
from tests.support.stream_account import Account, client_of


@pytest.fixture(scope="module")
def origin(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


@pytest.fixture
def client(origin: Origin) -> Iterator[quiver.Client]:
    with client_of(origin) as made:
        yield made


@pytest.fixture
def account(origin: Origin, client: quiver.Client) -> Account:
    return Account(origin, client)
