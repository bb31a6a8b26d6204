"""HTTP/1.1 by Python's own server, over TLS or not: whole bodies in, whole bodies out."""

from __future__ import annotations

import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from tests.support.servers.tls_accept import secured

__all__ = ["KIND", "Http1Handler", "serving"]

# Without one, Caddy guesses from what has come when it answers: now and then, from nothing.
KIND: Final = ("content-type", "application/octet-stream")
BODILESS: Final = (204, 304)


class Http1Handler(BaseHTTPRequestHandler):
    """One connection; `answer` is called for each request, whatever its method."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """Read the request's body, and send a response."""
        raise NotImplementedError

    def _answered(self) -> None:
        self.answer()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answered  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quietly."""

    def read(self) -> bytes:
        """Return the body of the request."""
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def send(self, status: int, body: bytes = b"", *fields: tuple[str, str]) -> None:
        """Send a whole response."""
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        if status not in BODILESS:
            if all(name != "content-type" for name, _ in fields):
                self.send_header(*KIND)
            self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status not in BODILESS:
            self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    context: ssl.SSLContext | None = None

    def get_request(self) -> tuple[socket.socket, Any]:
        accepted, address = super().get_request()
        if self.context is None:
            return accepted, address
        return secured(self.context, accepted), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what has failed, but not that a client left: another test may read what is said."""
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLEOFError):
            super().handle_error(request, client_address)


@contextmanager
def serving(
    handler: type[Http1Handler], certificate: tuple[str, str] | None = None
) -> Iterator[int]:
    """Its port, on 127.0.0.1. With a certificate (and its key) it speaks HTTPS."""
    with _Server(("127.0.0.1", 0), handler) as server:
        if certificate is not None:
            server.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            server.context.load_cert_chain(*certificate)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(5.0)
