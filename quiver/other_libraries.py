"""What requests and httpx call a part of a response, and what it is here: for AttributeErrors.

Who has an attribute by another library's name asks for it once, and is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["OF_BOTH", "OF_STREAMED", "OF_WHOLE", "absent"]

_STREAM: Final = "ask by stream() for a response that is read as it comes"
_REDIRECTS: Final = "no redirects are followed"
_READ: Final = "read() what is left of the body"

OF_BOTH: Final[Mapping[str, str]] = {
    "status_code": "it is `status`",
    "code": "it is `status`",
    "ok": "raise_for_status() raises from status 400 on",
    "is_success": "raise_for_status() raises from status 400 on",
    "is_error": "raise_for_status() raises from status 400 on",
    "reason": "HTTP/3 and HTTP/2 have none; http.HTTPStatus(status).phrase is the usual one",
    "reason_phrase": "HTTP/3 and HTTP/2 have none; http.HTTPStatus(status).phrase is the usual one",
    "url": _REDIRECTS + ": it is that which was asked for",
    "history": _REDIRECTS,
    "is_redirect": _REDIRECTS + ": header('location') is where to",
    "next_request": _REDIRECTS + ": header('location') is where to",
    "cookies": "header('set-cookie') is the first; `headers` has them all",
    "getheader": "it is header(name)",
    "version": "it is `http_version`",
    "encoding": "header('content-type') names it; `text` of a whole response is decoded by it",
    "elapsed": "take the time around the call; quiver.telemetry tells durations",
}
"""What a whole and a streamed response have in common."""

OF_WHOLE: Final[Mapping[str, str]] = {
    **OF_BOTH,
    "content": "it is `body`",
    "data": "it is `body`",
    "read": f"it is `body`; {_STREAM}",
    "iter_content": _STREAM,
    "iter_bytes": _STREAM,
    "iter_raw": _STREAM,
    "iter_lines": _STREAM,
    "raw": _STREAM,
    "close": f"it is closed; {_STREAM}",
}
"""What one of them has, and `Response` has not."""

OF_STREAMED: Final[Mapping[str, str]] = {
    **OF_BOTH,
    "body": _READ,
    "content": _READ,
    "data": _READ,
    "text": f"{_READ}, or iter_lines()",
    "json": f"{_READ}: json.loads(response.read())",
    "raw": f"{_READ}: it has no content-encoding undone",
    "iter_content": "it is iter_bytes(size)",
    "iter_raw": "it is iter_bytes(size)",
    "iter_text": "it is iter_lines()",
    "aiter_bytes": "iterate over it: async for piece in response",
    "aiter_raw": "iterate over it: async for piece in response",
    "aclose": "it is close(), which waits for nothing",
}
"""What one of them has, and `StreamedResponse` has not."""


def absent(owner: object, name: str, known: Mapping[str, str]) -> AttributeError:
    """Return the error of an attribute that is not there, with what there is in its place."""
    kind = type(owner).__name__
    if name not in known:
        said = f"{kind!r} object has no attribute {name!r}"
        return AttributeError(said, name=name, obj=owner)  # which Python may know better
    return AttributeError(f"a {kind} has no {name}: {known[name]}")
