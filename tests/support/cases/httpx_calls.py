"""What people do with httpx: each case is one call, whose outcome is compared."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

import attrs
import httpx

from tests.support.cases.transport_differential import Place, encoded, fields_of
from tests.support.servers.http1_backend import TEXT

__all__ = ["CALLS", "STREAMS", "Call", "read_async", "read_sync", "told"]


def told(response: httpx.Response) -> Any:
    """All of a response that must not depend on the protocol."""
    return (
        response.status_code,
        response.reason_phrase,
        str(response.url),
        fields_of(response.headers),
        response.encoding,
        response.content,
        [each.status_code for each in response.history],
        sorted(response.cookies.items()),
    )


@attrs.frozen
class Call:
    """One request, for a client of either kind. `options` are made for each call anew."""

    method: str
    path: str
    options: Callable[[], dict[str, Any]] = dict
    where: str = "url"

    def by(self, client: httpx.Client, place: Place) -> Any:
        return told(client.request(self.method, self._url(place), **self.options()))

    async def in_asyncio(self, client: httpx.AsyncClient, place: Place) -> Any:
        options = self.options()
        if isinstance(options.get("content"), Iterator):
            options["content"] = in_asyncio(options["content"])
        return told(await client.request(self.method, self._url(place), **options))

    def _url(self, place: Place) -> str:
        return str(getattr(place, self.where)) + self.path


def pieces(*given: bytes | BaseException) -> Iterator[bytes]:
    for piece in given:
        if isinstance(piece, BaseException):
            raise piece
        yield piece


async def in_asyncio(given: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


def call(method: str, path: str, where: str = "url", **options: Any) -> Call:
    return Call(method, path, lambda: dict(options), where)


def sent(*given: bytes | BaseException, to: str = "/echo", **options: Any) -> Call:
    """A body of unknown length."""
    return Call("POST", to, lambda: {"content": pieces(*given), **options})


REDIRECTED: Final[dict[str, Any]] = {"follow_redirects": True}

CALLS: Final[dict[str, Call]] = {
    # methods and statuses
    **{
        f"{method} is echoed": call(method, "/back/echo")
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    },
    "HEAD": call("HEAD", "/large"),
    **{f"status {n}": call("GET", f"/back/status/{n}") for n in (204, 304, 404, 409, 500, 503)},
    "a file": call("GET", "/large"),
    "a range": call("GET", "/large", headers={"Range": "bytes=10-19"}),
    "a range that is none": call("GET", "/large", headers={"Range": "bytes=9999999-"}),
    "no such file": call("GET", "/missing"),
    # what is sent
    "params": call("GET", "/back/echo", params={"a": ["1", "2"], "b": "ü &"}),
    "a path that needs quoting": call("GET", "/back/echo/ä b?c=d e"),
    "a fragment": call("GET", "/back/echo#part"),
    "headers": call("GET", "/back/echo", headers=[("X-One", "1"), ("user-agent", "mine")]),
    "a bytes header": call("GET", "/back/echo", headers={b"X-Latin": "café".encode("latin-1")}),
    "connection headers": call("GET", "/back/echo", headers={"Connection": "close"}),
    "a form": call("POST", "/back/echo", data={"a": "1", "b": ["x", "y"]}),
    "json": call("POST", "/back/echo", json={"a": [1, None]}),
    "text": call("POST", "/back/echo", content="grüße"),
    "bytes": call("POST", "/back/echo", content=bytes(range(256))),
    "no body": call("POST", "/back/echo", content=b""),
    "a megabyte": call("POST", "/back/echo", content=b"m" * 1_000_000),
    "a multipart form": Call(
        "POST",
        "/back/echo",
        lambda: {
            "files": {"f": ("n.txt", io.BytesIO(b"inside"), "text/plain")},
            "data": {"a": "1"},
            "headers": {"Content-Type": "multipart/form-data; boundary=limit"},
        },
    ),
    # Caddy's own echo: its proxy drops a body of unknown length that came over HTTP/3.
    "a stream": sent(b"one ", b"two ", b"three"),
    "a stream with empty pieces": sent(b"", b"one", b"", b"two", b""),
    "an empty stream": sent(),
    "a stream that raises": sent(b"x", ZeroDivisionError("in the body")),
    "a long stream": sent(*[b"p" * 50_000] * 20),
    "a stream of known length": sent(
        b"one", b"two", to="/back/echo", headers={"Content-Length": "6"}
    ),
    "cookies sent": call("GET", "/back/echo", headers={"Cookie": "a=1; b=2"}),
    "cookies set": call("GET", "/back/cookie?a=1&b=2"),
    # authorization and redirects
    "basic auth": call("GET", "/back/auth", auth=("user", "pass")),
    "wrong auth": call("GET", "/back/auth", auth=("user", "wrong")),
    "digest auth that is not asked for": call(
        "GET", "/back/auth", auth=httpx.DigestAuth("user", "pass")
    ),
    **{
        f"redirect {n}": call(
            "POST", f"/back/to?url=/back/echo&status={n}", content=b"again", **REDIRECTED
        )
        for n in (301, 302, 303, 307, 308)
    },
    "a redirect not followed": call("GET", "/back/to?url=/small"),
    "a redirect to nowhere": call("GET", "/back/to?url=https://nowhere.invalid/", **REDIRECTED),
    "a redirect with a stream": sent(b"once", to="/back/to?url=/echo&status=307", **REDIRECTED),
    "a redirect without its scheme": call("GET", "/back/to?url=//nowhere.invalid/", **REDIRECTED),
    # what comes back
    "gzip": call("GET", "/back/gzip"),
    "zstd": call("GET", "/back/zstd", headers={"Accept-Encoding": "zstd"}),
    **{kind: call("GET", encoded(kind, TEXT)) for kind in ("deflate", "br")},
    "identity": call("GET", "/back/gzip", headers={"Accept-Encoding": "identity"}),
    "bad gzip": call("GET", "/back/named?name=content-encoding&value=gzip&body=nonsense"),
    "latin-1": call("GET", "/back/named?name=content-type&value=text/html&body=%C3%BC"),
    "drops": call("GET", "/back/drip/5/0.02"),
    # what goes wrong
    "a read timeout": call("GET", "/back/delay/1", timeout=httpx.Timeout(5, read=0.2)),
    "a write timeout": sent(
        *[b"w" * 500_000] * 100, to="/deaf", timeout=httpx.Timeout(5, write=0.3)
    ),
    "a timeout in the body": call("GET", "/back/half/4", timeout=httpx.Timeout(5, read=0.3)),
    "a body that is short": call("GET", "/back/short"),
    "nobody listens": call("GET", "/", "closed"),
    "nobody answers": call("GET", "/", "silent", timeout=httpx.Timeout(5, connect=0.3)),
    "by address": call("GET", "/small", "by_address"),
    "a bad header": call("GET", "/back/echo", headers={"X-Bad": "a\nb"}),
    "a bad method": call("GE T", "/back/echo"),
}


async def _all(pieces: AsyncIterator[Any]) -> list[Any]:
    return [piece async for piece in pieces]


# What to do with a response whose body is still to come: for a client, and for one of asyncio.
STREAMS: Final[dict[str, tuple[str, Callable[[httpx.Response], Any], Callable[..., Any]]]] = {
    "iter_bytes": (
        "/large",
        lambda r: b"".join(r.iter_bytes()),
        lambda r: _all(r.aiter_bytes(1_000_000)),
    ),
    "iter_bytes of gzip": (
        "/back/gzip",
        lambda r: list(r.iter_bytes(1_000)),
        lambda r: _all(r.aiter_bytes(1_000)),
    ),
    "iter_raw": (
        "/back/plain",
        lambda r: list(r.iter_raw(500)),
        lambda r: _all(r.aiter_raw(500)),
    ),
    "iter_lines": (
        "/back/plain",
        lambda r: list(r.iter_lines()),
        lambda r: _all(r.aiter_lines()),
    ),
    "iter_text": (
        "/back/plain",
        lambda r: list(r.iter_text(100)),
        lambda r: _all(r.aiter_text(100)),
    ),
    "read": ("/large", lambda r: len(r.read()), lambda r: r.aread()),
    "not read": ("/small", lambda r: r.content, lambda r: _all(r.content)),
    "short": ("/back/short", lambda r: r.read(), lambda r: r.aread()),
    "late": ("/back/half/4", lambda r: r.read(), lambda r: r.aread()),
}


def read_sync(client: httpx.Client, url: str, name: str) -> Any:
    path, look, _ = STREAMS[name]
    with client.stream("GET", url + path, timeout=httpx.Timeout(5, read=0.3)) as response:
        return response.status_code, look(response), response.is_closed


async def read_async(client: httpx.AsyncClient, url: str, name: str) -> Any:
    path, _, look = STREAMS[name]
    async with client.stream("GET", url + path, timeout=httpx.Timeout(5, read=0.3)) as response:
        return response.status_code, await look(response), response.is_closed
