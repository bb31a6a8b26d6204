"""What sends FastHttpUser's requests: geventhttpclient's user agent, with Quiver below it.

Redirects, retries, cookies and the check of the status are that agent's.
"""

from __future__ import annotations

import io
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from http.client import HTTPResponse
from http.cookiejar import Cookie, CookieJar
from typing import Any, Final, NoReturn, cast

from gevent.lock import Semaphore
from geventhttpclient.header import Headers
from geventhttpclient.useragent import CompatRequest, CompatResponse
from locust.contrib.fasthttp import FastRequest, FastResponse, LocustUserAgent

from quiver.adapters.requests.bodies import body_source
from quiver.adapters.shared.request_translation import KEPT, bodiless, sendable
from quiver.client import Client
from quiver.errors import InvalidError, PoolStopped, QuiverError
from quiver.fields import Pairs
from quiver.models import Response
from quiver.pool.ref import PoolRef
from quiver.request import Request, StreamRequest
from quiver.streams.response import StreamedResponse

__all__ = ["Connections", "Cookies", "HTTP3UserAgent", "RequestFailed", "headers_of"]


class RequestFailed(OSError):
    """An error of Quiver that is no OSError itself: Locust counts these as failures."""


class Connections:
    """A client of Quiver, for those who share it."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._pools: dict[str, PoolRef] = {}

    def ask(self, origin: str, asked: Request) -> Response | StreamedResponse:
        """Send a request. Raises what `Client.request` does."""
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = self._client.pool(origin)
        try:
            return pool.ask(asked)
        except PoolStopped:
            self._pools.pop(origin, None)  # for the next one it is started again
            raise

    def close(self) -> None:
        """Close the client."""
        self._pools.clear()
        self._client.close()


class Cookies(CookieJar):
    """A jar that is not asked while nothing was put into it."""

    _filled = False

    def set_cookie(self, cookie: Cookie) -> None:
        self._filled = True
        super().set_cookie(cookie)

    def add_cookie_header(self, request: urllib.request.Request) -> None:
        if self._filled:
            super().add_cookie_header(request)

    def extract_cookies(self, response: HTTPResponse, request: urllib.request.Request) -> None:
        if "set-cookie" in response.headers:
            super().extract_cookies(response, request)


class SentRequest(FastRequest):
    """A request whose URL is taken apart once for all of them: a load test asks few."""

    kind: type[Request] = Request
    origin: str
    target: str

    def __init__(
        self,
        url: str,
        method: str = "GET",
        headers: Headers | None = None,
        payload: object = None,
        params: object = None,
    ) -> None:
        self.__dict__.update(_parts(url) if params is None else _parts_of(url, params))
        self.method, self.payload = method.upper(), cast(Any, payload)
        self.headers = Headers() if headers is None else headers
        self.unredirected_hdrs = {}

    def set_url(self, url: object, params: object = None) -> None:
        super().set_url(cast(Any, url), params=cast(Any, params))
        place = self.url_split
        host = f"[{place.host}]" if ":" in place.host else place.host
        self.origin = f"{place.scheme}://{host}:{place.port}"
        self.target = place.quoted_uri


class SentStreamRequest(SentRequest):
    """One whose response is read as it comes."""

    kind = StreamRequest


def _parts_of(url: str, params: object = None) -> dict[str, Any]:
    made = SentRequest.__new__(SentRequest)
    FastRequest.__init__(made, url, params=cast(Any, params))
    return vars(made)


_parts = lru_cache(KEPT)(_parts_of)


def _request_of(sent: SentRequest) -> Request:
    """Return it as Quiver's; the same one for the same values, without a body."""
    payload = sent.payload
    # A number, say, is written out, as geventhttpclient does; here, for 1 and True are one key.
    fields = tuple(
        [
            (name, value if isinstance(value, str | bytes) else str(value))
            for name, value in sent.headers.items()
        ]
    )
    if payload is None:
        kept: Request = bodiless(sent.kind, sent.method, sent.target, fields)
        return kept
    return sent.kind(sent.method, sent.target, sendable(fields), body_source(payload))


# Whether geventhttpclient keeps a name that came once with the pair that it came in.
_KEEPS_PAIRS: Final = dict(dict.items(Headers([("a", "b")]))) == {"a": ("a", "b")}


def headers_of(pairs: Pairs) -> Headers:
    """Return a response's fields, whose names are lower-case, as geventhttpclient has them."""
    by_name = {pair[0]: pair for pair in pairs}
    if not _KEEPS_PAIRS or len(by_name) < len(pairs):
        return Headers(pairs)
    made = Headers()
    dict.update(made, by_name)  # which Headers does with four calls for each
    return made


class Head:
    """What geventhttpclient's response offers of its head."""

    version = "HTTP/3"

    def __init__(self, pairs: Pairs) -> None:
        self._headers_index = headers_of(pairs)  # by that name geventhttpclient reads it

    def __contains__(self, name: str) -> bool:
        return name in self._headers_index

    def __getitem__(self, name: str) -> str | list[str]:
        return self._headers_index[name]

    @property
    def headers(self) -> Iterator[tuple[str, str]]:
        return self.items()

    @property
    def status_code(self) -> int:
        return self.get_code()

    @property
    def content_length(self) -> int | None:
        """The bytes that the server has announced."""
        given = self.get("content-length")
        return int(given) if isinstance(given, str) else None

    def get_code(self) -> int:
        raise NotImplementedError

    def get(self, name: str, default: str | None = None) -> str | list[str] | None:
        found = self._headers_index.get(name)
        return default if found is None else found

    def info(self) -> Headers:
        return self._headers_index

    def items(self) -> Iterator[tuple[str, str]]:
        return iter(self._headers_index.items())


class Answer(Head, io.BytesIO):
    """A response as geventhttpclient has it, with all of its body."""

    message_complete = True

    def __init__(self, response: Response) -> None:
        io.BytesIO.__init__(self, response.body)
        Head.__init__(self, response.headers)
        self._status = response.status

    def get_code(self) -> int:
        return self._status

    @property
    def length(self) -> int:
        return len(self.getbuffer())

    def release(self) -> None:
        """Do nothing: it holds no stream."""


class StreamedAnswer(Head):
    """A response as geventhttpclient has it, whose body comes as it is read."""

    def __init__(self, response: StreamedResponse, room: Semaphore) -> None:
        super().__init__(response.headers)
        self._response = response
        self._room: Semaphore | None = room
        self._released = False
        self._rest = b""  # read behind a line
        if response.complete:
            self._make_room()

    def __del__(self) -> None:
        self.release()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if piece := self.read1():
            return piece
        raise StopIteration

    def get_code(self) -> int:
        return self._response.status

    @property
    def message_complete(self) -> bool:
        """Whether all of it was read."""
        return self._response.ended

    @property
    def length(self) -> int | None:
        return self.content_length

    def read(self, size: int | None = None) -> bytes:
        """Return `size` bytes, less only at the end; None: all that is left."""
        rest = self._taken(size)
        if size is None or len(rest) < size:
            rest += self._read(self._response.read, None if size is None else size - len(rest))
        return rest

    def read1(self, size: int | None = None) -> bytes:
        """Return what is there, at most `size` bytes; wait if there is nothing."""
        return self._taken(size) or self._read(self._response.read1, size)

    def readline(self, sep: bytes = b"\r\n") -> bytes:
        """Return what comes up to and with `sep`, or what is left; nothing at the end."""
        line = bytearray()
        while piece := self.read1():
            looked = max(0, len(line) - len(sep) + 1)  # it may have come in two pieces
            line += piece
            at = line.find(sep, looked)
            if at >= 0:
                end = at + len(sep)
                self._rest = bytes(line[end:])
                return bytes(line[:end])
        return bytes(line)

    def release(self) -> None:
        """Give up what was not read, and the room for another request."""
        if not self._released:
            self._released = True
            self._response.close()
            self._make_room()

    def _make_room(self) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.release()

    def _taken(self, size: int | None) -> bytes:
        """Take at most `size` bytes of what was read behind a line."""
        taken, self._rest = self._rest[:size], b"" if size is None else self._rest[size:]
        return taken

    def _read(self, read: Callable[[int | None], bytes], size: int | None) -> bytes:
        if self._released:
            return b""
        try:
            piece = read(size)
        except QuiverError as error:
            self.release()
            raise _failure(error) from error
        if self._response.ended:
            self.release()
        return piece


class HTTP3UserAgent(LocustUserAgent):
    """Sends requests by Quiver, at most `concurrency` at once."""

    def __init__(
        self,
        connections: Connections,
        cookies: CookieJar,
        headers: Mapping[str, str] | None,
        max_redirects: int,
        max_retries: int,
        concurrency: int,
    ) -> None:
        super().__init__(cookiejar=cookies, max_redirects=max_redirects, max_retries=max_retries)
        self.default_headers = Headers(headers or {})  # without geventhttpclient's user agent
        self._connections = connections
        self._room = Semaphore(concurrency)

    def urlopen(  # type: ignore[override]
        self,
        url: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        payload: object = None,
        *,
        streamed: bool = False,
        **more: object,
    ) -> FastResponse:
        """Send a request, and follow where it leads."""
        # The class is read before anything waits: others of the same user come later.
        self.request_type = SentStreamRequest if streamed else SentRequest  # type: ignore[misc, assignment]
        open_url: Any = super().urlopen  # Locust's answers and more bodies than its types know
        if more:
            response = open_url(url, method, headers, payload, **more)
        else:  # as mostly, and then without a dict of them, and a tuple of the others
            response = open_url(url, method, headers, payload)
        return cast(FastResponse, response)

    def _urlopen(self, request: CompatRequest) -> FastResponse:
        room, held, sent = self._room, False, cast(SentRequest, request)
        room.acquire()
        try:
            response = self._connections.ask(sent.origin, _request_of(sent))
            answer: Any  # geventhttpclient's own class, to Locust's types
            if isinstance(response, StreamedResponse):
                answer, held = StreamedAnswer(response, room), True
            else:
                answer = Answer(response)
            return FastResponse(answer, sent, "")
        except InvalidError as error:
            if sent.unverifiable:  # where a redirect leads, no fault of the task
                raise _failure(error) from error
            raise
        except QuiverError as error:
            raise _failure(error) from error
        finally:
            if not held:
                room.release()

    def _handle_retries_exceeded(
        self, url: object, last_error: BaseException | None = None
    ) -> NoReturn:
        """Raise the error itself: what Locust groups by has no URL in it then."""
        if isinstance(last_error, OSError):
            raise last_error
        super()._handle_retries_exceeded(cast(Any, url), last_error)
        raise AssertionError

    @classmethod
    def _conversation_str(cls, url: str, resp: CompatResponse, *_: object, **__: object) -> str:
        """Tell a response by its error; geventhttpclient's own fails for a body that is no text."""
        text = resp.content.decode("utf-8", "replace")
        return f"REQUEST: {url}\nRESPONSE: HTTP/3 {resp.status_code}\n{resp.headers}\n\n{text}"


def _failure(error: QuiverError) -> OSError:
    """Return what Locust counts as a failure."""
    if isinstance(error, OSError):
        return error
    return RequestFailed(f"{type(error).__name__}: {error}")
