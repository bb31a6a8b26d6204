"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from importlib import import_module

import pytest
from hypothesis import settings

from quiver.actors import log
from quiver.testing import Authority, Origin
from tests.support.one_parser import parse_one_at_a_time
from tests.support.servers.forked_origins import fork_origins
from tests.support.short_form import thin_out
from tests.support.untraced_greenlets import forget_greenlets_untraced

# One example's time is no property: a loaded machine would fail it. A test has a limit.
settings.register_profile("quiver", deadline=None, max_examples=25)
settings.register_profile("long", deadline=None)
settings.load_profile("quiver")
forget_greenlets_untraced()
parse_one_at_a_time()

# A machine may have proxies in its environment, of which each client would warn.
for _name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[_name]

# Where coverage sees it: at its first use it would be imported in a thread that is not traced.
for each in ("fields", "telemetry", "required_names", "client", "pool.tcp_stack"):
    import_module(f"quiver.{each}")

# A shell has what it runs in the background ignore Ctrl-C, and so would all that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
fork_origins()


TAKE_LONG = ("tests/faults/", "tests/quiver/quic/test_hostile_floods.py", "tests/test_")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two for each core, as the tests wait for more than half of their time; six at the most."""
    return min(2 * (os.cpu_count() or 1), 6)


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what is marked
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with files that take long, or one of them would be the last to end."""
    thin_out(items)
    items.sort(key=lambda item: not item.nodeid.startswith(TAKE_LONG))


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


@pytest.fixture(autouse=True)
def _records_are_told() -> Iterator[None]:
    """What the loop has logged in one test is not told in the next."""
    yield
    log.flush(5.0)
