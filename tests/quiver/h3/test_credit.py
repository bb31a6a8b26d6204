"""Receive credit: what the server may send ahead, of one stream and of the connection."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from quiver.h3.credit import AT_ONCE, Credits, StreamCredit

KIB = 1024
WINDOW = 64 * KIB


def test_a_stream_starts_with_its_window() -> None:
    credit = StreamCredit(WINDOW)
    assert (credit.window, credit.held_back) == (WINDOW, True)
    assert credit.limit(0, WINDOW) == WINDOW
    assert (StreamCredit(None).window, StreamCredit(None).held_back) == (AT_ONCE, False)


def test_credit_waits_until_half_is_used() -> None:
    credit = StreamCredit(WINDOW)
    half = WINDOW // 2
    assert credit.limit(half, WINDOW) == WINDOW
    assert credit.limit(half + 1, WINDOW) == half + 1 + WINDOW


def test_what_nobody_consumes_gives_no_credit() -> None:
    credit = StreamCredit(WINDOW)
    credit.unread = WINDOW
    assert credit.limit(WINDOW, WINDOW) == WINDOW
    credit.unread = WINDOW // 2
    assert credit.limit(WINDOW, WINDOW) == WINDOW + WINDOW // 2


def test_a_small_gain_is_not_worth_a_frame() -> None:
    credit = StreamCredit(WINDOW)
    credit.unread = WINDOW - WINDOW // 8 + 1
    assert credit.limit(WINDOW, WINDOW) == WINDOW
    credit.unread -= 1
    assert credit.limit(WINDOW, WINDOW) == WINDOW + WINDOW // 8


def test_a_first_limit_below_the_window_grows_to_it() -> None:
    """What is consumed at once begins with the limit that streams with a reader have."""
    credit = StreamCredit(None)
    assert credit.limit(WINDOW // 2, WINDOW) == WINDOW
    assert credit.limit(WINDOW // 2 + 1, WINDOW) == WINDOW // 2 + 1 + AT_ONCE


def test_no_account_no_credit() -> None:
    accounts = Credits()
    assert accounts.get(0) is None
    accounts.passed_on(0, 5)
    accounts.consumed(0, 5)
    accounts.close(0)
    accounts.open(0, WINDOW)
    assert accounts.get(0) is not None
    accounts.close(0)
    accounts.close(0)
    assert accounts.get(0) is None


def test_the_connection_grows_by_each_reader_that_may_stop() -> None:
    accounts = Credits()
    assert accounts.limit(AT_ONCE, AT_ONCE) == 2 * AT_ONCE
    accounts.open(0, WINDOW)
    assert accounts.limit(AT_ONCE, AT_ONCE) == 2 * AT_ONCE + WINDOW
    accounts.open(4, None)
    assert accounts.limit(AT_ONCE, AT_ONCE) == 2 * AT_ONCE + WINDOW
    accounts.passed_on(0, 100)
    accounts.passed_on(4, 100)  # consumed as it comes
    assert accounts.limit(AT_ONCE, AT_ONCE) == 2 * AT_ONCE + WINDOW - 100
    accounts.close(0)
    assert accounts.limit(AT_ONCE, AT_ONCE) == 2 * AT_ONCE


@given(st.integers(1, 1000), st.sampled_from([16 * KIB, WINDOW, 1024 * KIB]))
@settings(deadline=None)
def test_any_number_of_stalled_streams_leaves_the_others_their_share(
    stalled: int, window: int
) -> None:
    """All that the stalled ones may ever send has come, and still 8 MiB are free."""
    accounts = Credits()
    for number in range(stalled):
        accounts.open(4 * number, window)
        accounts.passed_on(4 * number, window)
    received = stalled * window
    assert accounts.limit(received, received) - received >= AT_ONCE


# Any order ----------------------------------------------------------------------------------


@attrs.define
class Stream:
    """One stream as the server and its reader see it. Octets that are no content count too."""

    window: int | None
    limit: int  # that the server knows
    sent: int = 0
    arrived: int = 0  # in order; the rest is on its way
    content: int = 0  # passed on
    consumed: int = 0
    open: bool = True


class AnyOrder(RuleBasedStateMachine):
    """A server that sends whatever it may, to readers that read whenever they like."""

    which = st.integers(0, 50)
    share = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0, 1.0])

    def __init__(self) -> None:
        super().__init__()
        self.credits = Credits()
        self.limit = AT_ONCE
        self.sent = 0
        self.arrived = 0  # in order; QUIC gives no credit for what lies beyond a hole
        self.streams: dict[int, Stream] = {}

    def pick(self, which: int) -> tuple[int, Stream]:
        stream_id = 4 * (which % len(self.streams))
        return stream_id, self.streams[stream_id]

    @rule(window=st.sampled_from([16 * KIB, WINDOW, 1024 * KIB, AT_ONCE, None]))
    def open(self, window: int | None) -> None:
        stream_id = 4 * len(self.streams)
        self.streams[stream_id] = Stream(window, 1024 * KIB if window is None else window)
        self.credits.open(stream_id, window)

    @precondition(lambda self: self.streams)
    @rule(which=which, share=share)
    def server_sends(self, which: int, share: float) -> None:
        """As much as both limits allow, or a part of that."""
        _, stream = self.pick(which)
        size = int(share * min(stream.limit - stream.sent, self.limit - self.sent))
        stream.sent += size
        self.sent += size

    @precondition(lambda self: self.streams)
    @rule(which=which, share=share, framing=st.integers(0, 100))
    def it_arrives(self, which: int, share: float, framing: int) -> None:
        stream_id, stream = self.pick(which)
        size = int(share * (stream.sent - stream.arrived))
        stream.arrived += size
        self.arrived += size
        content = max(0, size - framing)
        if stream.open:
            stream.content += content
            self.credits.passed_on(stream_id, content)

    @precondition(lambda self: self.streams)
    @rule(which=which, share=share)
    def reader_reads(self, which: int, share: float) -> None:
        stream_id, stream = self.pick(which)
        size = int(share * (stream.content - stream.consumed))
        stream.consumed += size
        self.credits.consumed(stream_id, size)

    @precondition(lambda self: self.streams)
    @rule(which=which)
    def close(self, which: int) -> None:
        stream_id, stream = self.pick(which)
        stream.open = False
        self.credits.close(stream_id)

    @rule()
    def limits_are_written(self) -> None:
        for stream_id, stream in self.streams.items():
            credit = self.credits.get(stream_id)
            assert (credit is None) == (not stream.open)
            if credit is not None:
                limit = credit.limit(stream.arrived, stream.limit)
                assert limit >= stream.limit, "a limit never shrinks (RFC 9000 4.1)"
                stream.limit = limit
        limit = self.credits.limit(self.arrived, self.limit)
        assert limit >= self.limit
        self.limit = limit

    @invariant()
    def no_stream_holds_more_than_its_window(self) -> None:
        """What is unread, and what the server may still send before anybody reads."""
        for stream in self.streams.values():
            if stream.window is not None and stream.open:
                unread = stream.content - stream.consumed
                assert unread + stream.limit - stream.arrived <= stream.window

    @invariant()
    def the_connection_holds_its_share_and_all_windows(self) -> None:
        held = [each for each in self.streams.values() if each.open and each.window is not None]
        unread = sum(each.content - each.consumed for each in held)
        ever = [each.window or 0 for each in self.streams.values()]  # limits given stay given
        assert unread + self.limit - self.arrived <= AT_ONCE + sum(ever)

    @invariant()
    def whoever_reads_on_gets_credit(self) -> None:
        """However many others are stalled: once all of it is read, the server may go on."""
        for stream_id, stream in self.streams.items():
            credit = self.credits.get(stream_id)
            if credit is None or (stream.content > stream.consumed and stream.window is not None):
                continue
            limit = credit.limit(stream.arrived, stream.limit)
            assert limit > stream.arrived
            assert self.credits.limit(self.arrived, self.limit) > self.arrived

    def teardown(self) -> None:
        for stream_id in self.streams:
            self.credits.close(stream_id)
        assert vars(self.credits) == vars(Credits())


AnyOrder.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestAnyOrder = AnyOrder.TestCase


class GivesForWhatIsReceived(StreamCredit):
    """As aioquic does: what the reader has left unread is not asked."""

    def limit(self, delivered: int, limit: int) -> int:
        return max(limit, delivered + self.window)


def test_the_property_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quiver.h3.credit.StreamCredit", GivesForWhatIsReceived)
    machine: Any = AnyOrder()
    machine.open(WINDOW)
    machine.server_sends(0, 1.0)
    machine.it_arrives(0, 1.0, 0)
    machine.limits_are_written()
    with pytest.raises(AssertionError):
        machine.no_stream_holds_more_than_its_window()
