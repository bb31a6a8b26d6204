"""What became of a test's streams: the origin's account of them beside the pool's."""

from __future__ import annotations

import gc

import quiver
from quiver.testing import Origin
from tests.support.waiting import until

__all__ = ["CANCELLED", "Account", "client_of"]

CANCELLED = 0x10C  # H3_REQUEST_CANCELLED


def client_of(origin: Origin, **options: object) -> quiver.Client:
    """A client with one connection, and short limits only where a test gives them."""
    rule = {"cafile": origin.cafile, "max_connections": 1, **options}
    return quiver.Client(pools={"default": rule})


class Account:
    """The streams that a client opens from here on."""

    def __init__(self, origin: Origin, client: quiver.Client) -> None:
        self._origin = origin
        self._client = client
        self._before = len(origin.resets())

    def settled(self, within: float = 10.0) -> set[tuple[str, int]]:
        """Wait until neither side has a stream open; what the origin was told of those given up.

        Pairs of "reset" or "stop_sending" and the code.
        """
        gc.collect()
        until(
            lambda: self._client.stats(self._origin.url).active == 0,
            within=within,
            what="active == 0",
        )
        until(lambda: self._origin.streams_open() == 0, within=within, what="streams_open() == 0")
        told = self._origin.resets()[self._before :]
        return {(each["kind"], each["code"]) for each in told}
