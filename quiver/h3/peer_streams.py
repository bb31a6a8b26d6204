"""PeerStreams: the unidirectional streams that the server opens (RFC 9114 6.2)."""

from __future__ import annotations

import enum
from typing import Final

from quiver.h3.codes import ErrorCode
from quiver.h3.control_stream import ControlStreamReader
from quiver.h3.events import GoAwayReceived
from quiver.h3.headers import Qpack
from quiver.h3.protocol_error import ProtocolError
from quiver.h3.settings import ServerSettings
from quiver.quic.engine import Trace
from quiver.quic.varint import read_varint

__all__ = ["PeerStreams", "StreamType"]

_MOST_STREAMS: Final = 1024
"""Streams of no use that are open at once; a server that opens more is up to no good."""


class StreamType(enum.IntEnum):
    """The first bytes of a unidirectional stream (RFC 9114 6.2, 9204 4.2)."""

    CONTROL = 0x00
    PUSH = 0x01
    QPACK_ENCODER = 0x02
    QPACK_DECODER = 0x03


class PeerStreams:
    """Tells them apart by their types, and has each one read by who knows it.

    The control stream and both QPACK streams must stay open, and come once each. A push is an
    error, since no push id was offered. The others mean nothing, and are dropped as they come.

    Args:
        trace: notes their types.

    Attributes:
        decoder_stream: the QPACK decoder stream; None before it has come.
    """

    def __init__(self, qpack: Qpack, trace: Trace | None) -> None:
        self._qpack = qpack
        self._trace = trace
        self.decoder_stream: int | None = None
        self._control = ControlStreamReader()
        self._critical: dict[int, StreamType] = {}
        # All others that are open: the first bytes of a type that is cut; None, if it is unknown.
        self._others: dict[int, bytes | None] = {}

    def receive(
        self, stream_id: int, chunk: bytes, ended: bool
    ) -> list[ServerSettings | GoAwayReceived]:
        """What these bytes say on the control stream; of other streams nothing is to be known.

        Raises ProtocolError.
        """
        stream_type = self._critical.get(stream_id)
        if stream_type is None:
            stream_type, chunk = self._identify(stream_id, chunk, ended)
        if stream_type is None:
            return []
        if ended:
            raise self._closed(stream_type, "ended")
        if stream_type is StreamType.CONTROL:
            return self._control.feed(chunk)
        if chunk and stream_type is StreamType.QPACK_ENCODER:
            self._qpack.take_encoder_stream(chunk)
        elif chunk:
            self._qpack.take_decoder_stream(chunk)
        return []

    def reset(self, stream_id: int) -> None:
        """Note that the server has given one up. Raises ProtocolError when it must not."""
        self._others.pop(stream_id, None)
        stream_type = self._critical.get(stream_id)
        if stream_type is not None:
            raise self._closed(stream_type, "reset")

    def _identify(
        self, stream_id: int, chunk: bytes, ended: bool
    ) -> tuple[StreamType | None, bytes]:
        """The type of a critical stream that begins here, and what follows it; None for others."""
        head = self._others.pop(stream_id, b"")
        if head is not None:
            head += chunk
            number, end = read_varint(head, 0)
            if end <= len(head):
                stream_type = self._begin(stream_id, number)
                if stream_type is not None:
                    return stream_type, head[end:]
                head = None
        if not ended:  # a stream may end within its type, too
            self._others[stream_id] = head
            if len(self._others) > _MOST_STREAMS:
                reason = f"more than {_MOST_STREAMS} streams without meaning"
                raise ProtocolError(ErrorCode.H3_EXCESSIVE_LOAD, reason)
        return None, b""

    def _begin(self, stream_id: int, number: int) -> StreamType | None:
        """The critical stream that a stream of this type is; None if it means nothing."""
        known = StreamType(number) if number in _KNOWN else None
        if self._trace is not None:
            self._trace.stream_type(stream_id, "unknown" if known is None else known.name.lower())
        if known is None:
            return None
        if known is StreamType.PUSH:  # RFC 9114 4.6
            raise ProtocolError(ErrorCode.H3_ID_ERROR, "a push, but no push id was offered")
        if known in self._critical.values():
            reason = f"a second {_SAID[known]}"
            raise ProtocolError(ErrorCode.H3_STREAM_CREATION_ERROR, reason)
        self._critical[stream_id] = known
        if known is StreamType.QPACK_DECODER:
            self.decoder_stream = stream_id
        return known

    def _closed(self, stream_type: StreamType, how: str) -> ProtocolError:
        reason = f"the {_SAID[stream_type]} was {how}"
        return ProtocolError(ErrorCode.H3_CLOSED_CRITICAL_STREAM, reason)


_KNOWN: Final = frozenset(StreamType)
_SAID: Final = {
    StreamType.CONTROL: "control stream",
    StreamType.QPACK_ENCODER: "QPACK encoder stream",
    StreamType.QPACK_DECODER: "QPACK decoder stream",
}
