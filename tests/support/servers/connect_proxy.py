"""A proxy that speaks CONNECT, on 127.0.0.1: it does what a test tells it, also what is wrong."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Self

from tests.support.servers.tls_accept import secured

__all__ = ["ConnectProxy"]


class ConnectProxy:
    """It lets through whom it is to, to this machine alone.

    Attributes:
        heads: of the requests that it got.

    Args:
        certificate: and its key: it speaks TLS.
        answer: a status line that it gives instead of a connection; "" says nothing, ever.
        authorization: what it wants to be given.
    """

    def __init__(
        self,
        certificate: tuple[str, str] | None = None,
        *,
        answer: str | None = None,
        authorization: str | None = None,
        family: int = socket.AF_INET,
    ) -> None:
        self._answer = answer
        self._authorization = authorization
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*certificate)
        self._listener = socket.create_server(
            ("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family
        )
        self.port: int = self._listener.getsockname()[1]
        self.heads: list[str] = []
        self._open: list[socket.socket] = []
        self._turn = threading.Lock()
        self._over = False

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._turn:
            self._over = True
        for each in self._open:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)
            each.close()

    def _keep(self, opened: socket.socket) -> socket.socket:
        """Have it closed at the end; raise OSError if that has been."""
        with self._turn:
            if self._over:
                opened.close()
                raise OSError("it is over")
            self._open.append(opened)
        return opened

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                self._keep(accepted)
                threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._tls is not None:
                client = self._keep(secured(self._tls, client))
            head = b""
            while b"\r\n\r\n" not in head:
                chunk = client.recv(1)
                if not chunk:
                    return
                head += chunk
            told = head.decode("latin-1")
            self.heads.append(told)
            answer = self._answer
            wanted = self._authorization
            if wanted is not None and f"Proxy-Authorization: {wanted}\r\n" not in told:
                answer = "407 Proxy Authentication Required"
            if answer is not None:
                if answer:
                    client.sendall(f"HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n".encode())
                return
            place = told.split(" ")[1]
            port = int(place.rpartition(":")[2])
            through = self._keep(socket.create_connection(("127.0.0.1", port)))
            client.sendall(b"HTTP/1.1 200 Connection established\r\nx: y\r\n\r\n")
            back = threading.Thread(target=self._copy, args=(through, client), daemon=True)
            back.start()
            self._copy(client, through)

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65_536):
                sink.sendall(chunk)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
