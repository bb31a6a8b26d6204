"""The streams that a client opens and keeps open: control, and QPACK's two (RFC 9114 6.2.1)."""

from __future__ import annotations

from quiver.h3.peer_streams import StreamType
from quiver.h3.settings import encode_settings
from quiver.quic.engine import Engine
from quiver.quic.varint import encode_varint

__all__ = ["open_critical"]


def open_critical(engine: Engine, max_header_size: int) -> int:
    """Open them, and send our SETTINGS. Returns the QPACK encoder stream.

    That gets no table before the server's SETTINGS have come: so there is none to begin anew when
    they went as early data, and that was rejected.
    """
    settings = encode_settings(max_header_size, datagrams=engine.sends_datagrams)
    _open(engine, StreamType.CONTROL, settings)
    encoder = _open(engine, StreamType.QPACK_ENCODER)
    _open(engine, StreamType.QPACK_DECODER)
    return encoder


def _open(engine: Engine, stream_type: StreamType, content: bytes = b"") -> int:
    stream_id = engine.open_unidirectional(encode_varint(stream_type) + content)
    if engine.trace is not None:
        engine.trace.stream_type(stream_id, stream_type.name.lower())
    return stream_id
