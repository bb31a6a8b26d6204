"""What the test origin answers, by path. Each route is told what was asked and uses the stream.

    /ok  /items/N  /echo  /status/N  /headers                   plain answers
    /delay/SECONDS  /hang  /stall                               late, never, half of one
    /trailers  /informational[/COUNT]  /bigheaders/N            less usual ones
    /duplicates                                                 set-cookie a, b, c among others
    /reset/CODE  /reject  /lie  /malformed[/KIND]               faults of one stream
    /close/CODE  /goaway[/ID]                                   faults of the connection

Beside these stand `bodies.py` and `streaming.py`.

`?id=` on any of them is counted: see `Origin.seen`. Codes are decimal or 0x-hexadecimal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import parse_qs

import attrs

from quiver.testing.options import pattern

__all__ = [
    "BYTES",
    "JSON",
    "TEXT",
    "Asked",
    "Fields",
    "RequestStream",
    "Route",
    "answer",
    "asked_from",
    "size_of",
]

Fields = Sequence[tuple[bytes, bytes]]

TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
JSON: Final = (b"content-type", b"application/json")
BYTES: Final = (b"content-type", b"application/octet-stream")
_FIELD: Final = 16_384  # the longest value of one field: the encoder takes little more
_BODILESS: Final = frozenset({204, 304})


@attrs.frozen
class Asked:
    """One complete request."""

    method: str
    path: str
    arguments: dict[str, str]
    headers: Fields
    body: bytes
    trailers: Fields = ()

    def header(self, name: str, default: str | None = None) -> str | None:
        """The first value of a header, whatever the case of `name`."""
        wanted = name.lower().encode()
        return next((v.decode("latin-1") for n, v in self.headers if n == wanted), default)

    @property
    def id(self) -> str | None:
        """The value of `?id=`, by which the ledger counts, or None."""
        return self.arguments.get("id")


class RequestStream(Protocol):
    """The stream a request came on, as a route sees it."""

    def answer(
        self, status: int, headers: Fields, body: bytes = b"", trailers: Fields = ()
    ) -> None:
        """Send a whole response; a HEAD gets it without its body."""

    def send_headers(self, headers: Fields, *, ended: bool = False) -> None:
        """Send one header block as it stands, right or wrong."""

    def send_body(self, content: bytes, *, ended: bool) -> None:
        """Send a piece of body as it stands."""

    def pour(self, pieces: Iterator[bytes], drained: Callable[[], None] | None = None) -> None:
        """Send pieces as the send buffer drains, then FIN; or, once acknowledged, do `drained`."""

    def send_datagram(self, payload: bytes) -> None:
        """Send an HTTP datagram (RFC 9297 2.1), if the client takes any."""

    def stop(self, code: int) -> None:
        """Send STOP_SENDING, if the request is still coming."""

    def reset(self, code: int) -> None:
        """Send RESET_STREAM, and STOP_SENDING if the request is still coming."""

    def reject_once(self, key: str) -> bool:
        """Reset with H3_REQUEST_REJECTED when `key` is new here; say whether it was."""

    def close(self, code: int) -> None:
        """Close the connection."""

    def goaway(self, last: int | None) -> None:
        """Send GOAWAY: for the next id and drain, or with just this id."""

    def later(self, seconds: float, step: Callable[[], None]) -> None:
        """Do `step` after `seconds`, unless the stream is gone by then."""


Route = Callable[[Asked, RequestStream, str], None]


def asked_from(fields: Fields, body: bytes) -> Asked:
    """Read the pseudo-headers (RFC 9114 4.3.1) of a request."""
    method = target = ""
    for name, value in fields[:8]:
        if name == b":method":
            method = value.decode("ascii", "replace")
        elif name == b":path":
            target = value.decode("ascii", "replace")
    path, mark, query = target.partition("?")
    arguments = {name: values[-1] for name, values in parse_qs(query).items()} if mark else {}
    return Asked(method, path, arguments, fields, body)


def answer(asked: Asked, stream: RequestStream, more: Mapping[str, Route]) -> None:
    """Answer by the first segment of the path; 404 for an unknown one, 400 for a bad argument.

    `more` are routes beside those of this file.
    """
    _, _, rest = asked.path.partition("/")
    name, _, argument = rest.partition("/")
    route = _ROUTES.get(name) or more.get(name)
    if route is None:
        stream.answer(404, [TEXT], b"no such path\n")
        return
    try:
        route(asked, stream, argument)
    except (ValueError, OverflowError) as error:
        stream.answer(400, [TEXT], f"{asked.path}: {error}\n".encode())


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


def _hang(asked: Asked, stream: RequestStream, argument: str) -> None:
    """Never answer."""


def _stall(asked: Asked, stream: RequestStream, argument: str) -> None:
    stream.send_headers([(b":status", b"200"), (b"content-length", b"8")])
    stream.send_body(b"half", ended=False)


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


def _reset(asked: Asked, stream: RequestStream, argument: str) -> None:
    stream.reset(int(argument, 0))


def _reject(asked: Asked, stream: RequestStream, argument: str) -> None:
    if not stream.reject_once(asked.id or ""):
        stream.answer(200, [TEXT], b"ok")


def _lie(asked: Asked, stream: RequestStream, argument: str) -> None:
    """Declare one length and send another: `?declared=10&actual=5` unless told otherwise."""
    declared = asked.arguments.get("declared", "10").encode()
    actual = int(asked.arguments.get("actual", "5"))
    stream.send_headers([(b":status", b"200"), (b"content-length", declared)])
    stream.send_body(pattern(actual), ended=True)


def _malformed(asked: Asked, stream: RequestStream, argument: str) -> None:
    fields = _MALFORMED.get(argument or "upper")
    if fields is None:
        raise ValueError(f"kinds are {', '.join(_MALFORMED)}")
    stream.send_headers(fields, ended=True)


def _close(asked: Asked, stream: RequestStream, argument: str) -> None:
    stream.close(int(argument or "0x100", 0))


def _goaway(asked: Asked, stream: RequestStream, argument: str) -> None:
    stream.goaway(int(argument) if argument else None)
    stream.answer(200, [TEXT], b"ok")


def size_of(argument: str) -> int:
    """Read a size or count, 0 to 2**30. Raises ValueError."""
    count = int(argument)
    if not 0 <= count <= 1 << 30:
        raise ValueError("a size is 0 to 2**30")
    return count


# RFC 9114 4.1.2, 4.2 and 4.3: each of these makes the response malformed.
_MALFORMED: Final[dict[str, Fields]] = {
    "upper": [(b":status", b"200"), (b"X-Upper", b"1")],
    "status": [(b"x-no-status", b"1")],
    "twice": [(b":status", b"200"), (b":status", b"200")],
    "pseudo": [(b":status", b"200"), (b":path", b"/")],
    "order": [(b"x-early", b"1"), (b":status", b"200")],
    "connection": [(b":status", b"200"), (b"connection", b"close")],
    "value": [(b":status", b"200"), (b"x-split", b"a\r\nb")],
}

_ROUTES: Final[dict[str, Route]] = {
    "ok": _ok,
    "items": _items,
    "echo": _echo,
    "duplicates": _duplicates,
    "status": _status,
    "delay": _delay,
    "hang": _hang,
    "stall": _stall,
    "headers": _headers,
    "trailers": _trailers,
    "informational": _informational,
    "bigheaders": _big_headers,
    "reset": _reset,
    "reject": _reject,
    "lie": _lie,
    "malformed": _malformed,
    "close": _close,
    "goaway": _goaway,
}
