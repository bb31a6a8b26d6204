"""The handshake messages of TLS, out of the bytes that CRYPTO frames bring (RFC 8446 4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

__all__ = ["LONGEST_MESSAGE", "MessageTooLong", "TlsMessages"]

LONGEST_MESSAGE: Final = 128 * 1024
"""Bytes after a message's head: a chain of certificates has less, OpenSSL takes 100 KiB of one."""

_HEAD: Final = 4  # bytes: a type, and a length of three


class MessageTooLong(ValueError):
    """The peer announced a message of more than LONGEST_MESSAGE bytes."""


class TlsMessages:
    """Joins pieces to messages. It holds one message at the most, and copies each byte once."""

    def __init__(self) -> None:
        self._held = bytearray()  # the beginning of a message

    def take(self, piece: bytes) -> Iterator[bytes]:
        """Yield the messages, heads included, that are whole with this piece.

        Raises MessageTooLong as soon as the head of one is there, after what came before it.
        """
        held = self._held
        held += piece
        start = 0
        try:
            while (stop := self._end(start)) is not None and stop <= len(held):
                message, start = bytes(held[start:stop]), stop
                yield message
        finally:
            del held[:start]

    def _end(self, start: int) -> int | None:
        """Where the message at `start` ends; None as long as its head does not say."""
        head = self._held[start : start + _HEAD]
        if len(head) < _HEAD:
            return None
        length = int.from_bytes(head[1:], "big")
        if length > LONGEST_MESSAGE:
            said = f"a TLS message of {length} bytes was announced, above {LONGEST_MESSAGE}"
            raise MessageTooLong(said)
        return start + _HEAD + length
