"""Receive credit: what the server may send ahead, of one stream and of the connection."""

from __future__ import annotations

import sys
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from quiver.quic.flow_control import AT_ONCE, GROWTH, FlowControl, StreamCredit
from quiver.quic.varint import LARGEST_VARINT
from tests.support.short_form import examples

KIB = 1024
WINDOW = 64 * KIB


def test_a_stream_starts_with_its_window() -> None:
    credit = StreamCredit(WINDOW)
    assert (credit.window, credit.held_back) == (WINDOW, True)
    assert credit.limit(0, WINDOW) == WINDOW
    assert (StreamCredit(None).window, StreamCredit(None).held_back) == (AT_ONCE, False)


def test_credit_waits_until_a_quarter_is_used() -> None:
    credit = StreamCredit(WINDOW)
    quarter = WINDOW // 4
    assert credit.limit(quarter, WINDOW) == WINDOW
    assert credit.limit(quarter + 1, WINDOW) == quarter + 1 + WINDOW


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
    assert credit.limit(WINDOW // 4, WINDOW) == WINDOW
    assert credit.limit(WINDOW // 4 + 1, WINDOW) == WINDOW // 4 + 1 + AT_ONCE


def test_no_limit_is_above_what_can_be_told() -> None:
    """RFC 9000 16: also with a window that stands for none."""
    credit = StreamCredit(sys.maxsize)
    assert credit.limit(WINDOW, WINDOW) == LARGEST_VARINT == credit.limit(AT_ONCE, LARGEST_VARINT)
    made = FlowControl()
    for stream_id in (0, 4):
        made.open(stream_id, sys.maxsize)
    assert made.limit(0, AT_ONCE) == LARGEST_VARINT == made.limit(AT_ONCE, LARGEST_VARINT)


def test_no_account_no_credit() -> None:
    accounts = FlowControl()
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
    accounts = FlowControl()
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
    accounts = FlowControl()
    for number in range(stalled):
        accounts.open(4 * number, window)
        accounts.passed_on(4 * number, window)
    received = stalled * window
    assert accounts.limit(received, received) - received >= AT_ONCE


# Growth -------------------------------------------------------------------------------------


class Download:
    """A stream whose reader takes all at once what comes, at a rate, over a path with round trips
    of 0.1 s; the server sends on whenever it may."""

    def __init__(self, accounts: FlowControl, stream_id: int, window: int) -> None:
        accounts.open(stream_id, window)
        self.accounts, self.stream_id = accounts, stream_id
        self.limit, self.delivered = window, 0
        self.now = 0.0

    @property
    def credit(self) -> StreamCredit:
        credit = self.accounts.get(self.stream_id)
        assert credit is not None
        return credit

    def consume(self, size: int, after: float, unread: int = 0) -> None:
        """`size` more come; of all that came `unread` are left."""
        self.now += after
        self.delivered += size
        self.accounts.passed_on(self.stream_id, size)
        self.accounts.consumed(self.stream_id, self.credit.unread - unread)
        limit = self.accounts.raise_stream(
            self.credit, self.delivered, self.limit, self.now, ROUND_TRIP
        )
        assert limit >= self.limit
        self.limit = limit


ROUND_TRIP = 0.1
MOST = 16 * WINDOW


def test_a_window_that_is_consumed_within_two_round_trips_doubles() -> None:
    download = Download(FlowControl(MOST), 0, WINDOW)
    download.consume(WINDOW // 2, 0.0)  # from here on it is measured
    download.consume(WINDOW // 2, ROUND_TRIP)
    assert download.credit.window == 2 * WINDOW
    assert download.limit == WINDOW + 2 * WINDOW
    download.consume(WINDOW, ROUND_TRIP)
    assert download.credit.window == 4 * WINDOW


def test_a_path_that_is_slower_leaves_it_as_it_is() -> None:
    download = Download(FlowControl(MOST), 0, WINDOW)
    for _ in range(20):
        download.consume(WINDOW // 2, 1.01 * ROUND_TRIP)
    assert download.credit.window == WINDOW


def test_so_does_a_reader_who_leaves_more_than_half_of_it_unread() -> None:
    download = Download(FlowControl(MOST), 0, WINDOW)
    download.consume(WINDOW // 2, 0.0)
    for _ in range(20):
        download.consume(WINDOW // 2, ROUND_TRIP / 2, unread=WINDOW // 2 + 1)
    assert download.credit.window == WINDOW
    download.consume(WINDOW // 2, ROUND_TRIP / 2, unread=0)
    assert download.credit.window == 2 * WINDOW


def test_without_a_round_trip_that_was_measured_nothing_grows() -> None:
    accounts = FlowControl(MOST)
    accounts.open(0, WINDOW)
    credit, limit = accounts.get(0), WINDOW
    assert credit is not None
    for delivered in range(0, 20 * WINDOW, WINDOW // 2):
        limit = accounts.raise_stream(credit, delivered, limit, 1.0, 0.0)
    assert credit.window == WINDOW


def test_it_grows_no_further_than_it_may() -> None:
    download = Download(FlowControl(MOST - 1), 0, WINDOW)
    for _ in range(20):
        download.consume(download.credit.window // 2, ROUND_TRIP / 2)
    assert download.credit.window == MOST - 1
    fixed = Download(FlowControl(WINDOW), 0, WINDOW)
    larger = Download(FlowControl(WINDOW), 0, 2 * WINDOW)
    for _ in range(20):
        fixed.consume(WINDOW // 2, ROUND_TRIP / 2)
        larger.consume(WINDOW, ROUND_TRIP / 2)
    assert (fixed.credit.window, larger.credit.window) == (WINDOW, 2 * WINDOW)


def test_those_of_one_connection_share_what_they_grow_by() -> None:
    accounts = FlowControl(GROWTH)
    downloads = [Download(accounts, 4 * number, 1024 * KIB) for number in range(3)]
    for _ in range(30):
        for download in downloads:
            download.consume(download.credit.window // 2, ROUND_TRIP / 2)
    grown = [download.credit.window - 1024 * KIB for download in downloads]
    assert sum(grown) == GROWTH
    assert accounts.limit(0, 0) == AT_ONCE + 3 * 1024 * KIB + GROWTH
    accounts.close(0)
    for _ in range(30):
        downloads[1].consume(downloads[1].credit.window // 2, ROUND_TRIP / 2)
    assert downloads[1].credit.window - 1024 * KIB == min(GROWTH - 1024 * KIB, grown[0] + grown[1])


def test_the_share_of_what_is_consumed_as_it_comes_grows_too() -> None:
    accounts, limit, received = FlowControl(2 * AT_ONCE), AT_ONCE, 0
    accounts.open(0, None)
    for number in range(8):
        accounts.passed_on(0, AT_ONCE // 2)
        received += AT_ONCE // 2
        limit = accounts.raise_connection(received, limit, number * ROUND_TRIP, ROUND_TRIP)
    assert limit == received + 2 * AT_ONCE
    credit = accounts.get(0)
    assert credit is not None
    assert accounts.raise_stream(credit, received, received, 9.0, ROUND_TRIP) == limit


def test_what_comes_in_whole_responses_makes_it_grow_as_well() -> None:
    accounts, limit, received = FlowControl(2 * AT_ONCE), AT_ONCE, 0
    for number in range(8):
        accounts.open(4 * number, None)  # of one that has come at once nobody is told: it is over
        accounts.close(4 * number)
        received += AT_ONCE // 2
        limit = accounts.raise_connection(received, limit, number * ROUND_TRIP, ROUND_TRIP)
    assert limit == received + 2 * AT_ONCE


def test_what_readers_take_does_not_make_it_grow() -> None:
    accounts, limit, received = FlowControl(2 * AT_ONCE), AT_ONCE, 0
    accounts.open(0, WINDOW)
    for number in range(8):
        accounts.passed_on(0, AT_ONCE // 2)
        accounts.consumed(0, AT_ONCE // 2)
        received += AT_ONCE // 2
        limit = accounts.raise_connection(received, limit, number * ROUND_TRIP, ROUND_TRIP)
    assert accounts.as_it_comes.grown == 0


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
        self.credits = FlowControl(64 * AT_ONCE)
        self.limit = AT_ONCE
        self.sent = 0
        self.arrived = 0  # in order; QUIC gives no credit for what lies beyond a hole
        self.streams: dict[int, Stream] = {}
        self.now = 0.0

    def pick(self, which: int) -> tuple[int, Stream]:
        stream_id = 4 * (which % len(self.streams))
        return stream_id, self.streams[stream_id]

    @rule(window=st.sampled_from([16 * KIB, WINDOW, 1024 * KIB, AT_ONCE, None]))
    def open(self, window: int | None) -> None:
        stream_id = 4 * len(self.streams)
        self.streams[stream_id] = Stream(window, 1024 * KIB if window is None else window)
        self.credits.open(stream_id, window)

    @rule(seconds=st.sampled_from([0.001, 0.05, 1.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

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
        if stream.window is None:
            return
        size = int(share * (stream.content - stream.consumed))
        stream.consumed += size
        self.credits.consumed(stream_id, size)

    @precondition(lambda self: self.streams)
    @rule(which=which)
    def all_goes_well(self, which: int) -> None:
        """Four round trips in which the server sends what it may and the reader takes it all."""
        for _ in range(4):
            self.server_sends(which, 1.0)
            self.it_arrives(which, 1.0, 0)
            self.reader_reads(which, 1.0)
            self.limits_are_written()
            self.now += ROUND_TRIP

    @precondition(lambda self: self.streams)
    @rule(which=which)
    def close(self, which: int) -> None:
        stream_id, stream = self.pick(which)
        if (credit := self.credits.get(stream_id)) is not None and stream.window is not None:
            stream.window = credit.window  # to which it had grown
        stream.open = False
        self.credits.close(stream_id)

    @rule()
    def limits_are_written(self) -> None:
        for stream_id, stream in self.streams.items():
            credit = self.credits.get(stream_id)
            assert (credit is None) == (not stream.open)
            if credit is not None:
                limit = self.credits.raise_stream(
                    credit, stream.arrived, stream.limit, self.now, ROUND_TRIP
                )
                assert limit >= stream.limit, "a limit never shrinks (RFC 9000 4.1)"
                stream.limit = limit
        limit = self.credits.raise_connection(self.arrived, self.limit, self.now, ROUND_TRIP)
        assert limit >= self.limit
        self.limit = limit

    def window_of(self, stream_id: int) -> int:
        """Of a stream with a reader, as it is now; of one that is over, as it was."""
        credit, window = self.credits.get(stream_id), self.streams[stream_id].window
        assert window is not None
        return window if credit is None else credit.window

    @invariant()
    def no_stream_holds_more_than_its_window(self) -> None:
        """What is unread, and what the server may still send before anybody reads."""
        for stream_id, stream in self.streams.items():
            if stream.window is not None and stream.open:
                unread = stream.content - stream.consumed
                assert unread + stream.limit - stream.arrived <= self.window_of(stream_id)

    @invariant()
    def the_connection_holds_its_share_and_all_windows(self) -> None:
        held = [each for each in self.streams.values() if each.open and each.window is not None]
        unread = sum(each.content - each.consumed for each in held)
        ever = sum(  # limits given stay given
            self.window_of(number) for number, each in self.streams.items() if each.window
        )
        share = AT_ONCE + self.credits.as_it_comes.grown
        assert unread + self.limit - self.arrived <= share + ever

    @invariant()
    def windows_grow_by_no_more_than_their_share(self) -> None:
        """And what is not left of it is what those have grown by that are there."""
        readers = [
            self.window_of(number) - (each.window or 0)
            for number, each in self.streams.items()
            if each.open and each.window is not None
        ]
        grown = sum(readers) + self.credits.as_it_comes.grown
        assert grown == GROWTH - self.credits.growth_left
        assert 0 <= grown <= GROWTH
        assert self.credits.as_it_comes.grown <= GROWTH // 2

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
        grown = self.credits.as_it_comes.grown
        assert self.credits.growth_left == GROWTH - grown
        assert vars(self.credits)["_window"] == AT_ONCE + grown
        assert (vars(self.credits)["_unread"], vars(self.credits)["_streams"]) == (0, {})


AnyOrder.TestCase.settings = settings(
    max_examples=examples(150), stateful_step_count=50, deadline=None
)
TestAnyOrder = AnyOrder.TestCase


class GivesForWhatIsReceived(StreamCredit):
    """As aioquic does: what the reader has left unread is not asked."""

    def limit(self, delivered: int, limit: int) -> int:
        return max(limit, delivered + self.window)


def test_the_property_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quiver.quic.flow_control.StreamCredit", GivesForWhatIsReceived)
    machine: Any = AnyOrder()
    machine.open(WINDOW)
    machine.server_sends(0, 1.0)
    machine.it_arrives(0, 1.0, 0)
    machine.limits_are_written()
    with pytest.raises(AssertionError):
        machine.no_stream_holds_more_than_its_window()


def test_the_property_sees_windows_grow() -> None:
    machine: Any = AnyOrder()
    machine.open(WINDOW)
    machine.all_goes_well(0)
    machine.all_goes_well(0)
    assert machine.credits.get(0).window > 4 * WINDOW
    machine.windows_grow_by_no_more_than_their_share()
