"""StreamedResponse: the caller's side of a response whose body comes piece by piece."""

from __future__ import annotations

import codecs
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Final

from quiver.inlet import Inlet, Reader
from quiver.models import charset_of, first_header

__all__ = ["StreamedResponse"]

PIECE: Final = 65_536  # bytes that iteration yields at the most in one piece


class StreamedResponse(Reader[bytes]):
    """A response's head, and its body as it comes. To be read by one thread or greenlet at a time.

    Close it, or read it to its end: until then it holds one stream of its connection. Leaving a
    `with` closes it, and so does the garbage collector when nobody holds it any more.

    Attributes:
        status: the final status.
        headers: pairs with lower-case names, in the order received.

    Every way to read raises the QuiverError that ended the body early, and StreamClosed after
    `close()`.
    """

    def __init__(self, status: int, headers: list[tuple[str, str]], inlet: Inlet[bytes]) -> None:
        super().__init__(inlet)
        self.status = status
        self.headers = headers
        self._rest = b""
        self._cut = False  # closed before it was read to its end

    def __repr__(self) -> str:
        return f"<StreamedResponse {self.status}, {'ended' if self.ended else 'open'}>"

    def header(self, name: str, default: str | None = None) -> str | None:
        """The first value of a header, whatever the case of `name`."""
        return first_header(self.headers, name, default)

    @property
    def ended(self) -> bool:
        """Whether the whole body has been read."""
        return not self._rest and not self._cut and self._inlet.ended

    @property
    def trailers(self) -> list[tuple[str, str]]:
        """Pairs that came after the body; empty until it has been read to its end."""
        return self._inlet.trailers if self.ended else []

    # reading --------------------------------------------------------------------------------

    def read(self, size: int = -1) -> bytes:
        """`size` bytes, less only at the end of the body; all that is left by default.

        When it raises, also because its greenlet was woken by a `gevent.Timeout`, what it had
        read by then is there for whoever reads on.
        """
        pieces: list[bytes] = []
        missing = size
        try:
            while missing and (piece := self._next(missing)):
                pieces.append(piece)
                missing -= len(piece) if size > 0 else 0
        except BaseException:
            self._put_back(pieces)
            raise
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read1(self, size: int = -1) -> bytes:
        """What is there, waited for if there is nothing; `size` bytes at the most."""
        return self._next(size)

    async def aread(self, size: int = -1) -> bytes:
        """As `read`, in an asyncio task, whose loop goes on meanwhile."""
        pieces: list[bytes] = []
        missing = size
        try:
            while missing and (piece := await self._anext(missing)):
                pieces.append(piece)
                missing -= len(piece) if size > 0 else 0
        except BaseException:
            self._put_back(pieces)
            raise
        return b"".join(pieces)

    def __iter__(self) -> Iterator[bytes]:
        """The body in pieces as they come, none of them empty."""
        while piece := self._next(-1):
            yield self._gathered(piece)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """As `__iter__`, in an asyncio task, whose loop goes on meanwhile."""
        while piece := await self._anext(-1):
            yield self._gathered(piece)

    def iter_bytes(self, size: int | None = None) -> Iterator[bytes]:
        """The body in pieces of `size` bytes, the last one shorter; None takes them as they come.

        Raises:
            ValueError: `size` is not above 0.
        """
        if size is None:
            yield from self
            return
        if size < 1:
            raise ValueError(f"size={size!r} is not above 0")
        while piece := self.read(size):
            yield piece

    def iter_lines(self) -> Iterator[str]:
        """The body's lines as text, without their ends; the charset is that of content-type."""
        decoder = _Decoder(charset_of(self.headers))
        line: list[str] = []  # what has come of one that has not ended
        for piece in self:
            first, *others = decoder.decode(piece).split("\n")
            line.append(first)
            for other in others:
                yield "".join(line).removesuffix("\r")
                line = [other]
        rest = "".join(line) + decoder.decode(b"", True)
        if rest:
            yield rest.removesuffix("\r")

    def _next(self, most: int) -> bytes:
        """One piece of at most `most` bytes (-1: any size); empty at the end."""
        return self._split(self._held() or self._inlet.take() or b"", most)

    async def _anext(self, most: int) -> bytes:
        return self._split(self._held() or await self._inlet.atake() or b"", most)

    def _held(self) -> bytes:
        """What was kept of a piece; whoever reads it is at work."""
        if self._rest:
            self._inlet.touch()
        return self._rest

    def _split(self, piece: bytes, most: int) -> bytes:
        """At most `most` bytes of it; what is over is kept."""
        keep = 0 <= most < len(piece)
        self._rest = piece[most:] if keep else b""
        return piece[:most] if keep else piece

    def _put_back(self, pieces: list[bytes]) -> None:
        """The reader was interrupted: what it had is there for whoever reads on."""
        if not self._inlet.closed:
            self._rest = b"".join(pieces)

    def _gathered(self, first: bytes) -> bytes:
        """With what has come behind it, if it is small."""
        if len(first) >= PIECE:
            return first
        more = self._inlet.take_ready()
        return b"".join((first, *more)) if more else first

    # its end --------------------------------------------------------------------------------

    def close(self) -> None:
        """Give up what has not been read; the server is told. Does nothing after the end."""
        self._cut = not self.ended
        self._rest = b""
        super().close()


class _Decoder:
    """Text of a charset piece by piece; UTF-8 where there is no such thing. Never raises."""

    def __init__(self, charset: str | None) -> None:
        self._name = charset or "utf-8"
        try:
            b"?".decode(self._name, "replace")  # or it may be a codec for something else
            self._codec = codecs.getincrementaldecoder(self._name)("replace")
        except (LookupError, UnicodeError):
            self._codec = codecs.getincrementaldecoder("utf-8")("replace")

    def decode(self, piece: bytes, final: bool = False) -> str:
        try:
            return self._codec.decode(piece, final)
        except UnicodeError:  # a few raise in spite of "replace"
            held, _ = self._codec.getstate()
            self._codec = codecs.getincrementaldecoder(self._without_mark())("replace")
            return self._codec.decode(held + piece, final)

    def _without_mark(self) -> str:
        """The way to go on: UTF-16 and 32 should begin with a mark that tells the order."""
        name = codecs.lookup(self._name).name
        return f"{name}-{sys.byteorder[0]}e" if name in ("utf-16", "utf-32") else "utf-8"
