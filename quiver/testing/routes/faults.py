"""Routes that misbehave: silence, faults of one stream, faults of the connection.

/hang  /stall                          no answer, half of one
/reset/CODE  /reject                   RESET_STREAM; H3_REQUEST_REJECTED once for each `?id=`
/lie?declared=N&actual=N               a content-length that is not the body's
/malformed[/KIND]                      a header section that no client may take
/close/CODE  /goaway[/ID]              CONNECTION_CLOSE; GOAWAY, and then the answer

Codes are decimal or 0x-hexadecimal.
"""

from __future__ import annotations

from typing import Final

from quiver.testing.options import pattern
from quiver.testing.routes.request import TEXT, Asked, Fields, RequestStream, Route

__all__ = ["FAULTS"]

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


def _hang(asked: Asked, stream: RequestStream, argument: str) -> None:
    """Never answer."""


def _stall(asked: Asked, stream: RequestStream, argument: str) -> None:
    stream.send_headers([(b":status", b"200"), (b"content-length", b"8")])
    stream.send_body(b"half", ended=False)


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


FAULTS: Final[dict[str, Route]] = {
    "hang": _hang,
    "stall": _stall,
    "reset": _reset,
    "reject": _reject,
    "lie": _lie,
    "malformed": _malformed,
    "close": _close,
    "goaway": _goaway,
}
