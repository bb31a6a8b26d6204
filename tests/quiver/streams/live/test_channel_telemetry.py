"""Telemetry of channels: a span for each, and what becomes of its datagrams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import quiver
from quiver import Closed, Datagram, Response
from quiver.testing import Origin
from tests.support.channel_events import collect, last_of, opened
from tests.support.waiting import until

Heard = list[tuple[str, dict[str, Any], dict[str, Any]]]


@pytest.fixture
def heard() -> Iterator[Heard]:
    found: Heard = []
    kinds = ("channel.start", "channel.stop", "channel.exception")
    names = (*kinds, "datagram.sent", "datagram.received", "datagram.dropped")
    quiver.telemetry.attach("channels", names, lambda *event: found.append(event))
    yield found
    quiver.telemetry.detach("channels")


def test_a_channel_is_a_span_with_its_datagrams(
    client: quiver.Client, origin: Origin, heard: Heard
) -> None:
    with opened(client, origin) as channel:
        for payload in (b"one", b"three"):
            channel.send(payload)
            assert collect(channel, Datagram, 1) == [Datagram(payload)]
        channel.finish()
        assert last_of(channel) == Closed("peer")
    assert [name for name, *_ in heard] == [
        "channel.start",
        *("datagram.sent", "datagram.received") * 2,
        "channel.stop",
    ]
    assert [measured for name, measured, _ in heard if name == "datagram.received"] == [
        {"count": 1, "size": 3},
        {"count": 1, "size": 5},
    ]
    (_, begun, started), *_, (_, measured, stopped) = heard
    assert begun == {}
    assert started == {
        "origin": origin.url,
        "connection": started["connection"],
        "http_version": "HTTP/3",
        "proxy": None,
        "method": "CONNECT",
        "target": "/session",
        "protocol": "webtransport",
    }
    assert stopped == {**started, "status": 200}
    assert list(measured) == ["duration"]


def test_a_channel_that_is_lost_ends_its_span_with_the_error(
    client: quiver.Client, origin: Origin, heard: Heard
) -> None:
    with opened(client, origin) as channel:
        collect(channel, Response, 1)
        origin.disconnect(0x102, "fault")
        error = last_of(channel).error
    name, _, metadata = heard[-1]
    assert (name, metadata["kind"], metadata["status"]) == ("channel.exception", "transient", 200)
    assert type(metadata["error"]) is type(error) is quiver.ConnectionLost
    assert [name for name, *_ in heard] == ["channel.start", "channel.exception"]


def test_a_channel_that_is_closed_here_ends_its_span(
    client: quiver.Client, origin: Origin, heard: Heard
) -> None:
    with client.open_channel(origin.url + "/hang", method="GET"):
        pass
    until(lambda: len(heard) == 2)
    assert [name for name, *_ in heard] == ["channel.start", "channel.stop"]
    assert heard[-1][2]["status"] is None
