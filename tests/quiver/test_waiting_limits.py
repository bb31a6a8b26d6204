"""The limits that one request brings for its waiting: connect_timeout and checkout_timeout."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import quiver
from quiver.testing import Authority, Origin
from tests.support.blackhole import blackhole
from tests.support.waiting import until


@pytest.fixture
def narrow(authority: Authority) -> Iterator[quiver.Client]:
    options = {"max_connections": 1, "max_streams_per_connection": 1, "cafile": authority.cafile}
    with quiver.Client(pools={"default": options}) as client:
        yield client


def test_a_caller_that_waits_for_no_connection_any_longer(narrow: quiver.Client) -> None:
    with blackhole() as port:
        began = time.monotonic()
        with pytest.raises(quiver.ConnectTimeout, match=r"connect_timeout=0\.2 seconds") as caught:
            narrow.get(f"https://127.0.0.1:{port}/", connect_timeout=0.2)
        assert 0.2 <= time.monotonic() - began < 1.0
        assert caught.value.unprocessed


def test_the_dial_goes_on_for_the_others(narrow: quiver.Client) -> None:
    with blackhole() as port:
        url = f"https://127.0.0.1:{port}"
        with pytest.raises(quiver.ConnectTimeout):
            narrow.get(url, connect_timeout=0.05)
        assert narrow.stats(url).connections == 1


def test_a_connection_that_is_full_is_no_missing_one(narrow: quiver.Client, origin: Origin) -> None:
    """Whoever would wait only so long for a handshake waits for a slot as others do."""
    pool = narrow.pool(origin.url)
    held = pool.ask(quiver.Request("GET", "/delay/0.6"), block=False)
    late = quiver.Request("GET", "/ok", connect_timeout=0.3)
    replies = [pool.ask(late, block=False)]  # while there is no connection yet
    until(lambda: narrow.stats(origin.url).active == 1)
    replies.append(pool.ask(late, block=False))
    assert [reply.get(timeout=5.0).status for reply in replies] == [200, 200]
    assert held.get(timeout=5.0).status == 200


def test_the_checkout_timeout_of_a_request(narrow: quiver.Client, origin: Origin) -> None:
    held = narrow.pool(origin.url).ask(quiver.Request("GET", "/hang?id=slot"), block=False)
    until(lambda: origin.seen("slot"))
    with pytest.raises(quiver.CheckoutTimeout, match=r"checkout_timeout=0\.2 "):
        narrow.get(origin.url + "/ok", checkout_timeout=0.2)
    held.cancel()


def test_what_the_server_says_it_did_not_do() -> None:
    assert quiver.GoAway("said").unprocessed
    assert quiver.StreamReset("rejected", code=0x10B).unprocessed
    assert not quiver.StreamReset("an error", code=0x102).unprocessed
    assert not quiver.ReceiveTimeout("silence").unprocessed


@pytest.mark.parametrize("limit", ["checkout_timeout", "connect_timeout"])
def test_a_limit_is_above_zero(limit: str) -> None:
    with pytest.raises(quiver.InvalidRequest, match=f"{limit}=0"):
        quiver.Request("GET", "/", **{limit: 0})  # type: ignore[arg-type]
