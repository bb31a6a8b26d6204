"""Answers of routes: what a route of one's own may return, and how that is sent.

bytes, str                    200, the latter as text/plain
dict, list                    200, as JSON
(status, headers, body)       a whole response
Answer(...)                   the same, with trailers, a delay, a body in pieces, GOAWAY
Reset(code)  Close(code)      the stream's end, the connection's
Silence()                     nothing, ever
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import attrs

from quiver.testing.routes.request import JSON, TEXT, Fields, RequestStream

__all__ = ["Answer", "Close", "Outcome", "Reset", "Silence", "give", "outcome_of"]

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


@attrs.frozen
class Reset:
    """Reset the stream, both ways, with an error code (RFC 9114 8.1)."""

    code: int = 0x102  # H3_INTERNAL_ERROR


@attrs.frozen
class Close:
    """Close the connection with an error code."""

    code: int = 0x100  # H3_NO_ERROR


@attrs.frozen
class Silence:
    """Never answer."""


def _fields(headers: Headers) -> Fields:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs]


def _status(_: object, __: object, status: int) -> None:
    if not 200 <= status <= 999:
        raise ValueError(f"status={status!r}: a final status is 200 to 999")


@attrs.frozen
class Answer:
    """A response, right or wrong.

    Attributes:
        status: 200 to 999.
        headers: a mapping or pairs of text. A content-length is sent as given; without one it
            says the truth, unless the body comes in pieces.
        body: bytes; or pieces, which are sent as fast as the client takes them.
        trailers: sent after the body.
        delay: seconds until any of it is sent.
        goaway: say GOAWAY first: the connection takes no later request, and closes when done.
        then: `Reset` or `Close` in place of the end, once the client has what is before it.
    """

    status: int = attrs.field(default=200, validator=_status)
    headers: Fields = attrs.field(default=(), converter=_fields)
    body: bytes | Iterable[bytes] = b""
    trailers: Fields = attrs.field(default=(), converter=_fields, kw_only=True)
    delay: float = attrs.field(default=0.0, kw_only=True)
    goaway: bool = attrs.field(default=False, kw_only=True)
    then: Reset | Close | None = attrs.field(default=None, kw_only=True)

    @property
    def plain(self) -> bool:
        """Whether the body is whole and its content-length is the true one."""
        lengths = any(name == b"content-length" for name, _ in self.headers)
        return isinstance(self.body, bytes) and self.then is None and not lengths

    def pieces(self) -> Iterator[bytes]:
        """The body, one piece after the other."""
        return iter([self.body] if isinstance(self.body, bytes) else self.body)


Outcome = Answer | Reset | Close | Silence

Returned = Outcome | bytes | str | dict[str, Any] | list[Any] | tuple[int, Headers, bytes]
"""What a route may return."""


def outcome_of(returned: Returned) -> Outcome:
    """Understand what a route has returned. Raises TypeError."""
    match returned:
        case Answer() | Reset() | Close() | Silence():
            return returned
        case bytes():
            return Answer(body=returned)
        case str():
            return Answer(headers=_TEXT, body=returned.encode())
        case dict() | list():
            return Answer(headers=_JSON, body=json.dumps(returned).encode())
        case (int(status), headers, bytes(body)):
            return Answer(status, headers, body)
    raise TypeError(
        f"it returned {returned!r}, but a route returns bytes, str, JSON as dict or list, "
        "(status, headers, body), Answer, Reset, Close or Silence"
    )


def give(outcome: Outcome, stream: RequestStream, method: str) -> None:
    """Send an outcome on the stream of a request with this method."""
    match outcome:
        case Reset(code):
            stream.reset(code)
        case Close(code):
            stream.close(code)
        case Answer():
            stream.later(outcome.delay, lambda: _answer(outcome, stream, method))


def _answer(answer: Answer, stream: RequestStream, method: str) -> None:
    if answer.goaway:
        stream.goaway(None)
    if answer.plain:
        assert isinstance(answer.body, bytes)
        stream.answer(answer.status, answer.headers, answer.body, answer.trailers)
        return
    head = [(b":status", b"%d" % answer.status), *answer.headers]
    stream.send_headers(head, ended=method == "HEAD")
    if method != "HEAD":
        _pour(answer, stream, method)


def _pour(answer: Answer, stream: RequestStream, method: str) -> None:
    if answer.then is not None:
        end = answer.then
        stream.pour(answer.pieces(), lambda: give(end, stream, method))
    elif answer.trailers:
        stream.pour(answer.pieces(), lambda: stream.send_headers(answer.trailers, ended=True))
    else:
        stream.pour(answer.pieces())


_TEXT: Final = [(TEXT[0].decode(), TEXT[1].decode())]
_JSON: Final = [(JSON[0].decode(), JSON[1].decode())]
