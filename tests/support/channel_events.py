"""Channels to the origin's routes, and their events."""

from __future__ import annotations

from typing import Any

import quiver
from quiver import Closed
from quiver.testing import Origin

__all__ = ["SESSION", "collect", "last_of", "opened"]

SESSION: dict[str, Any] = {"protocol": "webtransport"}


def opened(client: quiver.Client, origin: Origin, query: str = "") -> quiver.Channel:
    return client.open_channel(f"{origin.url}/session{query}", **SESSION, timeout=120.0)


def collect(channel: quiver.Channel, kind: type, count: int) -> list[Any]:
    """The first `count` events of one kind; others on the way are passed over."""
    found: list[Any] = []
    for event in channel:
        found += [event] if isinstance(event, kind) else []
        if len(found) == count:
            return found
    raise AssertionError(f"only {found} came")


def last_of(channel: quiver.Channel) -> Closed:
    *_, last = channel
    assert isinstance(last, Closed)
    return last
