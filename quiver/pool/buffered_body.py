"""BufferedBody: a response's content until it is whole."""

from __future__ import annotations

import io

__all__ = ["BufferedBody"]


class BufferedBody:
    """Pieces in, bytes out. One piece is passed on as it is; several grow in one place, where a
    list of them, and what they are joined to, would take their memory twice, and the time to get
    it from the system."""

    __slots__ = ("_first", "_grown")

    def __init__(self) -> None:
        self._first = b""
        self._grown: io.BytesIO | None = None  # all of it, as soon as there are two

    def add(self, piece: bytes) -> None:
        """Add what came next."""
        if self._grown is not None:
            self._grown.write(piece)
        elif not self._first:
            self._first = piece
        else:
            self._grown = io.BytesIO()
            self._grown.writelines((self._first, piece))
            self._first = b""

    def whole(self, last: bytes = b"") -> bytes:
        """Add the last that came, and return all of it. It is not copied."""
        if last:
            self.add(last)
        return self._first if self._grown is None else self._grown.getvalue()
