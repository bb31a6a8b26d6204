"""How long datagrams may be: path MTU discovery (RFC 8899, RFC 9000 14.3). Pure.

Every path of QUIC takes 1,200 bytes. While datagrams are filled, a probe goes out every second: a
PING, padded to the size that Ethernet takes. Datagrams are that long once one arrived. One that did
not is followed by another, since what loses one packet in a hundred loses probes as well. After
three in a row (RFC 8899 5.1.2), or when nothing arrives at all any more, datagrams are short again;
so a path that changes, or swallows what is long, is found out. A lost probe says nothing of
congestion (RFC 9000 14.4), and who sends little is never probed. Nothing is longer than the peer
takes (max_udp_payload_size, RFC 9000 18.2): one that takes 1,200 bytes is not probed.
"""

from __future__ import annotations

from typing import Final

__all__ = ["LARGER", "PathMtu"]

LARGER: Final = 1452
"""Bytes of a UDP payload that fits Ethernet's 1,500 with IPv6's header."""

_INTERVAL: Final = 1.0  # seconds between probes
_TRIES: Final = 2  # probe timeouts in a row that put the size in doubt
_PROBES: Final = 3  # lost in a row: the path does not take them (MAX_PROBES, RFC 8899 5.1.2)
_MUCH: Final = 2  # datagrams that are filled before a probe is worth its while


class PathMtu:
    """The size of datagrams on one path.

    Attributes:
        size: bytes of the longest datagram that is sent now, but for probes.
        least: bytes that every path takes.
        larger: bytes of a probe, as far as the peer takes them.
        probe_due: when the next probe may go out.
    """

    def __init__(self, least: int) -> None:
        self.least = self.size = least
        self.larger = LARGER
        self.probe_due = 0.0
        self._filled = 0  # datagrams, since a probe was due
        self._lost = 0  # probes in a row

    def timed_out(self, times: int) -> None:
        """Judge by how many probe timeouts (RFC 9002 6.2) have passed in a row."""
        if times >= _TRIES:
            self.size = self.least

    def bound(self, most: int) -> None:
        """Send nothing above `most` bytes: the peer takes no more."""
        self.larger = min(LARGER, most)
        self.size = min(self.size, most)

    def probes(self, filled: int, now: float) -> bool:
        """Whether a probe of `larger` bytes is to follow so many datagrams that were filled."""
        self._filled += filled
        if self._filled < _MUCH or now < self.probe_due or self.larger <= self.least:
            return False
        self._filled, self.probe_due = 0, now + _INTERVAL
        return True

    def probed(self, *, arrived: bool) -> None:
        """Judge by a probe that was acknowledged, or lost."""
        if arrived:
            self._lost, self.size = 0, self.larger
            return
        self._lost += 1
        if self._lost < _PROBES:
            self.probe_due = 0.0  # the next one at once
        else:
            self.size = self.least  # from now on one a second, until one arrives

    def shorten(self) -> None:
        """Go back to short ones until a probe arrives: our own link takes no others."""
        self.size = self.least
