"""Tunnel: a stream of bytes through a proxy, by CONNECT (RFC 9110 9.3.6). Sans-IO and pure.

    begin --> CONNECT --2xx--> the stream within, from its own beginning on
                      --else-> ByteStreamFault, with the proxy's answer in words

It is a ByteStream around another one, and has TLS around itself where the proxy is `https://`. What
is within, TLS with the origin for one, knows nothing of it, nor does the proxy of what is within.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, TypeVar

from quiver.errors import HandshakeFailed, QuiverError
from quiver.models import Handshake
from quiver.printable import in_message
from quiver.proxies import Proxy
from quiver.quic.engine import Cause, ConnectionClosed
from quiver.tcp.byte_stream import ByteStream, ByteStreamFault
from quiver.tcp.tls_stream import TlsStream

__all__ = ["Tunnel"]

_LONGEST: Final = 65_536  # bytes of the answer's head
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: ([^\r\n]*))?\r?\n")
_END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")
_Error = TypeVar("_Error", bound=QuiverError)
_LATER: Final = (408, 429, 500, 502, 503, 504)


class Tunnel:
    """The stream to `place` through a proxy.

    Args:
        within: what goes through; it has not begun.
        origin: as text, for errors.
        place: its host and port, as CONNECT has them.
        around: TLS with the proxy, where that is `https://`.
        reason: what to call the end of that in its handshake.
    """

    def __init__(
        self,
        within: ByteStream,
        origin: str,
        place: str,
        proxy: Proxy,
        around: TlsStream | None = None,
        reason: Callable[[ConnectionClosed], QuiverError] | None = None,
    ) -> None:
        self._within = within
        self._origin = origin
        self._place = place
        self._proxy = proxy
        self._around = around
        self._reason = reason
        self._head = b""  # what has come of one that has no end yet
        self._size = 0  # bytes of the whole answer, the interim ones too
        self._asked = False
        self._open = False
        self._unsent: list[bytes] = []

    @property
    def says_its_end(self) -> bool:
        return self._within.says_its_end

    @property
    def fault(self) -> ByteStreamFault | None:
        return self._within.fault

    @property
    def ready(self) -> bool:
        return self._open and self._within.ready

    @property
    def ended(self) -> bool:
        return self._within.ended or (self._around is not None and self._around.ended)

    @property
    def protocol(self) -> str:
        return self._within.protocol

    def begin(self) -> None:
        if self._asked:  # by who has seen to the handshake
            return
        if self._around is None:
            self._ask()
        else:
            self._of_proxy(self._around.begin)

    def receive_handshake(self, chunk: bytes) -> bool:
        content = self._opened(chunk)
        if not self._open:
            return False
        return self._within.receive_handshake(content)

    def receive(self, chunk: bytes) -> bytes:
        content = self._opened(chunk)
        return self._within.receive(content) if self._open else b""

    def write(self, content: bytes) -> None:
        self._within.write(content)

    def end(self) -> None:
        self._within.end()

    def take(self) -> bytes:
        unsent, self._unsent = self._unsent, []
        if self._open:
            unsent.append(self._within.take())
        content = b"".join(unsent)
        if self._around is None:
            return content
        if content and self._around.ready:
            self._around.write(content)
        return self._around.take()

    def handshake(self, max_streams: int) -> Handshake:
        return self._within.handshake(max_streams)

    def broken_off(self, why: str | None, origin: str) -> QuiverError:
        if self._open:
            return self._within.broken_off(why, origin)
        said = "it closed the connection" if why is None else why
        error = self._blamed(HandshakeFailed, f"it broke off before it answered: {said}")
        error.lasting = False
        return error

    # the proxy ------------------------------------------------------------------------------

    def _opened(self, chunk: bytes) -> bytes:
        """What is for the stream within, of what has come."""
        content = chunk
        if self._around is not None:
            content = self._of_proxy(self._around.receive, chunk) or b""
            if self._around.ready and not self._asked:
                self._ask()
        if self._open:
            return content
        self._head += content
        self._size += len(content)
        while found := _END_OF_HEAD.search(self._head):
            head, self._head = self._head[: found.end()], self._head[found.end() :]
            if self._opens(head):
                self._open = True
                self._within.begin()
                rest, self._head = self._head, b""
                return rest
        if self._size > _LONGEST:
            raise self._refused("its answer has no end")
        return b""

    def _ask(self) -> None:
        self._asked = True
        lines = [f"CONNECT {self._place} HTTP/1.1", f"Host: {self._place}"]
        if self._proxy.authorization:
            lines.append(f"Proxy-Authorization: {self._proxy.authorization}")
        self._unsent.append("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def _opens(self, head: bytes) -> bool:
        """Whether that is it; False for an interim answer (RFC 9110 15.2). Raises: it is not."""
        answer = _STATUS_LINE.match(head)
        if answer is None:
            raise self._refused("it does not speak HTTP/1.1")
        status = int(answer[1])
        if status // 100 == 1 and status != HTTPStatus.SWITCHING_PROTOCOLS:
            return False
        if 200 <= status < 300:
            return True
        words = (answer[2] or b"").decode("latin-1")
        said = f"{status} {in_message(words, 100)}".strip()
        if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
            given = self._proxy.authorization is not None
            said += ": it refuses these credentials" if given else ": it wants credentials"
        raise self._refused(f"it answered {said}", lasting=status not in _LATER)

    def _of_proxy(self, step: Callable[..., bytes | None], *args: bytes) -> bytes | None:
        """Take a step of the TLS with the proxy: what is wrong there is not the origin's doing."""
        try:
            return step(*args)
        except ByteStreamFault as fault:
            if self._open or self._reason is None:
                raise
            error = self._reason(fault.closed)
            said = error.message.replace("the server's", "its").replace("the server ", "it ")
            blamed = self._blamed(type(error), said)
            if isinstance(error, HandshakeFailed) and isinstance(blamed, HandshakeFailed):
                blamed.lasting = error.lasting
            closed = ConnectionClosed(Cause.RAISED, error=blamed, by_peer=True)
            raise ByteStreamFault(closed) from fault

    def _refused(self, said: str, *, lasting: bool = True) -> ByteStreamFault:
        error = self._blamed(HandshakeFailed, said)
        error.lasting = lasting
        return ByteStreamFault(ConnectionClosed(Cause.RAISED, error=error, by_peer=True))

    def _blamed(self, kind: type[_Error], said: str) -> _Error:
        error = kind(f"the proxy {self._proxy}: {said}", origin=self._origin)
        error.by_proxy = True
        return error
