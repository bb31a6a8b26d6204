"""The server's MAX_STREAMS for requests, which may be held where it is."""

from __future__ import annotations

from aioquic.quic.connection import Limit

__all__ = ["Credit"]


class Credit(Limit):
    """Takes the place of aioquic's limit, which gives a stream back for each that ends.

    While `raised` is off it stays, and `allow` alone raises it.
    """

    raised = True

    def __init__(self, theirs: Limit, streams: int) -> None:
        self._value = streams
        super().__init__(theirs.frame_type, theirs.name, streams)

    @property
    def value(self) -> int:
        """How many streams the client may ever open."""
        return self._value

    @value.setter
    def value(self, streams: int) -> None:
        if self.raised:
            self._value = streams

    def allow(self, streams: int) -> None:
        """Raise it to `streams` in all; the client is told with the next flush."""
        self._value = max(self._value, streams)
