"""StreamedResponse: the caller's side of a response whose body comes piece by piece."""

from __future__ import annotations

import codecs
import sys
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Final

from quiver.errors import check_status
from quiver.fields import Pairs
from quiver.models import ResponseConnection, charset_of, first_header
from quiver.other_libraries import OF_STREAMED, absent
from quiver.streams.receive_buffer import Reader, ReceiveBuffer

__all__ = ["StreamedResponse"]

GATHER_BELOW: Final = 65_536  # bytes: iteration joins a shorter piece with what has come behind it


class StreamedResponse(Reader[bytes]):
    """A response's head, and its body as it comes, for one thread or greenlet at a time.

    Close it, or read it to its end: until then it holds one stream of its connection. Leaving a
    `with` closes it, and so does the garbage collector when nobody holds it any more.

    Attributes:
        status: the final status.
        headers: pairs with lower-case names, in the order received.
        connection: what it comes by.

    Every way to read raises the QuiverError that ended the body early, and StreamClosed after
    `close()`.
    """

    def __init__(
        self,
        status: int,
        headers: Pairs,
        receive_buffer: ReceiveBuffer[bytes],
        connection: ResponseConnection | None = None,
    ) -> None:
        super().__init__(receive_buffer)
        self.status = status
        self.headers = headers
        self.connection = connection
        self._rest = b""
        self._cut = False  # closed before it was read to its end

    def __repr__(self) -> str:
        return f"<StreamedResponse {self.status}, {'ended' if self.ended else 'open'}>"

    if not TYPE_CHECKING:  # which knows what there is

        def __getattr__(self, name):
            raise absent(self, name, OF_STREAMED)

    @property
    def http_version(self) -> str | None:
        """What it comes by: "HTTP/3" or "HTTP/2"."""
        return None if self.connection is None else self.connection.http_version

    def header(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a header, whatever the case of `name`."""
        return first_header(self.headers, name, default)

    def raise_for_status(self) -> StreamedResponse:
        """Return this response; raise a StatusError if its status is 400 or more, and close it."""
        if self.status >= 400:
            self.close()
        check_status(self.status, None)
        return self

    @property
    def ended(self) -> bool:
        """Tell whether the whole body has been read."""
        return not self._rest and not self._cut and self.receive_buffer.ended

    @property
    def complete(self) -> bool:
        """Tell whether all of the body has come: to read it takes no wait, and no error ends it."""
        return not self._cut and self.receive_buffer.complete

    @property
    def trailers(self) -> Pairs:
        """The pairs that came after the body; none until it has been read to its end."""
        return self.receive_buffer.trailers if self.ended else []

    # reading --------------------------------------------------------------------------------

    def read(self, size: int | None = -1) -> bytes:
        """Read `size` bytes, less only at the end of the body; None or below 0: all that is left.

        When it raises, also because a `gevent.Timeout` woke its greenlet, what it had read by then
        is kept for the next read.
        """
        pieces: list[bytes] = []
        missing = most = -1 if size is None else size
        try:
            while missing and (piece := self._next(missing)):
                pieces.append(piece)
                missing -= len(piece) if most > 0 else 0
        except BaseException:
            self._put_back(pieces)
            raise
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def read1(self, size: int | None = -1) -> bytes:
        """Read what is there, at most `size` bytes if given; wait if there is nothing."""
        return self._next(-1 if size is None else size)

    async def aread(self, size: int | None = -1) -> bytes:
        """Do as `read`, in an asyncio task, whose loop goes on meanwhile."""
        pieces: list[bytes] = []
        missing = most = -1 if size is None else size
        try:
            while missing and (piece := await self._anext(missing)):
                pieces.append(piece)
                missing -= len(piece) if most > 0 else 0
        except BaseException:
            self._put_back(pieces)
            raise
        return b"".join(pieces)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body in pieces as they come, none of them empty."""
        while piece := self._next(-1):
            yield self._gathered(piece)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Do as `__iter__`, in an asyncio task, whose loop goes on meanwhile."""
        while piece := await self._anext(-1):
            yield self._gathered(piece)

    def iter_bytes(self, size: int | None = None) -> Iterator[bytes]:
        """Yield the body in pieces of `size` bytes, the last one shorter; None: as they come.

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
        """Yield the body's lines as text, without their ends, in the charset of content-type."""
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
        """Return one piece of at most `most` bytes (-1: any size), an empty one at the end."""
        return self._split(self._held() or self.receive_buffer.take() or b"", most)

    async def _anext(self, most: int) -> bytes:
        return self._split(self._held() or await self.receive_buffer.atake() or b"", most)

    def _held(self) -> bytes:
        """Return what was kept of a piece, and count that as reading."""
        if self._rest:
            self.receive_buffer.touch()
        return self._rest

    def _split(self, piece: bytes, most: int) -> bytes:
        """Return at most `most` bytes of a piece, and keep the rest for the next read."""
        keep = 0 <= most < len(piece)
        self._rest = piece[most:] if keep else b""
        return piece[:most] if keep else piece

    def _put_back(self, pieces: list[bytes]) -> None:
        """Keep for the next read what an interrupted one had read."""
        if not self.receive_buffer.closed:
            self._rest = b"".join(pieces)

    def _gathered(self, first: bytes) -> bytes:
        """Join a piece, if it is short, with what has come behind it."""
        if len(first) >= GATHER_BELOW:
            return first
        more = self.receive_buffer.take_ready()
        return b"".join((first, *more)) if more else first

    # its end --------------------------------------------------------------------------------

    def close(self) -> None:
        """Give up what has not been read and have the server told; do nothing after the end."""
        self._cut = not self.ended
        self._rest = b""
        super().close()


class _Decoder:
    """An incremental decoder that never raises; of UTF-8 where the charset is none for text."""

    def __init__(self, charset: str | None) -> None:
        self._name = charset or "utf-8"
        try:
            b"?".decode(self._name, "replace")  # raises for a codec that is none for text
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
        """Name the codec to go on with, of UTF-16 and 32 the one that needs no byte-order mark."""
        name = codecs.lookup(self._name).name
        return f"{name}-{sys.byteorder[0]}e" if name in ("utf-16", "utf-32") else "utf-8"
