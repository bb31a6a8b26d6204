"""What takes the place of early data with a release of aioquic that has not what it takes.

Nothing is offered then, and so a server has nothing to accept, or to reject.
"""

from __future__ import annotations

from typing import Any

from quiver.quic.transport_parameters import TransportParameters

__all__ = ["NoEarlyData"]


class NoEarlyData:
    """The early data of a connection that sends none; `EarlyData` is one that may."""

    def __init__(self) -> None:
        self.remembered: TransportParameters | None = None
        self.accepted: bool | None = None

    @property
    def sends(self) -> bool:
        """Whether what is sent now is early data."""
        return False

    def forget_packets(self) -> list[Any]:
        """Before a handshake begins anew: what has gone, and is to be sent again."""
        return []

    def send_again(self, packets: list[Any]) -> None:
        """Send it again."""

    def reject(self) -> None:
        """Take what has gone for rejected: its session is not resumed."""

    def decide(self, peer: TransportParameters) -> None:
        """Act on the server's decision, which comes along with its parameters."""

    def raise_streams(self, peer: TransportParameters) -> None:
        """Give the streams that are open what the server's parameters allow, beyond the former."""
