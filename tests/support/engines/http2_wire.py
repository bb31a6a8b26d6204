"""Our HTTP/2 client and h2's server in one process, joined by bytes, without sockets or TLS."""

from __future__ import annotations

from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded
from hyperframe.frame import Frame

from quiver.h2.client_connection import ClientConnection
from quiver.h3 import events
from quiver.h3.headers import Fields
from quiver.origin import Origin
from quiver.tcp.byte_stream import PlainStream

__all__ = ["GET", "POST", "Http2Wire"]

ORIGIN = Origin("https", "example.com")
GET: Fields = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"example.com"),
    (b":path", b"/"),
]
POST: Fields = [(b":method", b"POST"), *GET[1:]]
OK = [(b":status", b"200")]


class Http2Wire:
    """Both ends, after their prefaces unless `begun` is False.

    Attributes:
        now: the time that both are told.
        seen: what the client has reported.
        heard: what the server has.
        sent: bytes that the client has sent.
    """

    def __init__(
        self,
        *,
        settings: dict[int, int] | None = None,
        begun: bool = True,
        max_header_size: int = 65_536,
        window: int = 1024 * 1024,
        window_max: int = 16 * 1024 * 1024,
    ) -> None:
        self.now = 1.0
        self.seen: list[events.Event] = []
        self.heard: list[Event] = []
        self.sent = b""
        self.client = ClientConnection(
            PlainStream("h2"),
            ORIGIN,
            max_header_size=max_header_size,
            window=window,
            window_max=window_max,
        )
        config = H2Configuration(client_side=False, header_encoding=None)
        self.server = H2Connection(config)
        self.client.connect(self.now)
        self._look()
        if begun:
            self.server.local_settings.update(settings or {100: 0})
            self.server.local_settings.acknowledge()
            self.server.initiate_connection()
            self.pass_on()

    def pass_on(self) -> None:
        """Carry bytes both ways until neither has any."""
        while self.pass_to_server() or self.pass_to_client():
            pass

    def pass_to_server(self) -> bool:
        passed = False
        while chunks := self.client.datagrams(self.now):
            passed = True
            self.sent += b"".join(chunks)
            for chunk in chunks:
                self.heard += self.server.receive_data(chunk)
        return passed

    def pass_to_client(self) -> bool:
        content = self.server.data_to_send()
        if content:
            self.give(content)
        return bool(content)

    def pass_on_what_can_be(self) -> None:
        """Have the client say all that it has to say, to nobody."""
        while chunks := self.client.datagrams(self.now):
            self.sent += b"".join(chunks)
        self._look()

    def give(self, *frames: bytes | Frame) -> None:
        """Give the client bytes of a server's."""
        chunk = b"".join(each if isinstance(each, bytes) else each.serialize() for each in frames)
        self.client.receive_all([chunk], self.now)
        self._look()

    def _look(self) -> None:
        self.seen += self.client.events()

    def open(self, fields: Fields = GET, body: bytes | None = None, **more: Any) -> int:
        """Open a request, and have the server hear of it."""
        stream_id = self.client.open_request(fields, body, **more)
        self.pass_on()
        return stream_id

    def answer(
        self, stream_id: int, content: bytes = b"", *, fields: Any = OK, ended: bool = True
    ) -> None:
        """Have the server answer, and the client hear of it."""
        self.server.send_headers(stream_id, fields, end_stream=ended and not content)
        if content:
            self.server.send_data(stream_id, content, end_stream=ended)
        self.pass_on()

    def tick(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.client.tick(self.now)
        self._look()
        self.pass_on()

    def told(self, *kinds: type) -> list[Any]:
        """What the client has reported of these kinds."""
        return [each for each in self.seen if isinstance(each, kinds)]

    def of(self, stream_id: int) -> list[Any]:
        """What it has reported of a stream."""
        return [each for each in self.seen if getattr(each, "stream_id", None) == stream_id]

    @property
    def error(self) -> Any:
        """What the connection has ended with."""
        (ended,) = self.told(events.ConnectionEnded)
        return ended.error

    def requests(self) -> list[int]:
        """The streams whose requests the server has."""
        return [int(e.stream_id or 0) for e in self.heard if isinstance(e, RequestReceived)]

    def uploaded(self, stream_id: int) -> tuple[bytes, bool]:
        """What the server has of a body, and whether that is all."""
        mine = [each for each in self.heard if getattr(each, "stream_id", None) == stream_id]
        content = b"".join(each.data or b"" for each in mine if isinstance(each, DataReceived))
        return content, any(isinstance(each, StreamEnded) for each in mine)
