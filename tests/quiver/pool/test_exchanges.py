"""The table of exchanges: what each event means for its caller, in all three modes."""

from __future__ import annotations

import math
from typing import Any

import pytest

from quiver.errors import (
    ConnectionLost,
    GoAway,
    ProtocolViolation,
    ResponseTooLarge,
    StreamReset,
)
from quiver.h3.codes import ErrorCode
from quiver.models import Response
from quiver.pool.actions import (
    Answer,
    Begin,
    Deliver,
    End,
    Inform,
    Release,
    ResetStream,
    Retry,
)
from quiver.pool.exchanges import Mode
from quiver.pool.time_limits import Limits
from tests.support.exchange_table import TICKET, Table, every_mode, failure, table

LENGTH_2 = [("content-length", "2")]

# in order -----------------------------------------------------------------------------------


def test_a_buffered_response_is_answered_as_a_whole() -> None:
    exchanges = table()
    assert exchanges.informational(0, 103, [("link", "a")], 1.0) == (
        Inform(TICKET, 103, [("link", "a")]),
    )
    assert exchanges.headers(0, 200, [("a", "1")], False, 1.0) == ()
    assert exchanges.body(0, b"he", False, 1.0) == ()
    assert exchanges.body(0, b"llo", False, 1.0) == ()
    whole = Response(200, [("a", "1")], b"hello", [("x-sum", "5")])
    assert exchanges.trailers(0, [("x-sum", "5")], 1.0) == (Answer(TICKET, whole),)
    assert (len(exchanges), exchanges.tickets()) == (0, [])


@pytest.mark.parametrize("mode", [Mode.STREAMED, Mode.CHANNEL])
def test_a_streamed_response_comes_as_it_arrives(mode: Mode) -> None:
    exchanges = table(mode)
    assert exchanges.informational(0, 100, [], 1.0) == (Inform(TICKET, 100, []),)
    assert exchanges.headers(0, 200, [("a", "1")], False, 1.0) == (
        Begin(TICKET, 200, [("a", "1")]),
    )
    assert exchanges.body(0, b"he", False, 1.0) == (Deliver(TICKET, b"he"),)
    assert exchanges.body(0, b"llo", True, 1.0) == (
        Deliver(TICKET, b"llo"),
        End(TICKET, []),
    )
    assert len(exchanges) == 0


@pytest.mark.parametrize("mode", [Mode.STREAMED, Mode.CHANNEL])
def test_a_streamed_response_may_end_in_three_ways(mode: Mode) -> None:
    at_once, empty, with_trailers = (table(mode) for _ in range(3))
    end = (End(TICKET, []),)
    assert at_once.headers(0, 200, [], True, 1.0) == (Begin(TICKET, 200, []), *end)
    for each in (empty, with_trailers):
        each.headers(0, 200, [], False, 1.0)
    assert empty.body(0, b"", True, 1.0) == end
    last = [("x-sum", "0")]
    assert with_trailers.trailers(0, last, 1.0) == (End(TICKET, last),)


@every_mode
@pytest.mark.parametrize(
    ("method", "status", "headers", "content"),
    [
        ("GET", 200, LENGTH_2, b"ok"),
        ("GET", 200, LENGTH_2, b"not ok"),
        ("GET", 200, LENGTH_2, b""),
        ("GET", 200, [("content-length", "x")], b"ok"),
        ("GET", 200, [], b"larger than may be"),
        ("GET", 204, [], b"none may be"),
        ("HEAD", 200, LENGTH_2, b""),
        ("HEAD", 200, LENGTH_2, b"ok"),
        ("GET", 425, [], b"too early"),
    ],
)
def test_what_comes_at_once_is_what_comes_in_two_events(
    mode: Mode, method: str, status: int, headers: Any, content: bytes
) -> None:
    one, two = Table(max_body_size=10), Table(max_body_size=10)
    for each in (one, two):
        each.begin(mode=mode, method=method, early=True)
    parts = two.headers(0, status, headers, False, 1.0) + two.body(0, content, True, 1.0)
    assert str(one.whole(status, headers, content)) == str(parts)  # errors are not equal
    assert len(one) == len(two) == 0


@pytest.mark.parametrize("mode", [Mode.BUFFERED, Mode.STREAMED])
@pytest.mark.parametrize("ended", [True, False])
def test_too_early_is_for_what_was_early(mode: Mode, ended: bool) -> None:
    """It is sent again, and not for what was sent after the handshake (RFC 8470 5.2)."""
    exchanges = table(mode, early=True)
    reset, retry = exchanges.headers(0, 425, [], ended, 1.0)
    assert reset == ResetStream(0, ErrorCode.H3_REQUEST_CANCELLED)
    assert isinstance(retry, Retry) and retry.ticket == TICKET
    assert retry.error.unprocessed
    assert len(exchanges) == 0
    late = table(mode)
    assert not any(isinstance(each, Retry) for each in late.headers(0, 425, [], True, 1.0))


def test_an_empty_body_in_two_ways() -> None:
    answer = (Answer(TICKET, Response(200)),)
    exchanges = table()
    assert exchanges.headers(0, 200, [], True, 1.0) == answer
    exchanges = table()
    exchanges.headers(0, 200, [], False, 1.0)
    assert exchanges.body(0, b"", True, 1.0) == answer


def test_one_piece_is_not_copied() -> None:
    exchanges, piece = table(), b"x" * 50
    exchanges.headers(0, 200, [], False, 1.0)
    answer: Any = exchanges.body(0, piece, True, 1.0)[0]
    assert answer.outcome.body is piece


def test_many_at_once_are_kept_apart() -> None:
    exchanges = Table()
    for number in range(5):
        exchanges.begin(4 * number, number)
    assert (len(exchanges), exchanges.tickets()) == (5, [0, 1, 2, 3, 4])
    for number in (3, 0, 4, 1, 2):
        assert exchanges.ticket_of(4 * number) == number
        body = bytes([number])
        exchanges.headers(4 * number, 200, [], False, 1.0)
        done = exchanges.body(4 * number, body, True, 1.0)
        assert done == (Answer(number, Response(200, [], body)),)
        assert exchanges.ticket_of(4 * number) is None


def test_what_is_open_cannot_be_opened() -> None:
    exchanges = table()
    with pytest.raises(ValueError, match="open already"):
        exchanges.begin(0, 8)
    with pytest.raises(ValueError, match="open already"):
        exchanges.begin(4, TICKET)
    exchanges.cancel(TICKET)
    exchanges.begin(4, TICKET)
    assert exchanges.ticket_of(4) == TICKET


# lengths ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Mode.BUFFERED, Mode.STREAMED])
def test_a_body_longer_than_declared_is_none(mode: Mode) -> None:
    exchanges = table(mode)
    exchanges.headers(0, 200, LENGTH_2, False, 1.0)
    exchanges.body(0, b"12", False, 1.0)
    done = exchanges.body(0, b"3", False, 1.0)
    failure(done, ProtocolViolation, "content-length is 2, but 3 bytes came", 0x10E)


@pytest.mark.parametrize("mode", [Mode.BUFFERED, Mode.STREAMED])
def test_a_body_shorter_than_declared_is_none(mode: Mode) -> None:
    said = "content-length is 2, but 1 bytes came"
    by_body, by_trailers = table(mode), table(mode)
    for each in (by_body, by_trailers):
        each.headers(0, 200, LENGTH_2, False, 1.0)
    *delivered, reset, answer = by_body.body(0, b"1", True, 1.0)
    assert delivered == ([] if mode is Mode.BUFFERED else [Deliver(TICKET, b"1")])
    failure((reset, answer), ProtocolViolation, said, 0x10E)
    by_trailers.body(0, b"1", False, 1.0)
    failure(by_trailers.trailers(0, [], 1.0), ProtocolViolation, said, 0x10E)


def test_headers_that_end_are_short_of_what_they_declare() -> None:
    begin, *rest = table(Mode.STREAMED).headers(0, 200, LENGTH_2, True, 1.0)
    assert begin == Begin(TICKET, 200, LENGTH_2)
    failure(rest, ProtocolViolation, "but 0 bytes came", 0x10E)


@pytest.mark.parametrize("mode", [Mode.BUFFERED, Mode.STREAMED])
@pytest.mark.parametrize(
    "headers", [[("content-length", "x")], [*LENGTH_2, ("content-length", "3")]]
)
def test_a_length_that_is_none_is_malformed(mode: Mode, headers: Any) -> None:
    done = table(mode).headers(0, 200, headers, False, 1.0)
    failure(done, ProtocolViolation, "malformed response: content-length", 0x10E)


def test_a_channel_has_no_length() -> None:
    exchanges = table(Mode.CHANNEL)
    exchanges.headers(0, 200, LENGTH_2, False, 1.0)
    assert exchanges.body(0, b"123", True, 1.0)[0] == Deliver(TICKET, b"123")


@pytest.mark.parametrize("mode", [Mode.BUFFERED, Mode.STREAMED])
@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_where_no_content_may_be_the_length_means_nothing(
    mode: Mode, method: str, status: int
) -> None:
    exchanges = table(mode, method=method)
    headers = [("content-length", "1000")]  # also beyond max_body_size
    begun = exchanges.headers(0, status, headers, False, 1.0)
    done = (*begun, *exchanges.body(0, b"", True, 1.0))
    if mode is Mode.BUFFERED:
        assert done == (Answer(TICKET, Response(status, headers)),)
    else:
        assert done == (Begin(TICKET, status, headers), End(TICKET, []))


@pytest.mark.parametrize("mode", [Mode.BUFFERED, Mode.STREAMED])
@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
@pytest.mark.parametrize("ended", [False, True])
def test_content_where_none_may_be_is_left_aside(
    mode: Mode, method: str, status: int, ended: bool
) -> None:
    """The server is told to stop; what it sends meanwhile is for nobody."""
    exchanges = table(mode, method=method)
    exchanges.headers(0, status, [], False, 1.0)
    stop, outcome = exchanges.body(0, b"x", ended, 1.0)
    assert stop == ResetStream(0, 0x10C)
    whole = Answer(TICKET, Response(status))
    assert outcome == (whole if mode is Mode.BUFFERED else End(TICKET, []))
    assert exchanges.body(0, b"x", ended, 1.0) == () and not len(exchanges)


@pytest.mark.parametrize("status", [200, 204])
def test_a_channel_has_content_after_any_status(status: int) -> None:
    """A 2xx of any kind opens a tunnel (RFC 9110 9.3.6)."""
    exchanges = table(Mode.CHANNEL)
    exchanges.headers(0, status, [], False, 1.0)
    assert exchanges.body(0, b"123", False, 1.0) == (Deliver(TICKET, b"123"),)


def test_what_is_buffered_is_bounded() -> None:
    declared, growing, just = (table() for _ in range(3))
    said = "max_body_size=100 bytes"
    done = declared.headers(0, 200, [("content-length", "101")], False, 1.0)
    failure(done, ResponseTooLarge, said, 0x10C)
    growing.headers(0, 200, [], False, 1.0)
    assert growing.body(0, b"x" * 100, False, 1.0) == ()
    failure(growing.body(0, b"x", False, 1.0), ResponseTooLarge, said, 0x10C)
    just.headers(0, 200, [("content-length", "100")], False, 1.0)
    assert isinstance(just.body(0, b"x" * 100, True, 1.0)[0], Answer)


def test_what_is_buffered_is_not_if_there_is_no_limit() -> None:
    exchanges = Table(max_body_size=None)
    exchanges.open(0, TICKET, method="GET", now=0.0, limits=Limits(), mode=Mode.BUFFERED)
    assert exchanges.headers(0, 200, [("content-length", str(2**62))], False, 1.0) == ()
    assert exchanges.body(0, b"x" * 1000, False, 1.0) == ()


@pytest.mark.parametrize("mode", [Mode.STREAMED, Mode.CHANNEL])
def test_what_is_streamed_is_not(mode: Mode) -> None:
    exchanges = table(mode)
    exchanges.headers(0, 200, [("content-length", "1000")], False, 1.0)
    assert exchanges.body(0, b"x" * 1000, True, 1.0)[1] == End(TICKET, [])


# broken off ---------------------------------------------------------------------------------


@every_mode
def test_a_reset_is_the_outcome(mode: Mode) -> None:
    error = failure(table(mode).reset(0, 0x102), StreamReset, "with H3_INTERNAL_ERROR (0x102)")
    assert getattr(error, "code", None) == 0x102


@every_mode
@pytest.mark.parametrize("answered", [False, True])
def test_what_was_rejected_is_retried_unless_it_has_begun(mode: Mode, answered: bool) -> None:
    exchanges = table(mode)
    if answered:
        exchanges.headers(0, 200, [], False, 1.0)
    done = exchanges.reset(0, 0x10B)
    if mode is Mode.CHANNEL or (answered and mode is Mode.STREAMED):
        failure(done, StreamReset, "0x10b")
        return
    (retry,) = done
    assert isinstance(retry, Retry)
    assert (retry.ticket, type(retry.error)) == (TICKET, StreamReset)


@every_mode
def test_a_malformed_response(mode: Mode) -> None:
    failure(table(mode).malformed(0, "odd"), ProtocolViolation, "malformed response: odd")


@every_mode
def test_a_header_section_that_is_too_large(mode: Mode) -> None:
    done = table(mode).headers_too_large(0, 900, 800)
    failure(done, ResponseTooLarge, "900 bytes or more exceeds max_header_size=800 bytes")


@pytest.mark.parametrize("end", ["body", "trailers"])
def test_an_end_before_the_response_is_malformed(end: str) -> None:
    exchanges = table()
    if end == "body":
        done = exchanges.body(0, b"", True, 1.0)
    else:
        done = exchanges.trailers(0, [], 1.0)
    failure(done, ProtocolViolation, "before a final response", 0x10E)


def test_a_goaway_hands_back_what_it_refuses() -> None:
    exchanges = Table()
    for number, mode in enumerate([Mode.BUFFERED, Mode.BUFFERED, Mode.STREAMED, Mode.CHANNEL]):
        exchanges.begin(4 * number, number, mode=mode)
    exchanges.headers(8, 200, [], False, 1.0)
    done = exchanges.goaway(4)
    assert exchanges.tickets() == [0]
    assert [type(each) for each in done] == [
        *(ResetStream, Retry),
        *(ResetStream, Answer),
        *(ResetStream, Answer),
    ]
    errors: Any = [done[1].error, done[3].outcome, done[5].outcome]  # type: ignore[union-attr]
    assert [type(error) for error in errors] == [GoAway] * 3
    assert [error.id for error in errors] == [4] * 3
    assert len({str(error) for error in errors}) == 3  # each names its stream
    assert exchanges.goaway(4) == ()


def test_what_never_left_is_given_back_for_the_cause_that_it_has() -> None:
    exchanges = Table()
    for number in range(3):
        exchanges.begin(4 * number, number)
    cause = ConnectionLost("our address has changed", origin="https://a")
    cause.unprocessed = True
    done: Any = exchanges.goaway(4, cause)
    given_back = [each for each in done if isinstance(each, Retry)]
    assert [each.ticket for each in given_back] == [1, 2]
    assert all(type(each.error) is ConnectionLost for each in given_back)
    assert all(each.error.unprocessed and each.error is not cause for each in given_back)
    assert isinstance(exchanges.lost(cause)[0], Answer)


def test_a_lost_connection_fails_all_with_an_error_each() -> None:
    exchanges = Table()
    for number, mode in enumerate(Mode):
        exchanges.begin(4 * number, number, mode=mode)
    done: Any = exchanges.lost(ConnectionLost("gone", origin="https://a", code=5))
    assert [each.ticket for each in done] == [0, 1, 2]
    errors = [each.outcome for each in done]
    assert len({id(error) for error in errors}) == 3
    assert [(type(error), error.code) for error in errors] == [(ConnectionLost, 5)] * 3
    assert exchanges.lost(ConnectionLost("gone")) == ()


@every_mode
def test_who_gives_up_gets_no_answer(mode: Mode) -> None:
    exchanges = table(mode)
    assert exchanges.cancel(TICKET) == (ResetStream(0, 0x10C), Release(TICKET))
    assert exchanges.cancel(TICKET) == ()


@every_mode
def test_a_body_that_cannot_go_on_is_the_outcome(mode: Mode) -> None:
    exchanges, error = table(mode), KeyError("mine")
    assert exchanges.break_off(TICKET, error) == (
        ResetStream(0, 0x10C),
        Answer(TICKET, error),
    )
    assert exchanges.break_off(TICKET, error) == ()


# too late -----------------------------------------------------------------------------------


@every_mode
def test_events_of_what_is_over_are_races(mode: Mode) -> None:
    exchanges = table(mode)
    exchanges.cancel(TICKET)
    late: list[Any] = [
        exchanges.informational(0, 100, [], 1.0),
        exchanges.headers(0, 200, [], True, 1.0),
        exchanges.body(0, b"x", True, 1.0),
        exchanges.trailers(0, [], 1.0),
        exchanges.reset(0, 0x10B),
        exchanges.malformed(0, "odd"),
        exchanges.headers_too_large(0, 2, 1),
        exchanges.goaway(0),
        exchanges.sweep(1e9),
    ]
    exchanges.is_read(TICKET, 0, 1.0)
    exchanges.is_sent(TICKET, 1.0)
    exchanges.is_stuck(TICKET)
    assert late == [()] * 9
    assert (len(exchanges), exchanges.due) == (0, math.inf)
