"""SETTINGS that are kept with tickets, and what a server that accepts early data keeps to."""

from __future__ import annotations

import pytest

from quiver.h3.codes import ErrorCode
from quiver.h3.protocol_error import ProtocolError
from quiver.h3.session_settings import SessionSettings, check_kept
from quiver.h3.settings import ServerSettings, Setting
from quiver.quic.engine import SessionTicket, TicketReceived

CAPACITY, BLOCKED = Setting.QPACK_MAX_TABLE_CAPACITY, Setting.QPACK_BLOCKED_STREAMS
LIMIT, CONNECT = Setting.MAX_FIELD_SECTION_SIZE, Setting.ENABLE_CONNECT_PROTOCOL
DATAGRAM = Setting.H3_DATAGRAM


def settings(values: dict[Setting, int]) -> ServerSettings:
    return ServerSettings({int(each): value for each, value in values.items()})


def ticket(name: str) -> TicketReceived:
    return TicketReceived(SessionTicket(name, 0.0, 1.0, 1.0, (), 1, True, None))


def test_tickets_wait_for_the_settings_that_go_with_them() -> None:
    session = SessionSettings(b"")
    for name in "abcdef":
        assert session.ticket(ticket(name)) == []
    said = settings({LIMIT: 100, CONNECT: 1})
    told = session.settled(said, early=None)
    assert [each.ticket.trust for each in told] == ["c", "d", "e", "f"], "the newest"
    assert {each.ticket.application for each in told} == {said.encoded()}
    [later] = session.ticket(ticket("g"))
    assert SessionSettings(later.ticket.application).former == said


KEPT: list[tuple[dict[Setting, int], dict[Setting, int]]] = [
    ({}, {}),
    ({}, {CAPACITY: 100, BLOCKED: 5, CONNECT: 1, DATAGRAM: 1}),
    ({CAPACITY: 100, BLOCKED: 5}, {CAPACITY: 100, BLOCKED: 6}),
    ({LIMIT: 100}, {LIMIT: 200}),
]

BROKEN: list[tuple[dict[Setting, int], dict[Setting, int], ErrorCode]] = [
    ({CAPACITY: 100}, {CAPACITY: 99}, ErrorCode.QPACK_DECODER_STREAM_ERROR),
    ({CAPACITY: 100}, {CAPACITY: 101}, ErrorCode.QPACK_DECODER_STREAM_ERROR),
    ({CAPACITY: 100}, {}, ErrorCode.QPACK_DECODER_STREAM_ERROR),
    ({BLOCKED: 5}, {BLOCKED: 4}, ErrorCode.H3_SETTINGS_ERROR),
    ({CONNECT: 1}, {}, ErrorCode.H3_SETTINGS_ERROR),
    ({DATAGRAM: 1}, {DATAGRAM: 0}, ErrorCode.H3_SETTINGS_ERROR),
    ({LIMIT: 100}, {LIMIT: 99}, ErrorCode.H3_SETTINGS_ERROR),
    ({LIMIT: 100}, {}, ErrorCode.H3_SETTINGS_ERROR),
    ({}, {LIMIT: 100}, ErrorCode.H3_SETTINGS_ERROR),
]


@pytest.mark.parametrize(("former", "now"), KEPT)
def test_what_it_may_say(former: dict[Setting, int], now: dict[Setting, int]) -> None:
    check_kept(settings(former), settings(now))


@pytest.mark.parametrize(("former", "now", "code"), BROKEN)
def test_a_server_that_has_accepted_keeps_to_its_word(
    former: dict[Setting, int], now: dict[Setting, int], code: ErrorCode
) -> None:
    with pytest.raises(ProtocolError, match="early data was accepted, but") as caught:
        check_kept(settings(former), settings(now))
    assert caught.value.code == code
    remembered = SessionSettings(settings(former).encoded())
    with pytest.raises(ProtocolError):
        remembered.settled(settings(now), early=True)
    for outcome in (False, None):  # it may say anything
        remembered.settled(settings(now), early=outcome)
