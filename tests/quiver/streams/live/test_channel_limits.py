"""Time limits of channels: until one is open, and until an event comes for its reader."""

from __future__ import annotations

from typing import Any

import pytest

import quiver
from quiver import Closed, Datagram, Response, StreamData
from quiver.testing import Authority, Origin
from tests.support.channel_events import SESSION, collect, last_of, opened
from tests.support.stream_account import Account, client_of
from tests.support.waiting import until

# until it is open -------------------------------------------------------------------------------


def test_settings_never_come(authority: Authority) -> None:
    with (
        Origin(authority=authority, settings_delay=60.0) as origin,
        client_of(origin) as client,
    ):
        with pytest.raises(quiver.ReceiveTimeout):
            client.open_channel(origin.url + "/session", **SESSION, receive_timeout=0.3)
        until(lambda: client.stats(origin.url).active == 0)


def test_response_that_does_not_come(client: quiver.Client, origin: Origin) -> None:
    client.get(origin.url + "/ok")  # else the handshake takes of its time
    with client.open_channel(origin.url + "/hang", method="GET", open_timeout=1.0) as channel:
        error = last_of(channel).error
    assert isinstance(error, quiver.ReceiveTimeout)
    assert error.message == "no response within open_timeout=1.0 seconds"


def test_response_that_does_not_come_for_as_long_as_the_pool_allows(origin: Origin) -> None:
    with (
        client_of(origin, receive_timeout=0.3) as client,
        client.open_channel(origin.url + "/hang", method="GET") as channel,
    ):
        assert isinstance(last_of(channel).error, quiver.ReceiveTimeout)


def test_settings_that_do_not_come_before_it_must_be_open(authority: Authority) -> None:
    with (
        Origin(authority=authority, settings_delay=60.0) as origin,
        client_of(origin) as client,
    ):
        client.get(origin.url + "/ok")  # which waits for no SETTINGS
        with pytest.raises(quiver.ReceiveTimeout, match="SETTINGS"):
            client.open_channel(origin.url + "/session", **SESSION, open_timeout=0.3)
        with pytest.raises(quiver.ReceiveTimeout, match="SETTINGS"):
            client.open_channel(origin.url + "/session", **SESSION, timeout=0.3)
        until(lambda: client.stats(origin.url).active == 0)


def test_no_slot_before_it_must_be_open(origin: Origin) -> None:
    options = {"max_connections": 1, "max_streams_per_connection": 1}
    with (
        client_of(origin, **options) as client,
        opened(client, origin),
        pytest.raises(quiver.CheckoutTimeout, match=r"open_timeout=0\.3 seconds"),
    ):
        client.open_channel(origin.url + "/session", **SESSION, open_timeout=0.3)


def test_no_connection_before_it_must_be_open(origin: Origin, client: quiver.Client) -> None:
    origin.suspend()
    try:
        with pytest.raises(quiver.ConnectTimeout, match=r"open_timeout=0\.3 seconds"):
            client.open_channel(origin.url + "/session", **SESSION, open_timeout=0.3)
    finally:
        origin.resume()


@pytest.mark.long
def test_an_open_channel_outlasts_its_open_timeout(client: quiver.Client, origin: Origin) -> None:
    with client.open_channel(
        origin.url + "/session", **SESSION, open_timeout=5.0, timeout=5.5
    ) as channel:
        collect(channel, Response, 1)
        closed = last_of(channel)
    assert isinstance(closed.error, quiver.RequestTimeout)
    assert closed.error.message == "no whole response within timeout=5.5 seconds"


# waiting for one event --------------------------------------------------------------------------


def test_a_reader_that_waits_too_long_reads_on(client: quiver.Client, origin: Origin) -> None:
    with client.open_channel(
        origin.url + "/session", **SESSION, receive_timeout=0.2, timeout=40.0
    ) as channel:
        collect(channel, Response, 1)
        events = iter(channel)
        for _ in range(2):
            with pytest.raises(quiver.ReceiveTimeout, match=r"receive_timeout=0\.2") as caught:
                next(events)
            assert caught.value.origin == origin.url
        channel.receive_timeout = 30.0
        channel.send(b"still here")
        assert next(events) == Datagram(b"still here")
        channel.write(b"and here")
        channel.finish()
        assert list(events) == [StreamData(b"and here"), Closed("peer")]


def test_what_is_no_wait_is_refused_when_it_is_set(client: quiver.Client, origin: Origin) -> None:
    with opened(client, origin) as channel:
        given: list[Any] = [0, -1.0, float("nan"), "1", True, 10**400]
        for wrong in given:
            with pytest.raises(quiver.InvalidRequest, match="is not a number of seconds"):
                channel.receive_timeout = wrong
        assert channel.receive_timeout is None


def test_a_reader_waits_for_the_response_as_for_any_event(
    client: quiver.Client, origin: Origin
) -> None:
    with client.open_channel(origin.url + "/hang", method="GET", receive_timeout=0.2) as channel:
        with pytest.raises(quiver.ReceiveTimeout, match="no event came"):
            next(channel)
        assert client.stats(origin.url).active == 1


def test_a_loop_whose_event_does_not_come_closes_its_channel(
    client: quiver.Client, origin: Origin, account: Account
) -> None:
    with pytest.raises(quiver.ReceiveTimeout, match="no event came"):
        client.open_datagram_channel(
            origin.url + "/session",
            lambda event, channel, acc: quiver.cont(acc),
            0,
            **SESSION,
            receive_timeout=0.3,
        )
    account.settled()
