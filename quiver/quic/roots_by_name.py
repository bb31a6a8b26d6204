"""Roots that are read when a chain needs them: OpenSSL takes a third of a millisecond for each.

A chain goes from certificate to certificate by name: the issuer of the one is the subject of the
next (RFC 5280 6.1). So of a hundred roots it is enough to read those that have in them a name which
the chain has, and then those that have the name of their issuers. That may be too many, which does
no harm: each is one that is trusted. It may be too few, where a name is written in another way, or
OpenSSL has found an issuer in a folder: so nothing is refused before all are read.
"""

from __future__ import annotations

import re
from binascii import Error as BinasciiError
from binascii import a2b_base64
from collections.abc import Sequence
from typing import Final

from quiver.quic.shown_certificate import certificate_names

__all__ = ["FEW", "RootsByName", "many_certificates"]

FEW: Final = 16
"""Roots that are read at once, so that one which cannot be read is told where it is given."""

_BEGIN: Final = b"-----BEGIN "
_PLAIN: Final = re.compile(rb"-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----")
_SPACE: Final = b" \t\r\n"


class RootsByName:
    """Those that were not read yet, in DER, in the order in which they were given."""

    def __init__(self, certificates: Sequence[bytes]) -> None:
        self._left = list(certificates)

    def __len__(self) -> int:
        return len(self._left)

    def take_for(self, chain: Sequence[bytes]) -> list[bytes]:
        """Those that a way from this chain to a root may lead through."""
        taken: list[bytes] = []
        asked: set[bytes] = set()
        unseen = list(chain)
        while unseen:
            names = {name for each in unseen for name in _names(each)} - asked
            asked |= names
            unseen = [each for each in self._left if any(name in each for name in names)]
            taken += unseen
            self._left = [each for each in self._left if each not in unseen]
        return taken

    def take_all(self) -> list[bytes]:
        """All that are left."""
        taken, self._left = self._left, []
        return taken


def _names(certificate: bytes) -> tuple[bytes, ...]:
    try:
        return certificate_names(certificate)
    except ValueError:
        return ()


def many_certificates(pem: bytes) -> list[bytes]:
    """The certificates of a text (RFC 7468 5.1), in DER.

    None at all if they are few, or anything else is in it, or odd: it is for OpenSSL to read.
    """
    blocks = _PLAIN.findall(pem)
    if len(blocks) <= FEW or len(blocks) != pem.count(_BEGIN):
        return []
    try:
        read = [a2b_base64(each.translate(None, _SPACE), strict_mode=True) for each in blocks]
    except BinasciiError:
        return []
    return read if all(map(_is_whole, read)) else []


def _is_whole(der: bytes) -> bool:
    """Whether it is one SEQUENCE of 256 to 65,535 bytes, to its end, as certificates are."""
    return der[:2] == b"\x30\x82" and int.from_bytes(der[2:4], "big") == len(der) - 4
