"""Negotiation: a TLS connection over TCP until ALPN has said what is spoken on it (RFC 7301).

    connect --> receive_all* --> `successor`, which has taken what came after the handshake
                             --> ConnectionEnded

It has the place of an HTTP connection in a transport, as far as one is asked for anything before it
is ready. Sans-IO.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, Final

from quiver.errors import QuiverError
from quiver.h3 import events
from quiver.h3.close_reasons import Vocabulary, close_reason
from quiver.origin import Origin
from quiver.quic.engine import Cause, ConnectionClosed
from quiver.tcp.byte_stream import ByteStream, ByteStreamFault

__all__ = ["Negotiation"]

_VOCABULARY: Final = Vocabulary(
    "HTTP/2 or HTTP/1.1", lambda code: f"code {code}", "ssl", "h2, http/1.1"
)


class Negotiation:
    """The handshake on `stream`, which has not begun.

    Args:
        agreed: makes the HTTP connection on the stream, which is ready by then.
        certfile: where our certificate is from, for errors.

    Attributes:
        heard: when bytes of the server came last; -inf for never.
        closed: ConnectionEnded has been reported, or is among the next `events`.
        successor: the connection that goes on from here, when there is one.
    """

    reads = True
    early_streams = 0
    next_stream_id = 0

    def __init__(
        self,
        stream: ByteStream,
        origin: Origin,
        agreed: Callable[[], Any],
        *,
        certfile: str | None = None,
    ) -> None:
        self._stream = stream
        self._origin = str(origin)
        self._agreed = agreed
        self._certfile = certfile
        self._events: list[events.Event] = []
        self.closed = False
        self.heard = -math.inf
        self.successor: Any = None

    @property
    def answered(self) -> bool:
        return self.heard > -math.inf

    def connect(self, now: float) -> None:  # noqa: ARG002
        """Begin: what `datagrams` yields is for the server."""
        self._within(self._stream.begin)

    def receive_all(self, chunks: Iterable[bytes], now: float) -> None:
        """Take what has come, in order; what follows the handshake is its successor's."""
        coming = iter(chunks)
        for chunk in () if self.closed else coming:
            self.heard = now
            if self._within(self._stream.receive_handshake, chunk):
                self.successor = self._agreed()
                self.successor.connect(now)
                self.successor.receive_all(chain((b"",), coming), now)
            if self.closed or self.successor is not None:
                return

    def lost(self, why: str | None, now: float) -> None:  # noqa: ARG002
        """The socket is gone: the server has closed it, or `why`, in words."""
        self._end(self._stream.broken_off(why, self._origin))

    def tick(self, now: float) -> None:
        """There is nothing that takes time."""

    def timer(self) -> float | None:
        """At once for -inf: there is something to tell."""
        return -math.inf if self._events else None

    def events(self) -> list[events.Event]:
        """What has happened since the last call."""
        happened, self._events = self._events, []
        return happened

    def datagrams(self, now: float) -> list[bytes]:  # noqa: ARG002
        """What is to be sent now; empty for nothing."""
        wire = self._stream.take()
        return [wire] if wire else []

    def close(self, code: int, reason: str = "") -> None:  # noqa: ARG002
        """End the connection."""
        self._end(self._reason(ConnectionClosed(Cause.OWNER, 0, transport=False)))

    def shorten(self) -> None:
        """TCP does that."""

    def _within(self, step: Callable[..., object], *args: object) -> object:
        """Take a step that may end the handshake, and nothing else."""
        try:
            return step(*args)
        except ByteStreamFault as fault:
            self._end(self._reason(fault.closed))
        except Exception as raised:  # noqa: BLE001 - nobody knows what it may be
            self._end(self._reason(ConnectionClosed(Cause.RAISED, error=raised, by_peer=True)))
        return None

    def _reason(self, closed: ConnectionClosed) -> QuiverError:
        return close_reason(
            closed, self._origin, ready=False, certfile=self._certfile, words=_VOCABULARY
        )

    def _end(self, error: QuiverError) -> None:
        if not self.closed:
            self.closed = True
            self._events.append(events.ConnectionEnded(error))
