"""The bare client with its streams in the test's hands: parts, trailers, datagrams, cancelling."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.bare import BareClient, BareResponse, Pairs

__all__ = ["StreamClient"]


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
