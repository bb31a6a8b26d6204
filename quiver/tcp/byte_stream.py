"""The seam under HTTP/2 and HTTP/1.1: a stream of bytes, as TCP carries it, with TLS or without.

    stream.begin()
    loop: content = stream.receive(chunk) | stream.write(content)
          send(stream.take())
    stream.end(); send(stream.take())

Sans-IO. Until `ready` nothing is received, and what is written waits. By then the server has been
verified, in full. What ends a stream otherwise than by `ended` is raised, as a ByteStreamFault:
always by the server's doing, or for what the handshake has come to.
"""

from __future__ import annotations

from typing import Protocol

from quiver.errors import HandshakeFailed, QuiverError
from quiver.models import Handshake
from quiver.quic.engine import ConnectionClosed

__all__ = ["ByteStream", "ByteStreamFault", "PlainStream", "broken_off"]


class ByteStreamFault(Exception):
    """The stream is over; `closed` says why."""

    def __init__(self, closed: ConnectionClosed) -> None:
        super().__init__(closed.reason)
        self.closed = closed


class ByteStream(Protocol):
    """Bytes to and from one server."""

    @property
    def says_its_end(self) -> bool:
        """Whether TCP's end without `ended` may be anybody's: what it cuts off is not whole."""

    @property
    def fault(self) -> ByteStreamFault | None:
        """What has come behind the bytes that were received last, and ended it."""

    @property
    def ready(self) -> bool:
        """Whether the handshake is done, and the server is who it should be."""

    @property
    def ended(self) -> bool:
        """Whether the server has said that nothing more comes."""

    @property
    def protocol(self) -> str:
        """What is spoken on it, by ALPN's names, from `ready` on."""

    def begin(self) -> None:
        """Begin the handshake, if there is one."""

    def receive_handshake(self, chunk: bytes) -> bool:
        """Take what has come, of the handshake alone: what follows waits for `receive`, also of
        nothing more. Returns whether it is `ready`. Raises ByteStreamFault."""

    def receive(self, chunk: bytes) -> bytes:
        """Take what has come. Returns the bytes in it. Raises ByteStreamFault."""

    def write(self, content: bytes) -> None:
        """Send bytes. Raises ByteStreamFault."""

    def end(self) -> None:
        """Say that nothing more comes from us."""

    def take(self) -> bytes:
        """What is to be sent, each byte once."""

    def handshake(self, max_streams: int) -> Handshake:
        """What was agreed on, from `ready` on."""

    def broken_off(self, why: str | None, origin: str) -> QuiverError:
        """The error of a socket that is gone before `ready`: who is there has closed it, or `why`,
        in words."""


def broken_off(why: str | None, origin: str) -> HandshakeFailed:
    """As `ByteStream.broken_off`, of the server itself."""
    said = "the server closed it" if why is None else why
    broken = f"the server broke off the handshake: {said}"
    return HandshakeFailed(broken, origin=origin, lasting=False)


class PlainStream:
    """The bytes as they are."""

    ready = True
    ended = False
    says_its_end = False
    fault: ByteStreamFault | None = None

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self._unsent: list[bytes] = []
        self._received = b""

    def begin(self) -> None:
        """There is no handshake."""

    def receive_handshake(self, chunk: bytes) -> bool:
        self._received += chunk
        return True

    def receive(self, chunk: bytes) -> bytes:
        if self._received:
            chunk, self._received = self._received + chunk, b""
        return chunk

    def write(self, content: bytes) -> None:
        self._unsent.append(content)

    def end(self) -> None:
        """Whoever closes the socket says it."""

    def take(self) -> bytes:
        unsent, self._unsent = self._unsent, []
        return b"".join(unsent)

    def handshake(self, max_streams: int) -> Handshake:
        return Handshake("", self.protocol, "", None, float("inf"), max_streams, 0)

    def broken_off(self, why: str | None, origin: str) -> QuiverError:
        return broken_off(why, origin)
