"""Sessions that are resumed by tickets: by whom, for how long, and what is said of the server."""

from __future__ import annotations

import datetime
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import attrs
import pytest
from aioquic import tls
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicProtocolVersion

from quiver.config import PoolConfig
from quiver.quic.aioquic.session import LONGEST
from quiver.quic.engine import HandshakeCompleted, SessionTicket, TicketReceived
from quiver.testing import Authority
from tests.support.engines.quic_wire import EngineWire

Given = dict[bytes, tls.SessionTicket]
Dial = Callable[..., EngineWire]
DAY = 86_400.0
VERSION_2 = QuicProtocolVersion.VERSION_2


@pytest.fixture(params=[True, False], ids=["short", "plain"])
def dial(request: pytest.FixtureRequest, authority: Authority) -> Dial:
    """A handshake with one server, that knows its tickets each time."""
    own, given = authority.issue(), Given()

    def dial(ticket: SessionTicket | None = None, **about: Any) -> EngineWire:
        options = {"cafile": authority.cafile, **about.pop("options", {})}
        config = PoolConfig(**{name: value for name, value in options.items() if value is not None})
        about = {"certificate": own, "given": given, **about}
        wire = EngineWire(config, fast_paths=request.param, ticket=ticket, **about)
        return wire.connect()

    return dial


def ticket_of(wire: EngineWire) -> SessionTicket:
    tickets: list[TicketReceived] = wire.of(TicketReceived)
    return tickets[-1].ticket


def resumed(wire: EngineWire) -> bool:
    [completed] = wire.of(HandshakeCompleted)
    return bool(completed.resumed)


def test_a_ticket_resumes_the_session(dial: Dial) -> None:
    first = dial()
    assert not resumed(first) and not first.engine.handshake.resumed
    second = dial(ticket_of(first))
    assert resumed(second) and second.engine.handshake.resumed
    third = dial(ticket_of(second))
    assert resumed(third)
    wires = (first, second, third)
    [certificate] = {wire.engine.handshake.certificate for wire in wires}
    assert certificate is not None, "it is told, though it was shown once"
    assert len({ticket_of(wire).proved_until for wire in wires}) == 1, "it was proved once"


def test_none_are_taken_when_they_are_turned_off(dial: Dial) -> None:
    off = {"session_tickets": False}
    assert dial(options=off).of(TicketReceived) == []
    assert not resumed(dial(ticket_of(dial()), options=off))


def test_for_how_long(dial: Dial, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    assert ticket_of(dial()).until == pytest.approx(now + DAY, abs=60), "as long as it says"

    made = tls.push_new_session_ticket

    def give(lifetime: int) -> None:
        monkeypatch.setattr(
            tls,
            "push_new_session_ticket",
            lambda buf, each: made(buf, replace(each, ticket_lifetime=lifetime)),
        )

    give(2**32 - 1)
    lasting = authority.issue(not_after=_after(30 * DAY))
    assert ticket_of(dial(certificate=lasting)).until == pytest.approx(now + LONGEST, abs=60)
    brief = authority.issue(not_after=_after(3_600.0))
    ticket = ticket_of(dial(certificate=brief))
    assert ticket.until == ticket.proved_until == pytest.approx(now + 3_600.0, abs=60)
    give(0)
    assert dial().of(TicketReceived) == []


def _after(seconds: float) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)


def test_what_was_resumed_is_proved_no_longer(dial: Dial) -> None:
    """A server may give tickets for ever; only its certificate proves who it is."""
    ticket = attrs.evolve(ticket_of(dial()), proved_until=time.time() + 100.0)
    again = dial(ticket)
    assert resumed(again)
    assert ticket_of(again).until == ticket.proved_until


def test_one_that_is_over_is_not_offered(dial: Dial) -> None:
    assert not resumed(dial(attrs.evolve(ticket_of(dial()), until=time.time() - 1.0)))


def test_one_that_was_forged_or_is_foreign(dial: Dial, authority: Authority) -> None:
    """The server knows nothing of it, and shows its certificate."""
    given = ticket_of(dial())
    assert isinstance(given.content, tls.SessionTicket)
    forged = attrs.evolve(given, content=replace(given.content, ticket=bytes(64)))
    assert not resumed(dial(forged))
    foreign = ticket_of(dial(given={}, certificate=authority.issue()))
    wire = dial(foreign)
    assert not resumed(wire)
    assert wire.engine.handshake.certificate == dial().engine.handshake.certificate


def test_tickets_are_not_taken_without_end(dial: Dial) -> None:
    wire = dial()
    assert wire.server is not None
    buf = tls.Buffer(capacity=64 * 1024)  # type: ignore[attr-defined]
    for number in range(200):
        tls.push_new_session_ticket(
            buf, tls.NewSessionTicket(ticket_lifetime=60, ticket=b"%d" % number)
        )
    wire.server._crypto_streams[tls.Epoch.ONE_RTT].sender.write(buf.data)
    wire.settle(100)
    assert 8 <= len(wire.of(TicketReceived)) <= 32


def test_a_server_that_prefers_another_version(dial: Dial, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session is of that (RFC 9369 5), and so is the first flight by which it is resumed."""
    parse = QuicConnection._parse_transport_parameters

    def preferring(quic: Any, *about: Any, **options: Any) -> None:
        parse(quic, *about, **options)
        if not quic._is_client:
            quic._remote_version_information.available_versions.sort(reverse=True)

    monkeypatch.setattr(QuicConnection, "_parse_transport_parameters", preferring)
    first = dial()
    assert (first.engine.handshake.version, ticket_of(first).version) == ("2", VERSION_2)
    second = dial(ticket_of(first))
    assert resumed(second) and second.engine.handshake.version == "2"
    assert second.server is not None
    information = second.server._remote_version_information
    assert information is not None and information.chosen_version == VERSION_2, "the client's"


def test_one_that_is_too_long_to_be_offered(dial: Dial) -> None:
    """aioquic would fail on it."""
    wire = dial()
    known = len(wire.of(TicketReceived))
    for size in (8_000, 20_000):
        give(wire, ticket_lifetime=60, ticket=bytes(size))
    kept = wire.of(TicketReceived)[known:]
    assert [len(each.ticket.content.ticket) for each in kept] == [8_000]
    assert not resumed(dial(kept[0].ticket)), "by a server that knows nothing of it"


def give(wire: EngineWire, **about: Any) -> None:
    """Have the server give a ticket of which nothing is true."""
    assert wire.server is not None
    buf = tls.Buffer(capacity=64 * 1024)  # type: ignore[attr-defined]
    tls.push_new_session_ticket(buf, tls.NewSessionTicket(**about))
    wire.server._crypto_streams[tls.Epoch.ONE_RTT].sender.write(buf.data)
    wire.settle(100)


# by another trust ---------------------------------------------------------------------------


def _own(authority: Authority) -> dict[str, Any]:
    certfile, keyfile = authority.issue()
    return {"certfile": certfile, "keyfile": keyfile}


OTHERWISE: dict[str, Callable[[Authority], dict[str, Any]]] = {
    "verify": lambda _: {"verify": False, "cafile": None},
    "roots": lambda authority: {"cafile": None, "cadata": authority.cadata},
    "name": lambda _: {"server_name": "127.0.0.1"},
    "own": _own,
    "context": lambda authority: {"cafile": None, "verify": _context(authority)},
}


def _context(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.cafile)


@pytest.mark.parametrize("what", OTHERWISE)
def test_never_across_trusts(dial: Dial, authority: Authority, what: str) -> None:
    other = OTHERWISE[what](authority)
    assert not resumed(dial(ticket_of(dial()), options=other))
    ticket = ticket_of(dial(options=other))
    assert not resumed(dial(ticket)), "nor the other way round"
    assert resumed(dial(ticket, options=other)), "but by the same it is"


def test_a_context_that_was_changed(dial: Dial, authority: Authority) -> None:
    context = _context(authority)
    options = {"cafile": None, "verify": context}
    ticket = ticket_of(dial(options=options))
    with Authority() as another:
        context.load_verify_locations(cafile=another.cafile)
        assert not resumed(dial(ticket, options=options))
    assert resumed(dial(ticket_of(dial(options=options)), options=options))


def test_a_file_of_roots_that_was_changed(dial: Dial, authority: Authority, tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(authority.cadata)
    options = {"cafile": str(roots)}
    ticket = ticket_of(dial(options=options))
    with Authority() as another:
        roots.write_bytes(authority.cadata + another.cadata)
    assert not resumed(dial(ticket, options=options))
    assert resumed(dial(ticket_of(dial(options=options)), options=options))
