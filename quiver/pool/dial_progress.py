"""How far dials have come, and the error that says so when time is up. Pure.

Whoever waits while there is no connection waits for a dial, so it is the dial's state that is the
cause when the wait has been too long, whichever time limit ends it.
"""

from __future__ import annotations

import attrs

from quiver.errors import ConnectTimeout, NameResolutionFailed, QuiverError

__all__ = ["Dials", "Progress"]


class NameResolutionTimeout(NameResolutionFailed, ConnectTimeout):
    """The name was being resolved when the time for the connection was up: it is both."""


@attrs.frozen
class Progress:
    """The progress of one dial.

    Attributes:
        address: host and port that are being tried, of several one that has answered or was begun
            last; None while the name is resolved.
        attempt: how many of the name's addresses have been tried, with this one.
        addresses: how many there are.
        answered: whether a packet of the handshake came from there.
        failed: in words, why another of them has failed.
        unsent: in words, why what was to be sent there has not left this machine.
        beside: in words, what has become of the other way to them, QUIC or TCP.
        proxied: whether it is a proxy's.
    """

    address: tuple[str, int] | None = None
    attempt: int = 0
    addresses: int = 0
    answered: bool = False
    failed: str = ""
    unsent: str = ""
    beside: str = ""
    proxied: bool = False

    def __str__(self) -> str:
        if self.address is None:
            return "the name was still being resolved"
        host, port = self.address
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if self.proxied:
            place = f"the proxy at {place}"
        if self.addresses > 1:
            place = f"{self.attempt} of {self.addresses} addresses tried, {place}"
        other = f"; another one: {self.failed}" if self.failed else ""
        if self.beside:
            other += f"; {self.beside}"
        if self.answered:
            return f"{place} answered, but the handshake was not over{other}"
        unsent = f", and datagrams to it were lost here: {self.unsent}" if self.unsent else ""
        return f"{place} answered nothing{unsent}{other}"

    def too_slow(self, limit: str, origin: str) -> QuiverError:
        """The error when no connection came about within `limit`, a phrase such as "x=1.0"."""
        kind = NameResolutionTimeout if self.address is None else ConnectTimeout
        return kind(f"no connection within {limit}: {self}", origin=origin)


class Dials:
    """The dials of one pool that are under way, by the numbers of their connections.

    They may be looked at from any thread.
    """

    def __init__(self) -> None:
        self._going: dict[int, Progress] = {}
        self._there: set[int] = set()
        self._failed: QuiverError | None = None  # what the last one died of

    def came(self, connection: int, progress: Progress) -> None:
        """Note how far a dial has come."""
        self._going[connection] = progress

    def arrived(self, connection: int) -> None:
        """Note a connection that is ready."""
        self._going.pop(connection, None)
        self._there.add(connection)
        self._failed = None

    def ended(self, connection: int, error: QuiverError | None = None) -> None:
        """Note a connection that is gone, if it was ever there."""
        self._going.pop(connection, None)
        self._there.discard(connection)
        self._failed = error or self._failed

    @property
    def waited_for(self) -> bool:
        """Whether none is there and one was tried: whoever waits must be waiting for it."""
        return not self._there and bool(self._going or self._failed)

    def too_slow(self, limit: str, origin: str) -> QuiverError:
        """The error when no connection came about within `limit`; it tells of the furthest."""
        going = list(self._going.values())
        if going:
            furthest = max(going, key=lambda each: (each.answered, each.attempt))
            return furthest.too_slow(limit, origin)
        said = "the server has stopped answering on the one there was"
        if self._failed is not None:
            said = f"the next attempt was held back after one had failed: {self._failed.message}"
        return ConnectTimeout(f"no connection within {limit}: {said}", origin=origin)
