"""An upload that is refused on proof that it was not acted upon; and bodies of every kind."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from quiver.testing import LocalOrigin, Receiver

__all__ = ["CONTENT", "KINDS", "PIECES", "PROOFS", "WHENS", "Kind", "Refusals", "Refusing", "Told"]

REJECTED: Final = 0x10B  # H3_REQUEST_REJECTED, RFC 9114 8.1
PROOFS: Final = ("H3_REQUEST_REJECTED", "GOAWAY")
# More than our send buffer and a small `send_buffer` hold: refused midway, some was not read.
PIECES: Final = [bytes([number]) * 20_000 for number in range(25)]
CONTENT: Final = b"".join(PIECES)
WHENS: Final = {"before a byte": 0, "at the first": 1, "midway": 100_000, "after all": None}
"""When an upload is refused: after so many bytes; None: when all of it has come."""


class Refusing:
    """A route, /upload: refuses as it is told, then says size and digest of what came."""

    def __init__(self, origin: LocalOrigin, path: str = "/upload") -> None:
        self._uploads: dict[str, Refusals] = {}
        self._url = origin.url + path
        uploads = self._uploads

        @origin.channel(path)
        class Upload(Receiver):
            def __init__(self, *given: Any) -> None:
                super().__init__(*given)
                refusals = uploads[self.asked.arguments["id"]]
                refusals.tries += 1
                self.refusal = refusals.left.pop(0) if refusals.left else None
                self.size, self.hash = 0, hashlib.sha256()
                self._judge(ended=False)

            def body(self, piece: bytes) -> None:
                self.size += len(piece)
                self.hash.update(piece)
                self._judge(ended=False)

            def ended(self, trailers: Any) -> None:
                if self.refusal is None:
                    told = b" ".join(value for _, value in trailers)
                    said = b"%d %s " % (self.size, self.hash.hexdigest().encode())
                    self.stream.answer(200, [], said + told)
                else:
                    self._judge(ended=True)

            def _judge(self, *, ended: bool) -> None:
                if self.refusal is None or self.refusal == ("done", None):
                    return
                proof, after = self.refusal
                if not ended and (after is None or self.size < after):
                    return
                self.refusal = "done", None
                uploads[self.asked.arguments["id"]].when_refused()
                if proof == "GOAWAY":
                    self.stream.goaway(0)
                else:
                    self.stream.reset(REJECTED)

    def refuse(self, *refusals: tuple[str, int | None]) -> Refusals:
        """For an upload of its own: proof, and bytes after which, for one try each."""
        name = str(len(self._uploads))
        made = self._uploads[name] = Refusals(f"{self._url}?id={name}", list(refusals))
        return made


class Refusals:
    """What becomes of one upload, to `url`; `tries` were begun so far.

    `when_refused` is called in the server's loop, before the client can know.
    """

    def __init__(self, url: str, left: list[tuple[str, int | None]]) -> None:
        self.url = url
        self.left = left
        self.when_refused: Callable[[], object] = lambda: None
        self.tries = 0


class Told(NamedTuple):
    """What the server says of a body, or stands in it."""

    size: int
    digest: str
    trailer: str = ""

    @classmethod
    def of(cls, content: bytes, trailer: str = "") -> Told:
        return cls(len(content), hashlib.sha256(content).hexdigest(), trailer)

    @classmethod
    def read(cls, answer: bytes | str) -> Told:
        text = answer if isinstance(answer, str) else answer.decode()
        size, digest, trailer = text.split(" ")
        return cls(int(size), digest, trailer)


class Pipe(io.RawIOBase):
    """A binary file that cannot seek, and counts what is read."""

    def __init__(self, content: bytes, heard: Callable[[bytes], object] = lambda _: None) -> None:
        self._content = io.BytesIO(content)
        self._heard = heard

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = self._content.read(size)
        self._heard(piece)
        return piece


class File(Pipe):
    """One that can, and stands behind something that is not to be sent."""

    def __init__(self, content: bytes, heard: Callable[[bytes], object] = lambda _: None) -> None:
        super().__init__(b"not this: " + content, heard)
        self._content.seek(10)

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._content.seek(offset, whence)

    def tell(self) -> int:
        return self._content.tell()


class Progress:
    """As a bar of progress has it: an iterable around something that can be read once."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces


class Kind(NamedTuple):
    """A kind of body.

    Attributes:
        make: one that has PIECES, and calls what it is given with each that is read.
        again: whether it may be sent a second time after it has been read.
        kept: whether it has no code of its own that is run when it is read.
        in_requests, in_httpx: whether those take it as a body to be streamed.
    """

    make: Callable[[Callable[[bytes], object]], Any]
    again: bool = False
    kept: bool = False
    in_requests: bool = True
    in_httpx: bool = True


def _heard(heard: Callable[[bytes], object]) -> Iterator[bytes]:
    for piece in PIECES:
        heard(piece)
        yield piece


def _same(heard: Callable[[bytes], object]) -> Callable[[], Iterator[bytes]]:
    one = _heard(heard)
    return lambda: one


def _shared(heard: Callable[[bytes], object]) -> Callable[[], Iterable[bytes]]:
    one = _heard(heard)
    return lambda: map(bytes, one)


def _rewound(heard: Callable[[bytes], object]) -> Callable[[], Iterator[bytes]]:
    file = io.BytesIO(CONTENT)

    def pieces() -> Iterator[bytes]:
        file.seek(0)
        while piece := file.read(25_000):
            heard(piece)
            yield piece

    return pieces


KINDS: Final = {
    "bytes": Kind(lambda _: CONTENT, again=True, kept=True),
    "bytearray": Kind(lambda _: bytearray(CONTENT), again=True, kept=True, in_httpx=False),
    "list": Kind(lambda _: list(PIECES), again=True, kept=True, in_requests=False, in_httpx=False),
    "tuple": Kind(
        lambda _: tuple(map(bytearray, PIECES)),
        *(True, True),
        in_requests=False,
        in_httpx=False,
    ),
    "file": Kind(lambda heard: File(CONTENT, heard), again=True, in_httpx=False),
    "callable": Kind(
        lambda heard: lambda: _heard(heard), again=True, in_requests=False, in_httpx=False
    ),
    "callable that rewinds": Kind(_rewound, again=True, in_requests=False, in_httpx=False),
    "callable that cheats": Kind(_same, in_requests=False, in_httpx=False),
    "callable that shares": Kind(_shared, in_requests=False, in_httpx=False),
    "pipe": Kind(lambda heard: Pipe(CONTENT, heard), in_httpx=False),
    "generator": Kind(_heard),
    "map": Kind(lambda heard: map(bytes, _heard(heard))),
    "progress": Kind(lambda heard: Progress(_heard(heard))),
    "progress of a list": Kind(lambda heard: Progress(list(_heard(heard)))),
    # requests takes how many pieces there are for its content-length.
    "view": Kind(lambda heard: dict(enumerate(_heard(heard))).values(), in_requests=False),
}
