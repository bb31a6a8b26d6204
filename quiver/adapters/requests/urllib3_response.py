"""A streamed response as urllib3 has it, which decodes, reads and counts it as its own."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Generator
from typing import Any, Final

from urllib3 import HTTPHeaderDict, HTTPResponse

from quiver.errors import QuiverError
from quiver.streams.response import StreamedResponse

__all__ = ["StreamedHTTPResponse"]

PIECE: Final = 65_536  # bytes
VERSIONS: Final = {"HTTP/3": 30, "HTTP/2": 20, "HTTP/1.1": 11}
_OF_COOKIES: Final = ("set-cookie", "set-cookie2")


class Content:
    """The body as a file. What ends it early is raised as what urllib3 maps to its own."""

    def __init__(self, streamed: StreamedResponse) -> None:
        self._streamed = streamed
        self.closed = False

    def read(self, size: int | None = -1) -> bytes:
        """Return `size` bytes, less only at the end; None or below 0: all that is left."""
        return self._read(self._streamed.read, size)

    def read1(self, size: int | None = -1) -> bytes:
        """Return what is there, waiting if there is nothing; at most `size` bytes, if given."""
        return self._read(self._streamed.read1, size)

    def close(self) -> None:
        self.closed = True
        self._streamed.close()

    def flush(self) -> None:
        """Do nothing: nothing is written."""

    def _read(self, read: Callable[[int | None], bytes], size: int | None) -> bytes:
        try:
            content = read(size)
        except OSError:  # urllib3 knows timeouts and connections that end by their builtins
            raise
        except QuiverError as error:
            raise http.client.HTTPException(str(error)) from error
        if self._streamed.ended:
            self.closed = True
        return content


class Original:
    """What requests' cookie jar and urllib3 want of http.client's response: cookies and its end.

    The other fields are urllib3's response's.
    """

    def __init__(self, content: Content, headers: list[tuple[str, str]]) -> None:
        self.msg = http.client.HTTPMessage()
        for name, value in headers:
            if name in _OF_COOKIES:
                self.msg.add_header(name, value)
        self._content = content

    def isclosed(self) -> bool:
        return self._content.closed

    def close(self) -> None:
        self._content.close()


class StreamedHTTPResponse(HTTPResponse):
    """urllib3's response over a stream of ours; its `version` is 30, 20 or 11.

    What has no content-length is streamed as it comes, as chunks are.
    """

    def __init__(self, streamed: StreamedResponse, method: str | None, url: str | None) -> None:
        content = Content(streamed)
        version = streamed.http_version or "HTTP/3"
        super().__init__(
            body=content,  # type: ignore[arg-type] # urllib3 takes any file
            headers=HTTPHeaderDict(streamed.headers),
            status=streamed.status,
            version=VERSIONS[version],
            reason=http.client.responses.get(streamed.status, ""),
            preload_content=False,
            decode_content=False,
            original_response=Original(content, streamed.headers),  # type: ignore[arg-type]
            request_method=method,
            request_url=url,
        )
        self.version_string = version  # urllib3-future, which niquests brings, takes none above
        self._streamed = streamed
        self._taken = 0  # bytes that urllib3 has not seen
        # What urllib3 reads. A cache puts a file of its own there, to see all that `read` gives.
        self._content: Any = content
        self._fp: Any = content

    @property
    def trailers(self) -> HTTPHeaderDict:
        """What came after the body; empty until it has been read to its end."""
        return HTTPHeaderDict(self._streamed.trailers)

    def shutdown(self) -> None:
        """End it for a thread that reads it: another one may do so."""
        self._streamed.close()

    def stream(
        self, amt: int | None = PIECE, decode_content: bool | None = None
    ) -> Generator[bytes, None, None]:
        watched = self._fp is not self._content
        if amt and not watched and self._is_plain and not self.tell():
            yield from self._what_is_there(amt)
        if "content-length" in self.headers or amt == 0 or watched:
            yield from super().stream(amt, decode_content)
            return
        while piece := self.read1(amt, decode_content):
            yield piece

    def tell(self) -> int:
        return super().tell() + self._taken

    @property
    def _is_plain(self) -> bool:
        return "content-encoding" not in self.headers

    def _what_is_there(self, amt: int) -> Generator[bytes, None, None]:
        """Yield from a body that has come to its end already: nothing is to be decoded or mapped.

        Most small ones have. urllib3's own way takes several times as long for one piece.
        """
        while self._streamed.complete and (piece := self._content.read(amt)):
            self._taken += len(piece)
            if self.length_remaining is not None:
                self.length_remaining -= len(piece)
            yield piece
