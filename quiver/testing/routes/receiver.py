"""The base of routes for streamed requests, which are told of each piece as it comes."""

from __future__ import annotations

from collections.abc import Callable

from quiver.testing.routes.request import Asked, Fields, RequestStream

__all__ = ["Receiver", "ReceiverOf"]


class Receiver:
    """A request's stream, from its headers on. This one is told of everything and does nothing."""

    def __init__(self, asked: Asked, stream: RequestStream, argument: str) -> None:
        self.asked = asked
        self.stream = stream

    def body(self, piece: bytes) -> None:
        """Take in a piece of body."""

    def datagram(self, payload: bytes) -> None:
        """Take in an HTTP datagram (RFC 9297 2.1)."""

    def ended(self, trailers: Fields) -> None:
        """Take in the end of the request, and its trailers."""


ReceiverOf = Callable[[Asked, RequestStream], Receiver | None]
"""Takes a request up at its headers; None leaves it to the routes for whole ones."""
