"""A request as a route gets it, and the stream that it is answered on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol
from urllib.parse import parse_qs

import attrs

__all__ = [
    "BYTES",
    "JSON",
    "TEXT",
    "Asked",
    "Fields",
    "RequestStream",
    "Route",
    "asked_from",
    "size_of",
]

Fields = Sequence[tuple[bytes, bytes]]

TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")
JSON: Final = (b"content-type", b"application/json")
BYTES: Final = (b"content-type", b"application/octet-stream")


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
        """Return the first value of a header, whatever the case of `name`."""
        wanted = name.lower().encode()
        return next((v.decode("latin-1") for n, v in self.headers if n == wanted), default)

    @property
    def id(self) -> str | None:
        """The value of `?id=`, by which requests are counted, or None."""
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


def size_of(argument: str) -> int:
    """Read a size or count, 0 to 2**30. Raises ValueError."""
    count = int(argument)
    if not 0 <= count <= 1 << 30:
        raise ValueError("a size is 0 to 2**30")
    return count
