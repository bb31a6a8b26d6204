"""The limits that one request brings for its waiting: connect_timeout and checkout_timeout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

import quiver
from quiver.testing import Authority, Origin
from tests.support.network.conditions import Conditions
from tests.support.network.host_names import Names
from tests.support.network.relay import Relay
from tests.support.servers.blackhole import blackhole
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
        assert 0.2 <= time.monotonic() - began < 4.0  # five by default
        assert caught.value.unprocessed


LIMITS: dict[str, tuple[dict[str, float], dict[str, Any], str]] = {
    "equal, as by default": ({"connect_timeout": 0.3, "checkout_timeout": 0.3}, {}, "connect"),
    "the pool's": ({"checkout_timeout": 0.3}, {}, "checkout"),
    "the request's": ({}, {"checkout_timeout": 0.3}, "checkout"),
    "the dial's": ({"connect_timeout": 0.3}, {}, "connect"),
}
Limited = Callable[..., AbstractContextManager[quiver.Client]]


@pytest.fixture
def limited(authority: Authority) -> Limited:
    """A client with these options, of HTTP/3 alone: TCP's refusal is told beside silence."""
    cafile = authority.cafile
    return lambda **options: quiver.Client(
        pools={"default": {"cafile": cafile, **options}}, protocols=("h3",)
    )


@pytest.mark.parametrize("name", LIMITS)
def test_no_connection_is_the_cause_whichever_limit_ends_the_wait(
    limited: Limited, name: str
) -> None:
    options, request, limit = LIMITS[name]
    with blackhole() as port, limited(**options) as client:
        for _ in range(2):
            with pytest.raises(quiver.ConnectTimeout) as caught:
                client.get(f"https://127.0.0.1:{port}/", **request)
            said = f"{limit}_timeout=0.3 seconds: 127.0.0.1:{port} answered nothing"
            assert caught.value.message == f"no connection within {said}"
            assert caught.value.unprocessed


def test_a_server_that_answers_and_does_not_finish(authority: Authority, limited: Limited) -> None:
    """Its certificate fills more datagrams than the first, and no other arrives."""
    names = [f"h{number}.example" for number in range(300)]
    certfile, keyfile = authority.issue(["localhost", *names])
    with (
        Origin(authority=authority, certfile=certfile, keyfile=keyfile) as origin,
        Relay(origin.port) as relay,
        limited(checkout_timeout=0.5) as client,
    ):
        relay.become(down=Conditions(lose=set(range(1, 1_000))))
        with pytest.raises(quiver.ConnectTimeout, match="answered, but the handshake was not over"):
            client.get(relay.url + "/ok")


def test_a_request_that_ran_out_of_time_says_what_it_waited_for(limited: Limited) -> None:
    with blackhole() as port, limited() as client:
        with pytest.raises(quiver.RequestTimeout) as caught:
            client.get(f"https://127.0.0.1:{port}/", timeout=0.2)
        limit = "the request's timeout=0.2 seconds"
        said = f"no connection within {limit}: 127.0.0.1:{port} answered nothing"
        assert caught.value.message == said
        assert type(caught.value.__cause__) is quiver.ConnectTimeout


def test_so_does_an_ask_that_ran_out_of_time(limited: Limited, origin: Origin) -> None:
    """That the pool knows nothing of: it is whoever asks who has waited for so long."""
    with blackhole() as port, limited() as client:
        pool = client.pool(f"https://127.0.0.1:{port}")
        with pytest.raises(quiver.RequestTimeout) as caught:
            pool.ask(quiver.Request("GET", "/"), timeout=0.2)
        limit = "the ask's timeout=0.2 seconds"
        said = f"no connection within {limit}: 127.0.0.1:{port} answered nothing"
        assert caught.value.message == said
        assert type(caught.value.__cause__) is quiver.ConnectTimeout
        there = client.pool(origin.url)
        assert there.ask(quiver.Request("GET", "/ok"), timeout=10.0).status == 200
        with pytest.raises(quiver.RequestTimeout, match=r"no answer within timeout=0\.2"):
            there.ask(quiver.Request("GET", "/delay/5"), timeout=0.2)


@pytest.mark.parametrize("limit", ["connect_timeout", "checkout_timeout"])
def test_a_look_up_that_hangs(limited: Limited, names: Names, limit: str) -> None:
    host = f"slow-{limit.partition('_')[0]}.invalid"  # a look-up that goes on is shared by its name
    names.slow.add(host)
    said = rf"{limit}=0\.3 seconds: the name was still being resolved"
    failing = pytest.raises(quiver.NameResolutionFailed, match=said)
    with limited(**{limit: 0.3}) as client, failing as caught:
        client.get(f"https://{host}/ok")
    assert isinstance(caught.value, quiver.ConnectTimeout)


def test_the_dial_goes_on_for_the_others(narrow: quiver.Client) -> None:
    with blackhole() as port:
        url = f"https://127.0.0.1:{port}"
        with pytest.raises(quiver.ConnectTimeout):
            narrow.get(url, connect_timeout=0.05)
        assert narrow.stats(url).connections == 1


def test_a_connection_that_is_full_is_no_missing_one(narrow: quiver.Client, origin: Origin) -> None:
    """Whoever would wait only so long for a handshake waits for a slot as others do."""
    pool = narrow.pool(origin.url)
    held = pool.ask(quiver.Request("GET", "/delay/4"), block=False)
    late = quiver.Request("GET", "/ok", connect_timeout=3.0, checkout_timeout=30.0)
    replies = [pool.ask(late, block=False)]  # while there is no connection yet
    until(lambda: narrow.stats(origin.url).active == 1)
    replies.append(pool.ask(late, block=False))
    assert [reply.get(timeout=30.0).status for reply in replies] == [200, 200]
    assert held.get(timeout=30.0).status == 200


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


@pytest.mark.parametrize("seconds", [1e9, 1e300, 10**30], ids=["1e9", "1e300", "int"])
@pytest.mark.parametrize(
    "limit",
    ["timeout", "receive_timeout", "send_timeout", "checkout_timeout", "connect_timeout"],
)
def test_a_limit_may_be_as_long_as_it_likes(
    narrow: quiver.Client, origin: Origin, limit: str, seconds: float
) -> None:
    options: dict[str, Any] = {limit: seconds}
    assert narrow.get(origin.url + "/ok", **options).status == 200
