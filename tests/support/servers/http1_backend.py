"""A plain HTTP/1.1 server of Python's own, for a proxy to stand before: it does what it is told.

/back/echo             {"method", "path", "headers", "body"} as JSON
/back/status/N         N, with its number as the body
/back/delay/SECONDS    "late", after so long
/back/drip/N/SECONDS   N pieces of one byte, so far apart
/back/short            a body that ends before its content-length
/back/half/SECONDS     half of a body, and the rest after so long
/back/to?url=&status=  a redirect
/back/cookie?NAME=VALUE  Set-Cookie for each
/back/auth             200 for user:pass, else 401
/back/announce?field=  Alt-Svc
/back/plain            4,000 bytes of text, for a proxy to encode
/back/named?name=&value=&body=  one field of that name
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from tests.support.servers.http1_server import KIND, Http1Handler, serving

__all__ = ["TEXT", "backend"]

TEXT: Final = ("the quick brown fox jumps over the lazy dog\n" * 100)[:4000].encode()

_OF_THE_WAY: Final = ("connection", "transfer-encoding", "te", "via", "keep-alive", "accept")
_GRANTED: Final = "Basic " + base64.b64encode(b"user:pass").decode()


class _Backend(Http1Handler):
    def answer(self) -> None:
        url = urlsplit(self.path)
        _, _, name, *arguments = url.path.split("/")
        self.body = self.read()
        route = getattr(self, f"_{name}", None)
        if route is None:
            self.send(404, b"no such path")
        elif name == "echo":
            self._echo()
        else:
            route(*arguments, **dict(parse_qsl(url.query)))

    def _echo(self) -> None:
        fields = [
            [name.lower(), value]
            for name, value in self.headers.items()
            if name.lower() not in _OF_THE_WAY and not name.lower().startswith("x-forwarded")
        ]
        told = {
            "method": self.command,
            "path": self.path,
            "headers": sorted(fields),
            "body": self.body.decode("latin-1"),
        }
        self.send(200, json.dumps(told).encode(), ("content-type", "application/json"))

    def _status(self, status: str) -> None:
        kind = ("content-type", "text/plain; charset=utf-8")
        self.send(int(status), status.encode(), *([] if status in ("204", "304") else [kind]))

    def _delay(self, seconds: str) -> None:
        time.sleep(float(seconds))
        self.send(200, b"late")

    def _drip(self, count: str, seconds: str) -> None:
        self.send_response(200)
        self.send_header(*KIND)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for _ in range(int(count)):
            self.wfile.write(b"1\r\n.\r\n")
            self.wfile.flush()
            time.sleep(float(seconds))
        self.wfile.write(b"0\r\n\r\n")

    def _short(self) -> None:
        self.send_response(200)
        self.send_header(*KIND)
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 500)
        self.close_connection = True

    def _half(self, seconds: str) -> None:
        self.send_response(200)
        self.send_header(*KIND)
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 500)
        self.wfile.flush()
        time.sleep(float(seconds))
        self.wfile.write(b"x" * 500)

    def _to(self, url: str, status: str = "302") -> None:
        self.send(int(status), b"", ("location", url))

    def _cookie(self, **cookies: str) -> None:
        fields = [("set-cookie", f"{name}={value}; Path=/") for name, value in cookies.items()]
        self.send(200, b"set", *fields)

    def _auth(self) -> None:
        if self.headers.get("authorization") == _GRANTED:
            self.send(200, b"granted")
        else:
            self.send(401, b"who?", ("www-authenticate", 'Basic realm="quiver"'))

    def _announce(self, field: str) -> None:
        self.send(200, b"told", ("alt-svc", field))

    def _plain(self) -> None:
        self.send(200, TEXT, ("content-type", "text/plain; charset=utf-8"))

    def _named(self, name: str, value: str, body: str = "") -> None:
        self.send(200, body.encode("latin-1"), (name, value))


@contextmanager
def backend(certificate: tuple[str, str] | None = None) -> Iterator[int]:
    """Its port, on 127.0.0.1. With a certificate (and its key) it speaks HTTPS, on TCP only."""
    with serving(_Backend, certificate) as port:
        yield port
