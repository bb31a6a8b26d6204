"""A bare HTTP/3 client: aioquic sans-IO on one blocking UDP socket, no pool, no threads.

It tests servers without Quiver, and is the yardstick that benchmarks hold Quiver against.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import attrs
from aioquic.buffer import Buffer, BufferReadError  # type: ignore[attr-defined]
from aioquic.h3.connection import H3Connection, H3Stream
from aioquic.h3.events import DatagramReceived, DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import (
    ConnectionTerminated,
    HandshakeCompleted,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)
from aioquic.tls import SessionTicket

__all__ = ["BareClient", "BareResponse", "Closed", "Run"]

Pairs = Sequence[tuple[bytes, bytes]]
_BUFFER = 4 * 1024 * 1024


class Closed(ConnectionError):
    """The connection ended; `code` and `reason` are the peer's, or aioquic's own."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} (0x{code:x})")
        self.code = code
        self.reason = reason


@attrs.define
class BareResponse:
    """What came back on one stream. `reset` is the code of a RESET_STREAM, if there was one;
    `stopped` of a STOP_SENDING. `datagrams` are those that came for it.
    `early_headers` are the header blocks of the informational responses."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = attrs.field(factory=list)
    body: bytearray = attrs.field(factory=bytearray)
    trailers: list[tuple[bytes, bytes]] = attrs.field(factory=list)
    informational: list[int] = attrs.field(factory=list)
    early_headers: list[list[tuple[bytes, bytes]]] = attrs.field(factory=list)
    datagrams: list[bytes] = attrs.field(factory=list)
    reset: int | None = None
    stopped: int | None = None
    ended: bool = False


@attrs.frozen
class Run:
    """One measured run: wall-clock and CPU seconds, and the responses in order of asking."""

    seconds: float
    cpu_seconds: float
    responses: list[BareResponse]

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.responses) / self.seconds


class _H3(H3Connection):
    """aioquic holds a HEAD's content-length against its missing body (RFC 9110 8.6 allows it)."""

    def __init__(self, quic: QuicConnection) -> None:
        super().__init__(quic)
        self.heads: set[int] = set()

    def _check_content_length(self, stream: H3Stream) -> None:
        if stream.stream_id not in self.heads:
            super()._check_content_length(stream)


class BareClient:
    """One connection to a server on 127.0.0.1. Connects on construction; `with` closes it.

    Args:
        keep_ticket: is given the tickets that the server gives; without it, none is taken.
        ticket: by which the session is resumed.
        early: a path that is asked in the first flight, on stream 0.
    """

    def __init__(
        self,
        port: int,
        cafile: str | None = None,
        *,
        host: str = "localhost",
        timeout: float = 10.0,
        max_data: int = 8 * 1024 * 1024,
        keep_ticket: Callable[[SessionTicket], None] | None = None,
        ticket: SessionTicket | None = None,
        early: str | None = None,
    ) -> None:
        self.timeout = timeout
        self.goaways: list[int] = []
        self.negotiated: HandshakeCompleted | None = None
        self._closed: ConnectionTerminated | None = None
        self._refused: ConnectionRefusedError | None = None
        self._responses: dict[int, BareResponse] = {}
        self._ended = 0
        self._control = b""
        self._authority = f"{host}:{port}".encode()
        self._socket = _connected_socket(port)
        configuration = QuicConfiguration(
            alpn_protocols=["h3"],
            server_name=host,
            cafile=cafile,
            max_data=max_data,
            max_datagram_frame_size=65_536,
            session_ticket=ticket,
        )
        self._quic = QuicConnection(configuration=configuration, session_ticket_handler=keep_ticket)
        self._server = ("127.0.0.1", port)
        self._quic.connect(self._server, now=time.monotonic())
        self._h3 = _H3(self._quic)
        if early is not None:
            self._open(early, "GET", (), None)
        try:
            self._until(lambda: self.negotiated is not None)
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Send CONNECTION_CLOSE and close the socket."""
        self._quic.close(error_code=0x100)
        self._flush()
        self._socket.close()

    @property
    def max_streams(self) -> int:
        """The server's cumulative MAX_STREAMS for requests, as known now."""
        return int(self._quic._remote_max_streams_bidi)

    def ask(
        self, path: str, method: str = "GET", headers: Pairs = (), body: bytes | None = None
    ) -> int:
        """Send a request without waiting; return its stream id."""
        stream_id = self._open(path, method, headers, body)
        self._flush()
        return stream_id

    def wait(self, stream_id: int, timeout: float | None = None) -> BareResponse:
        """Return the response on a stream once it has ended or was reset.

        Raises TimeoutError, or Closed when the connection ended first.
        """
        response = self._responses[stream_id]
        self._until(lambda: response.ended, timeout)
        return response

    def get(self, path: str) -> BareResponse:
        """Ask and wait."""
        return self.wait(self.ask(path))

    def request(
        self, method: str, path: str, headers: Pairs = (), body: bytes | None = None
    ) -> BareResponse:
        """Ask and wait, with any method, headers and body."""
        return self.wait(self.ask(path, method, headers, body))

    def wait_goaway(self, count: int = 1) -> int:
        """Wait for the server's GOAWAY number `count`; return the id that the last one carried."""
        self._until(lambda: len(self.goaways) >= count)
        return self.goaways[-1]

    def wait_closed(self, timeout: float | None = None) -> Closed:
        """Wait until the server closes the connection; return with what."""
        try:
            self._until(lambda: False, timeout)
        except Closed as closed:
            return closed
        raise AssertionError("unreachable")

    def run(self, requests: int, in_flight: int, path: str = "/ok") -> Run:
        """GET `path` `requests` times, with `in_flight` streams open at once."""
        ids: list[int] = []
        done = self._ended + requests
        ended_before = self._ended
        started, cpu = time.perf_counter(), time.process_time()
        while self._ended < done:
            room = min(
                in_flight - (len(ids) - (self._ended - ended_before)),
                requests - len(ids),
                self.max_streams - self._quic.get_next_available_stream_id() // 4,
            )
            for _ in range(room):
                ids.append(self._open(path, "GET", (), None))
            self._turn(self.timeout)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        return Run(seconds, cpu, [self._responses[stream_id] for stream_id in ids])

    def _open(self, path: str, method: str, headers: Pairs, body: bytes | None) -> int:
        stream_id = self._quic.get_next_available_stream_id()
        fields = [
            (b":method", method.encode()),
            (b":scheme", b"https"),
            (b":authority", self._authority),
            (b":path", path.encode()),
            *headers,
        ]
        self._responses[stream_id] = BareResponse()
        if method == "HEAD":
            self._h3.heads.add(stream_id)
        self._h3.send_headers(stream_id, fields, end_stream=body is None)
        if body is not None:
            self._h3.send_data(stream_id, body, end_stream=True)
        return stream_id

    def _until(self, met: Callable[[], bool], timeout: float | None = None) -> None:
        limit = self.timeout if timeout is None else timeout
        due = time.monotonic() + limit
        while not met():
            if self._closed is not None:
                raise Closed(self._closed.error_code, self._closed.reason_phrase)
            left = due - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"nothing within {limit} s")
            self._turn(left, strict=False)

    def _turn(self, patience: float, *, strict: bool = True) -> None:
        """Send what there is, wait for a datagram or the timer, and take in all that has come."""
        self._flush()
        timer = self._quic.get_timer()
        now = time.monotonic()
        wait = patience if timer is None else max(0.0, min(timer - now, patience))
        if select.select([self._socket], [], [], wait)[0]:
            self._receive()
        elif timer is not None and time.monotonic() >= timer:
            self._quic.handle_timer(now=max(timer, time.monotonic()))
        self._read_events()
        if self._refused is not None and self._quic._close_event is None:  # no farewell came
            raise self._refused
        if strict and self._closed is not None:
            raise Closed(self._closed.error_code, self._closed.reason_phrase)

    def _receive(self) -> None:
        now = time.monotonic()
        while True:
            try:
                datagram = self._socket.recv(65_536)
            except BlockingIOError:
                return
            except ConnectionRefusedError as error:
                self._refused = error
                continue
            self._quic.receive_datagram(datagram, self._server, now=now)

    def _flush(self) -> None:
        for datagram, _ in self._quic.datagrams_to_send(now=time.monotonic()):
            try:
                self._socket.send(datagram)
            except BlockingIOError:
                pass  # lost: QUIC sends it again
            except ConnectionRefusedError as error:
                self._refused = error

    def _read_events(self) -> None:
        while (event := self._quic.next_event()) is not None:
            if isinstance(event, ConnectionTerminated):
                self._closed = event
            elif isinstance(event, HandshakeCompleted):
                self.negotiated = event
            elif isinstance(event, StreamReset) and event.stream_id in self._responses:
                self._responses[event.stream_id].reset = event.error_code
                self._finish(self._responses[event.stream_id])
            elif isinstance(event, StopSendingReceived):
                self._responses[event.stream_id].stopped = event.error_code
            elif isinstance(event, StreamDataReceived) and event.stream_id % 4 == 3:
                self._watch_control(event)
            for h3_event in self._h3.handle_event(event):
                self._h3_event(h3_event)

    def _h3_event(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            response = self._responses[event.stream_id]
            self._headers(response, event.headers)
        elif isinstance(event, DatagramReceived):
            self._responses[event.stream_id].datagrams.append(event.data)
            return
        elif isinstance(event, DataReceived):
            response = self._responses[event.stream_id]
            response.body += event.data
        else:
            return
        if event.stream_ended:
            self._finish(response)

    def _headers(self, response: BareResponse, headers: list[tuple[bytes, bytes]]) -> None:
        if response.status:
            response.trailers = headers
            return
        status = int(dict(headers).get(b":status", b"0"))
        if 100 <= status < 200:
            response.informational.append(status)
            response.early_headers.append(headers)
        else:
            response.status, response.headers = status, headers

    def _finish(self, response: BareResponse) -> None:
        if not response.ended:
            response.ended = True
            self._ended += 1

    def _watch_control(self, event: StreamDataReceived) -> None:
        """Read GOAWAY, which aioquic hides, from the server's control stream (RFC 9114 6.2.1)."""
        if self._h3._peer_control_stream_id not in (None, event.stream_id):
            return
        if not self._control and event.data[:1] != b"\x00":
            return
        self._control += event.data
        buffer, self.goaways = Buffer(data=self._control), []
        buffer.pull_uint_var()  # the stream's type
        try:
            while not buffer.eof():
                kind, size = buffer.pull_uint_var(), buffer.pull_uint_var()
                payload = Buffer(data=buffer.pull_bytes(size))
                if kind == 0x07:
                    self.goaways.append(payload.pull_uint_var())
        except BufferReadError:
            pass  # the rest is still to come


def _connected_socket(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    made.connect(("127.0.0.1", port))
    made.setblocking(False)
    return made
