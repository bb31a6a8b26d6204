"""aioquic's private names that the test server needs, in this file and in no other of it.

aioquic's documented interface does not tell which streams there are, how much of one is
acknowledged, or that a connection is closing; nor does it let a server withhold MAX_STREAMS or
choose its stateless reset tokens. REQUIRED lists the names that are needed beyond it. They are
looked for when this is imported, and what is missing is named there, not in the middle of a test.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import aioquic
from aioquic import tls
from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection, QuicReceiveContext
from aioquic.quic.stream import QuicStream

from quiver.required_names import Names, missing

__all__ = ["REQUIRED", "ServerQuic", "require"]

TRIED: Final = "1.7.2"

REQUIRED: Final[Mapping[str, Names]] = {
    "a QuicConnection": {
        "_close_event": object,
        "_handle_stream_frame": object,
        "_host_cids": list,
        "_local_max_streams_bidi.frame_type": int,
        "_local_max_streams_bidi.name": str,
        "_local_max_streams_bidi.sent": int,
        "_local_max_streams_bidi.used": int,
        "_local_max_streams_bidi.value": int,
        "_remote_max_datagram_frame_size": object,
        "_initialize": object,
        "_replenish_connection_ids": object,
        "_serialize_transport_parameters": object,
        "_streams": dict,
        "_update_traffic_key": object,
        "host_cid": bytes,
    },
    "a QuicStream": {
        "receiver.is_finished": bool,
        "sender._buffer_start": int,
        "sender._buffer_stop": int,
        "sender._reset_error_code": object,
    },
}

_STAY: Final = b"\x0c\x00"  # disable_active_migration, which has no value (RFC 9000 18.2)
_REQUEST_STREAMS: Final = 4  # every fourth id is a client's bidirectional stream (RFC 9000 2.1)


_NEW: Final[Mapping[str, Callable[[], Any]]] = {
    # A client's: a server's wants a certificate, and has the same names.
    "a QuicConnection": lambda: QuicConnection(configuration=QuicConfiguration()),
    "a QuicStream": lambda: QuicStream(0, 1, 1),
}


def require() -> None:
    """Raise ImportError when a name of REQUIRED is missing; it names them all."""
    lacks = missing(REQUIRED, _NEW)
    if lacks:
        release = getattr(aioquic, "__version__", "of an unknown version")
        raise ImportError(
            f"quiver.testing cannot do with aioquic {release}, which has not: {', '.join(lacks)}. "
            f"Install a release that it was tried with: pip install 'aioquic=={TRIED}'"
        )


require()


class StreamLimit:
    """The server's MAX_STREAMS for requests, in place of aioquic's `Limit`, which it acts as.

    aioquic gives a stream back for each that ends, by setting `value`. Unless `raised` is on the
    value stays where it is, and only `allow` raises it.
    """

    def __init__(self, theirs: Any, streams: int, *, raised: bool) -> None:
        self.frame_type = theirs.frame_type
        self.name = theirs.name
        self.sent = streams
        self.used = 0
        self._value = streams
        self._raised = raised

    @property
    def value(self) -> int:
        """How many streams the client may ever open: MAX_STREAMS is cumulative (RFC 9000 4.6)."""
        return self._value

    @value.setter
    def value(self, streams: int) -> None:
        if self._raised:
            self._value = streams

    def allow(self, streams: int) -> None:
        """Raise it to `streams` in all; the client is told with the next flush."""
        self._value = max(self._value, streams)


class RejectingContext(tls.Context):
    """aioquic's TLS, which leaves early data aside."""

    early_data_accepted = property(lambda _: False, lambda *_: None)


class ServerQuic(QuicConnection):
    """aioquic's connection, with public names for what the server needs of its inside.

    Args:
        max_streams: how many requests the client may begin.
        raise_streams: whether the end of one allows another.
        token_of: the stateless reset token of a connection id; None leaves aioquic's random ones.
        active_migration: whether the client may go over to another address.
        spare_connection_ids: whether it gets the connection ids that it takes.
        rejects_early_data: whether early data is left aside.
        options: as aioquic's `QuicConnection` has them.
    """

    def __init__(
        self,
        *,
        max_streams: int,
        raise_streams: bool = True,
        token_of: Callable[[bytes], bytes] | None = None,
        active_migration: bool = True,
        spare_connection_ids: bool = True,
        rejects_early_data: bool = False,
        **options: Any,
    ) -> None:
        self._server_rejects_early_data = rejects_early_data
        super().__init__(**options)
        # "server" in each of our own names keeps them apart from aioquic's, of any release.
        self._server_token_of = token_of
        self._server_active_migration = active_migration
        self._server_spare_ids = spare_connection_ids
        self._server_early: set[int] = set()  # streams
        self._server_replaced: int | None = None  # a stream
        self._server_replacement = b""
        theirs = self._local_max_streams_bidi
        self._server_limit = StreamLimit(theirs, max_streams, raised=raise_streams)
        self._local_max_streams_bidi = self._server_limit  # type: ignore[assignment]
        self.set_reset_tokens()

    def _serialize_transport_parameters(self) -> bytes:
        said: bytes = super()._serialize_transport_parameters()
        return said if self._server_active_migration else said + _STAY

    def _replenish_connection_ids(self) -> None:
        if self._server_spare_ids:
            super()._replenish_connection_ids()

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        if self._server_rejects_early_data:
            self.tls.__class__ = RejectingContext

    def _update_traffic_key(self, direction: Any, epoch: tls.Epoch, *secret: Any) -> None:
        if epoch is not tls.Epoch.ZERO_RTT or not self._server_rejects_early_data:
            super()._update_traffic_key(direction, epoch, *secret)

    def _handle_stream_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        if context.epoch is tls.Epoch.ZERO_RTT:
            start = buf.tell()
            self._server_early.add(buf.pull_uint_var())
            buf.seek(start)
        super()._handle_stream_frame(context, frame_type, buf)

    def came_early(self, stream_id: int) -> bool:
        """Whether some of a stream was early data (RFC 9001 4.6), though all is over by now."""
        return stream_id in self._server_early

    @property
    def closing(self) -> bool:
        """Whether either side has closed it; it may wait for late packets (RFC 9000 10.2)."""
        return self._close_event is not None

    @property
    def takes_datagrams(self) -> bool:
        """Whether the client has announced that it takes DATAGRAM frames (RFC 9221 3)."""
        return self._remote_max_datagram_frame_size is not None

    def request_streams(self) -> list[int]:
        """List the request streams that aioquic holds: not ended, or not acknowledged."""
        return [stream_id for stream_id in self._streams if stream_id % _REQUEST_STREAMS == 0]

    def holds(self, stream_id: int) -> bool:
        """Tell whether aioquic holds a stream."""
        return stream_id in self._streams

    def unacknowledged(self, stream_id: int) -> int:
        """Count the bytes written to a stream that the client has not acknowledged."""
        stream = self._streams.get(stream_id)
        return stream.sender._buffer_stop - stream.sender._buffer_start if stream else 0

    def writable(self, stream_id: int) -> bool:
        """Tell whether more may be sent on a stream.

        STOP_SENDING resets a stream inside aioquic before its event can be read, so what is asked
        is the stream, not what the events have told.
        """
        stream = self._streams.get(stream_id)
        return stream is not None and stream.sender._reset_error_code is None

    def receiving(self, stream_id: int) -> bool:
        """Tell whether there is more to come on a stream."""
        stream = self._streams.get(stream_id)
        return stream is not None and not stream.receiver.is_finished

    def allow_streams(self, streams: int) -> None:
        """Raise MAX_STREAMS to `streams` in all."""
        self._server_limit.allow(streams)
        self.send_ping(0)  # credit alone makes no packet

    def set_reset_tokens(self) -> None:
        """Put `token_of` in place of aioquic's random tokens, before the client is told them."""
        if self._server_token_of is not None:
            for issued in self._host_cids:
                issued.stateless_reset_token = self._server_token_of(issued.cid)

    @contextlib.contextmanager
    def saying_instead(self, stream_id: int, data: bytes) -> Iterator[None]:
        """Send `data` in place of all that is sent on a stream meanwhile, once something is."""
        self._server_replaced, self._server_replacement = stream_id, data
        try:
            yield
        finally:
            self._server_replaced = None

    def send_stream_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> None:
        if stream_id == self._server_replaced:
            data, self._server_replacement = self._server_replacement, b""
            if not data:
                return
        super().send_stream_data(stream_id, data, end_stream)
