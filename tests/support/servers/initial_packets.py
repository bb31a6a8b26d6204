"""Packets of a handshake's beginning, by one who has seen the client's first: keys are in it."""

from __future__ import annotations

import itertools
from typing import Final

from aioquic._buffer import Buffer
from aioquic.buffer import encode_uint_var
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import encode_quic_retry, encode_quic_version_negotiation, pull_quic_header

__all__ = ["Initials", "crypto_frame"]

_ID: Final = b"hostile!"
_TAG: Final = 16


def crypto_frame(offset: int, content: bytes) -> bytes:
    """RFC 9000 19.6."""
    return b"\x06" + encode_uint_var(offset) + encode_uint_var(len(content)) + content


class Initials:
    """What a server, or somebody on the path, answers a client's first datagram with."""

    def __init__(self, first: bytes) -> None:
        header = pull_quic_header(Buffer(data=first), host_cid_length=8)
        assert header.version is not None
        self.version = header.version
        self.client, self.chosen = header.source_cid, header.destination_cid
        self._keys = CryptoPair()
        self._keys.setup_initial(self.chosen, is_client=False, version=header.version)
        self._numbers = itertools.count()

    def packet(self, frames: bytes) -> bytes:
        """An Initial packet with these frames (RFC 9000 17.2.2)."""
        number, frames = next(self._numbers), frames.ljust(20, b"\x00")
        ids = b"".join(bytes([len(each)]) + each for each in (self.client, _ID))
        length = encode_uint_var(4 + len(frames) + _TAG)
        header = b"\xc3" + self.version.to_bytes(4, "big") + ids + b"\x00" + length
        return self._keys.encrypt_packet(header + number.to_bytes(4, "big"), frames, number)

    def negotiation(self, *versions: int, source: bytes | None = None) -> bytes:
        """A Version Negotiation packet, from the id that the client chose or another one."""
        return encode_quic_version_negotiation(
            source_cid=self.chosen if source is None else source,
            destination_cid=self.client,
            supported_versions=list(versions),
        )

    def retry(self) -> bytes:
        """A Retry packet (RFC 9000 17.2.5)."""
        return encode_quic_retry(
            version=self.version,
            source_cid=_ID,
            destination_cid=self.client,
            original_destination_cid=self.chosen,
            retry_token=b"token",
        )
