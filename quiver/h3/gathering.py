"""Gathers the content that comes for one stream in one batch, so that it is passed on once."""

from __future__ import annotations

from typing import Final

from quiver.h3 import events

__all__ = ["Batch"]

MOST: Final = 65_536  # bytes in one Body, unless a single piece has more


class _Gathered:
    """Stands in the batch for the Body that its pieces will make."""

    __slots__ = ("more", "piece", "size")

    def __init__(self, piece: events.Body) -> None:
        self.piece = piece
        self.more: list[events.Body] = []
        self.size = len(piece.content)

    def event(self) -> events.Body:
        if not self.more:
            return self.piece
        pieces = (self.piece, *self.more)
        content = b"".join([piece.content for piece in pieces])
        return events.Body(self.piece.stream_id, content, self.more[-1].ended)


class Batch:
    """Events in their order; all of a stream's content stands where its first piece came."""

    def __init__(self) -> None:
        self._events: list[events.Event | _Gathered] = []
        self._gathered: dict[int, _Gathered] = {}

    def add(self, event: events.Event) -> None:
        self._events.append(event)

    def add_body(self, piece: events.Body) -> None:
        gathered = self._gathered.get(piece.stream_id)
        if gathered is None or gathered.size >= MOST:
            gathered = self._gathered[piece.stream_id] = _Gathered(piece)
            self._events.append(gathered)
        else:
            gathered.more.append(piece)
            gathered.size += len(piece.content)

    def take(self) -> list[events.Event]:
        """All there is; the batch is empty then."""
        happened, self._events = self._events, []
        self._gathered.clear()
        return [each.event() if isinstance(each, _Gathered) else each for each in happened]
