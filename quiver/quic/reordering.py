"""How far out of order packets come, and so when one that is missed is lost (RFC 9002 6.1). Pure.

Who takes three packets, and an eighth of a round trip, for the most that a path does, has a loss
in each round trip where it does more, and sends hardly anything. A packet that comes after it was
taken for lost tells how far it goes; RFC 9002 6.1.1 leaves it to us to heed that.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Reordering"]

_PACKETS: Final = 3  # RFC 9002 6.1.1
_WAIT, _LONGEST_WAIT = 9 / 8, 2.0  # round trips (RFC 9002 6.1.2); then a probe timeout is near
_MARGIN: Final = 1 / 8  # of a round trip, beyond what was seen


class Reordering:
    """What is known of one path.

    Attributes:
        packets: a packet is lost when one that was sent as many later has arrived, or
        wait: when so many round trips have passed since it was sent, and a later one has arrived.
    """

    def __init__(self) -> None:
        self.packets = _PACKETS
        self.wait = _WAIT

    def arrived(self, later: int, waited: float) -> None:
        """Heed a packet that arrived after it was taken for lost.

        Args:
            later: how many packets after it the latest was sent that has arrived.
            waited: round trips since it was sent.
        """
        self.packets = max(self.packets, later + 1)
        if waited > self.wait:
            self.wait = min(waited + _MARGIN, _LONGEST_WAIT)
