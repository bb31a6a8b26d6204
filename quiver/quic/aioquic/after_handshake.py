"""What a connection does not keep for its life: what only its handshake needed, and what it may
never need. Touches aioquic's private names.

aioquic holds on to the keys, streams and packet number spaces of epochs that are over, to the keys
that were offered, and to a handler for each type of frame: together a sixth of the memory of a
connection that is idle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from types import MethodType
from typing import Any, Final

from aioquic.quic.connection import QuicConnection
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream
from aioquic.tls import Epoch

__all__ = ["FrameHandlers", "forget_handshake"]

_NO_KEYS: Final = CryptoPair()
"""In the place of keys that are discarded: what still comes by those is dropped (RFC 9001 4.9)."""

_NO_SPACE: Final = QuicPacketSpace()
_NO_SPACE.discarded = True

_NO_STREAM: Final = QuicStream()


def forget_handshake(quic: Any) -> None:
    """Free what was for the handshake of `quic`, a FastConnection, which is confirmed."""
    for epoch in (Epoch.INITIAL, Epoch.ZERO_RTT, Epoch.HANDSHAKE):
        quic._cryptos[epoch] = _NO_KEYS
    quic._cryptos_initial = dict.fromkeys(quic._cryptos_initial, _NO_KEYS)
    for epoch in (Epoch.INITIAL, Epoch.HANDSHAKE):
        quic._spaces[epoch], quic._crypto_streams[epoch] = _NO_SPACE, _NO_STREAM
    quic._loss.spaces = [quic._spaces[Epoch.ONE_RTT]]
    tls = quic.tls
    tls._ec_private_keys, tls._x25519_private_key, tls._x448_private_key = [], None, None
    tls._peer_certificate = None  # whose key OpenSSL has; it has been judged


_Handler = tuple[Callable[[Any, int, Any], None], Sequence[Epoch]]


class FrameHandlers(dict[int, _Handler]):
    """aioquic's handlers of frames by type, each bound to its connection when one has come.

    Args:
        bound: those that aioquic has made, one for each type.
    """

    __slots__ = ("_quic", "_unbound")

    def __init__(self, quic: Any, bound: dict[int, Any]) -> None:
        super().__init__()
        self._quic = quic
        kind = type(quic)
        if kind not in _UNBOUND:
            _UNBOUND[kind] = {
                frame_type: (
                    handler.__func__ if handler.__self__ is quic else None,
                    tuple(sorted(epochs, key=attrgetter("_value_"), reverse=True)),
                )
                for frame_type, (handler, epochs) in bound.items()
            }
        self._unbound = _UNBOUND[kind]

    def __missing__(self, frame_type: int) -> _Handler:
        """Raises KeyError, as aioquic expects it: there is no such type."""
        function, epochs = self._unbound[frame_type]
        quic = self._quic
        handler = quic._handle_stream_frame if function is None else MethodType(function, quic)
        made = self[frame_type] = handler, epochs
        return made


_UNBOUND: Final[dict[type[QuicConnection], dict[int, tuple[Any, Sequence[Epoch]]]]] = {}
"""By the class of the connection: the function for each type, and where such a frame may come. None
stands for the fast path of STREAM frames, the one handler that is no method of it.

That is no set, since it is asked for each frame: the hash of an Epoch is made in Python, and 1-RTT,
which stands first, is found without."""
