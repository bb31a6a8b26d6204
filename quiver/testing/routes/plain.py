"""Routes that answer a whole request at once, or late.

/ok  /items/N  /echo  /status/N        plain answers
/headers                               the request's, as JSON pairs
/delay/SECONDS                         "ok", late
/trailers  /informational[/COUNT]      with trailers; after one 103, or COUNT different ones
/duplicates                            set-cookie a, b, c among others
/bigheaders/N                          fields of N bytes in all
"""

from __future__ import annotations

import json
from typing import Final

from quiver.testing.routes.request import (
    BYTES,
    JSON,
    TEXT,
    Asked,
    RequestStream,
    Route,
    size_of,
)

__all__ = ["PLAIN"]

_FIELD: Final = 16_384  # the longest value of one field: the encoder takes little more
_BODILESS: Final = frozenset({204, 304})


def _ok(asked: Asked, stream: RequestStream, argument: str) -> None:
    stream.answer(200, [TEXT], b"ok")


def _items(asked: Asked, stream: RequestStream, argument: str) -> None:
    stream.answer(200, [JSON], json.dumps({"id": int(argument)}).encode())


def _echo(asked: Asked, stream: RequestStream, argument: str) -> None:
    if asked.method not in ("POST", "PUT", "PATCH"):
        stream.answer(405, [(b"allow", b"POST, PUT, PATCH")])
        return
    kinds = [value for name, value in asked.headers if name == b"content-type"]
    stream.answer(200, [(b"content-type", kinds[0])] if kinds else [BYTES], asked.body)


def _status(asked: Asked, stream: RequestStream, argument: str) -> None:
    status = int(argument)
    if not 200 <= status <= 999:
        raise ValueError("a final status is 200 to 999")
    stream.answer(status, [TEXT], b"" if status in _BODILESS else f"{status}\n".encode())


def _delay(asked: Asked, stream: RequestStream, argument: str) -> None:
    stream.later(float(argument), lambda: stream.answer(200, [TEXT], b"ok"))


def _headers(asked: Asked, stream: RequestStream, argument: str) -> None:
    pairs = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in asked.headers]
    stream.answer(200, [JSON], json.dumps(pairs).encode())


def _trailers(asked: Asked, stream: RequestStream, argument: str) -> None:
    stream.answer(200, [TEXT], b"ok", [(b"x-checksum", b"abc"), (b"x-count", b"2")])


def _informational(asked: Asked, stream: RequestStream, argument: str) -> None:
    """One 103, or as many different ones as asked for."""
    links = [b"/style.css", *(b"/style-%d.css" % number for number in range(1, 1000))]
    for link in links[: size_of(argument or "1")]:
        stream.send_headers([(b":status", b"103"), (b"link", b"<%s>; rel=preload" % link)])
    stream.answer(200, [TEXT], b"ok")


def _duplicates(asked: Asked, stream: RequestStream, argument: str) -> None:
    fields = [(b"set-cookie", b"a"), (b"x-one", b"1"), (b"set-cookie", b"b")]
    more = [(b"x-two", b"2"), (b"x-one", b"3"), (b"set-cookie", b"c")]
    stream.answer(200, [TEXT, *fields, *more], b"ok")


def _big_headers(asked: Asked, stream: RequestStream, argument: str) -> None:
    whole, rest = divmod(size_of(argument), _FIELD)
    sizes = [_FIELD] * whole + [rest] * bool(rest)
    stream.answer(200, [TEXT, *((b"x-big", b"x" * size) for size in sizes)], b"ok")


PLAIN: Final[dict[str, Route]] = {
    "ok": _ok,
    "items": _items,
    "echo": _echo,
    "status": _status,
    "delay": _delay,
    "headers": _headers,
    "trailers": _trailers,
    "informational": _informational,
    "duplicates": _duplicates,
    "bigheaders": _big_headers,
}
