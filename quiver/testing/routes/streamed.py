"""Routes that take a request up at its headers, and are told of its body as it comes.

/echo-stream              200 at once, each piece of body back, trailers back at the end
/early/STATUS?after=BYTES a whole answer after the first piece (or BYTES), then STOP_SENDING
/digest                   {"size", "sha256"} of a body that is not kept
/request-trailers         the request's trailers as JSON pairs
/session  /datagrams      a channel (RFC 9297; the first by extended CONNECT, RFC 9220): stream
                          bytes and datagrams come back; ?greet=N datagrams before the
                          response, ?flood=N of 100 bytes after it, ?status=N refuses,
                          ?reset=CODE resets after the first datagram
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Final

from quiver.testing.routes.receiver import Receiver
from quiver.testing.routes.request import JSON, TEXT, Asked, Fields, RequestStream

__all__ = ["STREAMED"]

_NO_ERROR: Final = 0x100  # H3_NO_ERROR, RFC 9114 8.1
_FLOOD: Final = 100  # bytes


class _Echo(Receiver):
    def __init__(self, asked: Asked, stream: RequestStream, argument: str) -> None:
        super().__init__(asked, stream, argument)
        stream.send_headers([(b":status", b"200")])

    def body(self, piece: bytes) -> None:
        self.stream.send_body(piece, ended=False)

    def ended(self, trailers: Fields) -> None:
        if trailers:
            self.stream.send_headers(trailers, ended=True)
        else:
            self.stream.send_body(b"", ended=True)


class _Early(Receiver):
    def __init__(self, asked: Asked, stream: RequestStream, argument: str) -> None:
        super().__init__(asked, stream, argument)
        self._status = int(argument)
        self._after = int(asked.arguments.get("after", "1"))
        self._size = 0

    def body(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size >= self._after:
            self.stream.answer(self._status, [TEXT], b"early\n")
            self.stream.stop(_NO_ERROR)

    def ended(self, trailers: Fields) -> None:
        self.stream.answer(self._status, [TEXT], b"early\n")


class _Digest(Receiver):
    def __init__(self, asked: Asked, stream: RequestStream, argument: str) -> None:
        super().__init__(asked, stream, argument)
        self._size = 0
        self._hash = hashlib.sha256()

    def body(self, piece: bytes) -> None:
        self._size += len(piece)
        self._hash.update(piece)

    def ended(self, trailers: Fields) -> None:
        digest = {"size": self._size, "sha256": self._hash.hexdigest()}
        self.stream.answer(200, [JSON], json.dumps(digest).encode())


class _Trailers(Receiver):
    def ended(self, trailers: Fields) -> None:
        pairs = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in trailers]
        self.stream.answer(200, [JSON], json.dumps(pairs).encode())


class _Channel(Receiver):
    def __init__(self, asked: Asked, stream: RequestStream, argument: str) -> None:
        super().__init__(asked, stream, argument)
        given = asked.arguments
        self._reset = int(given["reset"], 0) if "reset" in given else None
        status = int(given.get("status", "200"))
        greet, flood = int(given.get("greet", "0")), int(given.get("flood", "0"))
        if status != 200:
            stream.answer(status, [TEXT], b"refused\n")
            return
        for number in range(greet):
            stream.send_datagram(b"greet-%d" % number)
        stream.send_headers([(b":status", b"200"), (b"capsule-protocol", b"?1")])
        for number in range(flood):
            stream.send_datagram((b"flood-%d" % number).ljust(_FLOOD, b"."))

    def body(self, piece: bytes) -> None:
        self.stream.send_body(piece, ended=False)

    def datagram(self, payload: bytes) -> None:
        if self._reset is not None:
            self.stream.reset(self._reset)
        else:
            self.stream.send_datagram(payload)

    def ended(self, trailers: Fields) -> None:
        # A GET ends its half at once: its channel stays open for datagrams.
        if self.asked.method == "CONNECT":
            self.stream.send_body(b"", ended=True)


class _Session(_Channel):
    def __init__(self, asked: Asked, stream: RequestStream, argument: str) -> None:
        if asked.method != "CONNECT" or b":protocol" not in dict(asked.headers):
            raise ValueError("a session is opened by CONNECT with a :protocol")
        super().__init__(asked, stream, argument)


STREAMED: Final[dict[str, Callable[[Asked, RequestStream, str], Receiver]]] = {
    "echo-stream": _Echo,
    "early": _Early,
    "digest": _Digest,
    "request-trailers": _Trailers,
    "session": _Session,
    "datagrams": _Channel,
}
