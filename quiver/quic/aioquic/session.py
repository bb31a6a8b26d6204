"""The TLS session of one connection: by which ticket it is resumed, and which ones it brings.

A ticket of ours (`quiver.quic.engine.SessionTicket`) holds aioquic's as its content. What a server
has shown when its session began goes from ticket to ticket, as each resumption brings new ones: the
chain of certificates, by which trust it was accepted, and for how long that may be built on.
"""

from __future__ import annotations

import copy
import datetime
from dataclasses import replace
from typing import Any, Final

from aioquic.quic.configuration import QuicConfiguration
from aioquic.tls import SessionTicket as TheirTicket
from cryptography import x509

from quiver.quic.engine import SessionTicket

__all__ = ["LONGEST", "Session"]

LONGEST: Final = 7 * 86_400.0  # seconds that a ticket may be kept (RFC 8446 4.6.1)

_LONGEST_TICKET: Final = 8 * 1024  # bytes; aioquic has 16 KiB for a ClientHello

_MOST_TICKETS: Final = 32
"""Of one connection in its life: each costs a derivation of keys, and the server decides how many
there are. A few are usual."""


class Session:
    """What one connection resumes, and may be resumed by.

    Args:
        ticket: left alone if it was won by another trust than the configuration's of now.
        early: whether to offer early data, if the ticket lets us.

    Attributes:
        resumes: the ticket that is offered to the server; None for a full handshake.
        tickets: those that have come, and were not taken yet.
    """

    def __init__(
        self, configuration: QuicConfiguration, ticket: SessionTicket | None, early: bool
    ) -> None:
        self.resumes: SessionTicket | None = None
        self.configuration = configuration
        self.tickets: list[SessionTicket] = []
        self._came = 0
        self._takes = bool(getattr(configuration, "session_tickets", False))
        self._quic: Any = None
        self._proved_until: float | None = None
        trust: Any = getattr(configuration, "trust", None)
        if ticket is not None and self._takes and ticket.trust == trust():
            self.resumes = ticket
            self.configuration = offering = copy.copy(configuration)
            offering.session_ticket = _offered(ticket, early)
            others = [each for each in offering.supported_versions if each != ticket.version]
            offering.supported_versions = [ticket.version, *others]  # it begins with the first

    def keeps_to(self, version: int | None) -> bool:
        """Whether a handshake that begins may resume the session; if not, it is not offered.

        Versions of QUIC have no sessions in common (RFC 9369 5), and which one it is may change by
        a Version Negotiation packet.
        """
        if self.resumes is not None and self.resumes.version != version:
            self.resumes = self.configuration.session_ticket = None
            return False
        return True

    def begin(self, quic: Any) -> None:
        """Take the tickets of a handshake that has not begun; of a server that is told so."""
        self._quic = quic
        if not self._takes:
            quic.tls.new_session_ticket_cb = None

    @property
    def chain(self) -> tuple[bytes, ...]:
        """What the server has shown, in this handshake or in the one that the session began in."""
        tls = self._quic.tls
        if tls.session_resumed and self.resumes is not None:
            return self.resumes.chain
        chain: tuple[bytes, ...] = tls.chain
        return chain

    def came(self, theirs: TheirTicket) -> None:
        """Take a ticket from the server, if anything can be done with it."""
        self._came += 1
        if self._came >= _MOST_TICKETS:
            self._quic.tls.new_session_ticket_cb = None
        made = self._made(theirs)
        if made is not None:
            self.tickets.append(made)

    def new_tickets(self) -> list[SessionTicket]:
        """Those that have come since the last call, in order."""
        came, self.tickets = self.tickets, []
        return came

    def _made(self, theirs: TheirTicket) -> SessionTicket | None:
        tls = self._quic.tls
        resumed = self.resumes if tls.session_resumed else None
        trust = tls.trust if resumed is None else resumed.trust
        proved_until = self._until() if resumed is None else resumed.proved_until
        issued = theirs.not_valid_before.timestamp()
        until = min(theirs.not_valid_after.timestamp(), issued + LONGEST, proved_until)
        if trust is None or until <= issued or not 0 < len(theirs.ticket) <= _LONGEST_TICKET:
            return None
        said = sum(len(octets) for _, octets in theirs.other_extensions)
        size = len(theirs.ticket) + len(theirs.resumption_secret) + said
        return SessionTicket(
            trust=trust,
            issued=issued,
            until=until,
            proved_until=proved_until,
            chain=self.chain,
            size=size + sum(map(len, self.chain)),
            early=theirs.max_early_data_size is not None,
            content=theirs,
            version=self._quic._version,
        )

    def _until(self) -> float:
        """Until when what was verified in this handshake may be built on."""
        if self._proved_until is None:
            tls = self._quic.tls
            self._proved_until = min(tls.shown_at + LONGEST, _end_of(tls.chain))
        return self._proved_until


def _end_of(chain: tuple[bytes, ...]) -> float:
    """When the server's certificate ends; long ago if that cannot be told."""
    try:
        read = x509.load_der_x509_certificate(chain[0])
        return read.not_valid_after_utc.timestamp()
    except Exception:  # noqa: BLE001 - what is odd in it may raise anything
        return 0.0


def _offered(ticket: SessionTicket, early: bool) -> TheirTicket:
    theirs = ticket.content
    assert isinstance(theirs, TheirTicket)
    until = datetime.datetime.fromtimestamp(ticket.until, datetime.UTC)
    most = theirs.max_early_data_size if early else None
    return replace(theirs, not_valid_after=until, max_early_data_size=most)
