"""An HTTP/2 server over TLS on loopback, by h2: it does what a test tells it, also what is wrong.

/ok            "ok"
/echo          the body, when it has come
/bytes/N       N bytes, as the client lets them come
/held          nothing, until the test says `release`
/early         413 before the body has come
/trailers      "x", with a trailer
/hints         103, then 200
/refused       REFUSED_STREAM, the first time
/reset         RST_STREAM after the head
/http1         HTTP_1_1_REQUIRED

A query changes nothing but what is counted.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import H2Error

from quiver.testing import Authority
from tests.support.servers.independent import free_port
from tests.support.servers.tls_accept import secured

__all__ = ["Http2Origin", "Http2Peer"]

PLAIN = [(":status", "200")]


class Http2Peer:
    """One client's connection.

    Attributes:
        open: paths by stream, of requests that have no whole answer.
        most: of those at any time.
        resets: codes that the client has reset streams with.
        settings, h2: to be sent at first; the connection.
    """

    def __init__(self, origin: Http2Origin, sock: ssl.SSLSocket) -> None:
        self.origin = origin
        self.open: dict[int, str] = {}
        self.bodies: dict[int, bytes] = {}
        self.most = 0
        self.resets: list[int] = []
        self.lock = threading.RLock()
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))
        self._socket = sock
        self._unsent: dict[int, int] = {}  # bytes that are still to come
        self._last = 2**31 - 1  # the last stream that it takes
        self._acted = 0  # the last that it has acted upon
        self.over = threading.Event()

    def run(self) -> None:
        with contextlib.suppress(OSError, H2Error, ValueError):
            self.h2.local_settings.update(self.origin.settings)
            self.h2.local_settings.acknowledge()
            self.h2.initiate_connection()
            self.flush()
            while chunk := self._socket.recv(65_536):
                self.origin.may_read.wait()
                with self.lock:
                    for event in self.h2.receive_data(chunk):
                        self._take(event)
                    self._send_bytes()
                    self.flush()
        self.cut()
        self.over.set()

    def flush(self) -> None:
        content = self.h2.data_to_send()
        if content:
            self._socket.sendall(content)

    def _take(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            fields: Any = dict(event.headers or ())
            stream_id, path = int(event.stream_id or 0), str(fields[":path"])
            if stream_id > self._last:
                return
            self.open[stream_id], self.bodies[stream_id] = path, b""
            self.most = max(self.most, len(self.open))
            self.origin.seen[path] += 1
            if path == "/early":
                self.answer(stream_id, status="413")
        elif isinstance(event, DataReceived):
            stream_id = int(event.stream_id or 0)
            if stream_id in self.bodies:
                self.bodies[stream_id] += event.data or b""
            self.h2.acknowledge_received_data(event.flow_controlled_length or 0, stream_id)
        elif isinstance(event, StreamReset):
            self.resets.append(int(event.error_code or 0))
            self.open.pop(int(event.stream_id or 0), None)
            self._unsent.pop(int(event.stream_id or 0), None)
        elif isinstance(event, StreamEnded):
            self._respond(int(event.stream_id or 0))

    def _respond(self, stream_id: int) -> None:
        path = self.open.get(stream_id, "").partition("?")[0]
        if path == "/refused" and self.origin.seen[path] == 1:
            self.h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            del self.open[stream_id]
        elif path == "/reset":
            self.h2.send_headers(stream_id, PLAIN)
            self.h2.reset_stream(stream_id, ErrorCodes.INTERNAL_ERROR)
            del self.open[stream_id]
        elif path == "/http1":
            self.h2.reset_stream(stream_id, ErrorCodes.HTTP_1_1_REQUIRED)
            del self.open[stream_id]
        elif path == "/trailers":
            self.h2.send_headers(stream_id, PLAIN)
            self.h2.send_data(stream_id, b"x")
            self.h2.send_headers(stream_id, [("x-sum", "1")], end_stream=True)
            del self.open[stream_id]
        elif path == "/hints":
            self.h2.send_headers(stream_id, [(":status", "103"), ("link", "</a>")])
            self.answer(stream_id, b"ok")
        elif path.startswith("/bytes/"):
            self.h2.send_headers(stream_id, [*PLAIN, *self.origin.fields])
            self._unsent[stream_id] = int(path.removeprefix("/bytes/"))
        elif path in ("/echo", "/ok", "/refused"):
            self.answer(stream_id, self.bodies[stream_id] if path == "/echo" else b"ok")

    def _send_bytes(self) -> None:
        for stream_id, left in list(self._unsent.items()):
            while left:
                window = self.h2.local_flow_control_window(stream_id)
                piece = min(left, window, self.h2.max_outbound_frame_size)
                if piece <= 0:
                    break
                left -= piece
                self.h2.send_data(stream_id, b"x" * piece, end_stream=not left)
            self._unsent[stream_id] = left
            if not left:
                del self._unsent[stream_id], self.open[stream_id]

    def answer(self, stream_id: int, content: bytes = b"", status: str = "200") -> None:
        self.origin.answered[self.open[stream_id]] += 1
        self._acted = max(self._acted, stream_id)
        self.h2.send_headers(stream_id, [(":status", status)], end_stream=not content)
        for at in range(0, len(content), 16_000):
            ended = at + 16_000 >= len(content)
            self.h2.send_data(stream_id, content[at : at + 16_000], end_stream=ended)
        del self.open[stream_id]

    def release(self) -> None:
        """Answer what is held."""
        with self.lock:
            for stream_id in [each for each, path in self.open.items() if _is_held(path)]:
                self.answer(stream_id, b"released")
            self.flush()

    def goaway(self, last: int, code: int = 0) -> None:
        """Take nothing after this stream, or the last that it has acted upon."""
        with self.lock:
            last = self._last = min(self._last, max(last, self._acted))
            self.h2.close_connection(code, last_stream_id=last)
            self.h2.state_machine.state = type(self.h2.state_machine.state).SERVER_OPEN
            for stream_id in [each for each in self.open if each > last]:
                del self.open[stream_id]
            self.flush()

    def settings(self, values: dict[int, int]) -> None:
        """Tell other settings."""
        with self.lock:
            self.h2.update_settings(values)
            self.flush()

    def write(self, content: bytes) -> None:
        """Send bytes as they are."""
        with self.lock:
            self._socket.sendall(content)

    def cut(self) -> None:
        """Close the TCP connection, without a word."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._socket.close()


class Http2Origin:
    """The server; `seen` counts the requests of each path, `answered` those that it has acted upon.

    Args:
        certificate: paths of it and its key; None has the authority issue one.
        settings: of HTTP/2.
        alpn: what it offers.
        prepare: is given the SSLContext.

    Attributes:
        fields: that each answer to /bytes/N has beside its status.
    """

    def __init__(
        self,
        authority: Authority,
        *,
        certificate: tuple[str, str] | None = None,
        settings: dict[int, int] | None = None,
        alpn: tuple[str, ...] = ("h2",),
        prepare: Callable[[ssl.SSLContext], Any] = lambda _: None,
    ) -> None:
        self.cafile = authority.cafile
        self.settings = settings or {}
        self.fields: list[tuple[str, str]] = []
        self.seen: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.peers: list[Http2Peer] = []
        self.may_read = threading.Event()
        self.may_read.set()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*(certificate or authority.issue()))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        prepare(context)
        self._context = context
        # HTTP/3 is to stand beside it: a client may have any UDP port.
        self._listener = socket.create_server(("127.0.0.1", free_port()))
        self.port = self._listener.getsockname()[1]
        self.url = f"https://localhost:{self.port}"
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.may_read.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self.peers:
            peer.cut()
        for thread in self._threads:
            thread.join(5.0)

    def _start(self, run: Callable[..., object], *args: object) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)
        thread.start()
        self._threads.append(thread)  # then: whoever reaps joins those that run

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            self._serve_securely(secured(self._context, sock))

    def _serve_securely(self, stream: ssl.SSLSocket) -> None:
        peer = Http2Peer(self, stream)
        self.peers.append(peer)
        peer.run()

    def reap(self) -> None:
        """Wait for the threads of connections that are over."""
        accepting, *others = self._threads
        for thread in others:
            thread.join(5.0)
        self._threads = [accepting]

    @contextlib.contextmanager
    def deaf(self) -> Iterator[None]:
        """Read nothing within: what comes waits."""
        self.may_read.clear()
        try:
            yield
        finally:
            self.may_read.set()

    @property
    def held(self) -> int:
        """Requests that wait for `release`."""
        return sum(_is_held(path) for peer in self.peers for path in list(peer.open.values()))

    def release(self) -> None:
        for peer in self.peers:
            with contextlib.suppress(OSError, H2Error):
                peer.release()


def _is_held(path: str) -> bool:
    return path.partition("?")[0] == "/held"
