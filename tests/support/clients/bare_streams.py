"""The bare client with its streams in the test's hands: parts, trailers, datagrams, cancelling."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from aioquic.h3.events import DataReceived, H3Event

from tests.support.clients.bare import BareClient, BareResponse, Pairs

__all__ = ["Flow", "StreamClient"]

_UNSENT: Final = 1024 * 1024


class StreamClient(BareClient):
    """A connection whose requests are sent piece by piece."""

    @property
    def settings(self) -> dict[int, int] | None:
        """The server's SETTINGS, or None while they have not come."""
        return self._h3.received_settings

    @property
    def datagram_limit(self) -> int | None:
        """The server's max_datagram_frame_size, or None when it takes no datagrams."""
        return self._quic._remote_max_datagram_frame_size

    def begin(self, path: str, method: str = "POST", headers: Pairs = ()) -> int:
        """Send the headers of a request and leave it open; return its stream id."""
        return self._begin(path, method, [(b":scheme", b"https"), *headers])

    def connect(self, path: str, protocol: bytes = b"echo") -> int:
        """Begin an extended CONNECT (RFC 9220)."""
        return self._begin(path, "CONNECT", [(b":scheme", b"https"), (b":protocol", protocol)])

    def response(self, stream_id: int) -> BareResponse:
        """What has come on a stream so far."""
        return self._responses[stream_id]

    def send(self, stream_id: int, piece: bytes, *, ended: bool = False) -> None:
        """Send a DATA frame."""
        self._h3.send_data(stream_id, piece, ended)
        self._flush()

    def send_trailers(self, stream_id: int, fields: Pairs, *, ended: bool = True) -> None:
        """Send trailers, with the FIN or without."""
        self._h3.send_headers(stream_id, list(fields), ended)
        self._flush()

    def finish(self, stream_id: int) -> None:
        """Send a FIN of its own, in no frame of HTTP/3."""
        self._quic.send_stream_data(stream_id, b"", end_stream=True)
        self._flush()

    def send_datagram(self, stream_id: int, payload: bytes) -> None:
        """Send an HTTP datagram (RFC 9297)."""
        self._h3.send_datagram(stream_id, payload)
        self._flush()

    def reset(self, stream_id: int, code: int) -> None:
        """Send RESET_STREAM."""
        self._quic.reset_stream(stream_id, code)
        self._flush()

    def stop(self, stream_id: int, code: int) -> None:
        """Send STOP_SENDING."""
        self._quic.stop_stream(stream_id, code)
        self._flush()

    def until(self, met: Callable[[], bool], timeout: float | None = None) -> None:
        """Work until a condition holds. Raises TimeoutError, or Closed."""
        self._until(met, timeout)

    def _begin(self, path: str, method: str, fields: Pairs) -> int:
        stream_id = self._quic.get_next_available_stream_id()
        self._responses[stream_id] = BareResponse()
        authority = (b":authority", self._authority)
        named = [(b":method", method.encode()), authority, (b":path", path.encode())]
        self._h3.send_headers(stream_id, [*named, *fields])
        self._flush()
        return stream_id


class Flow(BareClient):
    """Moves many bytes and keeps none: the yardstick of the streaming benchmark."""

    _came = 0

    def down(self, path: str, streams: int) -> int:
        """GET `path` on so many streams at once; the bytes that came."""
        self._came = 0
        self._until_ended([self.ask(path) for _ in range(streams)])
        return self._came

    def up(self, path: str, streams: int, pieces: Callable[[], Iterator[bytes]]) -> None:
        """POST `pieces()` on so many streams at once, at most 1 MiB of each unacknowledged."""
        left = {self._begun(path): pieces() for _ in range(streams)}
        ids = list(left)
        while left:
            for stream_id, body in list(left.items()):
                if self._fed(stream_id, body):
                    del left[stream_id]
            self._turn(self.timeout)
        self._until_ended(ids)

    def _h3_event(self, event: H3Event) -> None:
        if isinstance(event, DataReceived):
            self._came += len(event.data)
            event.data = b""
        super()._h3_event(event)

    def _until_ended(self, ids: list[int]) -> None:
        while not all(self._responses[stream_id].ended for stream_id in ids):
            self._turn(self.timeout)
        assert {self._responses[stream_id].status for stream_id in ids} == {200}

    def _begun(self, path: str) -> int:
        stream_id = self._quic.get_next_available_stream_id()
        self._responses[stream_id] = BareResponse()
        named = [(b":method", b"POST"), (b":scheme", b"https"), (b":path", path.encode())]
        self._h3.send_headers(stream_id, [*named, (b":authority", self._authority)])
        return stream_id

    def _fed(self, stream_id: int, body: Iterator[bytes]) -> bool:
        """Send what there is room for; whether that was the last of it."""
        sender = self._quic._streams[stream_id].sender
        while sender._buffer_stop - sender._buffer_start < _UNSENT:
            piece = next(body, b"")
            self._h3.send_data(stream_id, piece, not piece)
            if not piece:
                return True
        return False
