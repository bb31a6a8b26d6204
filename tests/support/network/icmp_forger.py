"""A program that floods a host with forged ICMP errors about its own datagrams.

`python -m tests.support.network.icmp_forger FAMILY FROM PORT TO PORTS SECONDS`: FROM is the host
that the datagrams came from, at each of PORTS ("1,2"), and TO at PORT where they went to. Each code
that there is, in turn.
"""

from __future__ import annotations

import itertools
import socket
import struct
import sys
import time
from typing import Final

__all__ = ["forged", "main"]

_RATE: Final = 1_000  # messages a second
_FOUR: Final = [(3, code) for code in range(16)] + [(11, 0), (12, 0)]  # RFC 792, 1812
_SIX: Final = [(1, code) for code in range(7)] + [(2, 0), (3, 0), (4, 0)]  # RFC 4443


def main(family: str, here: str, port: str, there: str, ports: str, seconds: str) -> None:
    """Send them for so long."""
    four = family == "IPv4"
    kind = socket.AF_INET if four else socket.AF_INET6
    protocol = socket.IPPROTO_ICMP if four else socket.IPPROTO_ICMPV6
    until = time.monotonic() + float(seconds)
    with socket.socket(kind, socket.SOCK_RAW, protocol) as raw:
        for code in itertools.cycle(_FOUR if four else _SIX):
            if time.monotonic() > until:
                return
            for number in ports.split(","):
                raw.sendto(forged(four, code, (here, int(number)), (there, int(port))), (here, 0))
                time.sleep(1 / _RATE)


def forged(
    four: bool, code: tuple[int, int], here: tuple[str, int], there: tuple[str, int]
) -> bytes:
    """A message of this type and code about a datagram from here to there."""
    return _message(four, *code, _quoted(four, here[0], here[1], there[0], there[1]))


def _quoted(four: bool, here: str, ours: int, there: str, theirs: int) -> bytes:
    """The beginning of a datagram of 1,200 bytes from here to there."""
    datagram = struct.pack("!HHHH", ours, theirs, 1208, 0)
    if four:
        ends = socket.inet_aton(here) + socket.inet_aton(there)
        return struct.pack("!BBHHHBBH", 0x45, 0, 1228, 1, 0x4000, 64, 17, 0) + ends + datagram
    ends = b"".join(socket.inet_pton(socket.AF_INET6, each) for each in (here, there))
    return struct.pack("!IHBB", 6 << 28, 1208, 17, 64) + ends + datagram


def _message(four: bool, kind: int, code: int, quote: bytes) -> bytes:
    """With an MTU that is too small for QUIC where there is one to be told."""
    told = 1280 if not four and kind == 2 else 576 if four and (kind, code) == (3, 4) else 0
    rest = struct.pack("!I", told) + quote
    blank = struct.pack("!BBH", kind, code, 0) + rest
    checksum = _checksum(blank) if four else 0  # the kernel's work in IPv6
    return struct.pack("!BBH", kind, code, checksum) + rest


def _checksum(message: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(message) // 2}H", message))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return ~total & 0xFFFF


if __name__ == "__main__":
    main(*sys.argv[1:])
