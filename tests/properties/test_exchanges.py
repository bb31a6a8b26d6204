"""Any sequence of events on the table of exchanges, beside a model that knows only the promise.

Each ticket gets exactly one outcome, or is released, whatever happens in whatever order, and
nothing after that. The model counts; it decides nothing.
"""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from quiver.errors import ConnectionLost, GoAway, StreamReset
from quiver.models import Response
from quiver.pool.actions import (
    ENDS,
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
from tests.support.exchange_table import Table
from tests.support.short_form import examples

MOST = 20  # bytes of a buffered body
LONG = 1e6  # seconds after which every limit has passed

limit = st.none() | st.sampled_from([0.5, 1.0, 3.0, 10.0])
length = st.sampled_from([[]] * 9 + [[("content-length", n)] for n in ("0", "3", "8", "40", "x")])
statuses = st.sampled_from([200, 200, 200, 204, 304, 404])
content = st.binary(min_size=0, max_size=12)
mostly_not = st.sampled_from([False] * 4 + [True])
some = st.integers(min_value=0, max_value=1000)  # picks one of what there is


@attrs.define
class Told:
    """What the table said of one ticket."""

    stream_id: int
    mode: Mode
    limits: Limits
    begun: bool = False
    informed: int = 0
    delivered: bytes = b""
    outcomes: int = 0
    releases: int = 0
    resets: int = 0
    cancelled: bool = False

    @property
    def over(self) -> bool:
        return bool(self.outcomes or self.releases)


class AnyOrder(RuleBasedStateMachine):
    """The events are what a session may report, and then some that it never would."""

    table_of: type[Table] = Table

    def __init__(self) -> None:
        super().__init__()
        self.table = self.table_of(max_body_size=MOST, origin="https://a")
        self.now = 0.0
        self.told: dict[int, Told] = {}
        self.sent: dict[int, bytes] = {}  # by the server, on a stream with content
        self.streams: dict[int, int] = {}

    # what it said -------------------------------------------------------------------------

    def take(self, actions: tuple[Any, ...]) -> None:
        for action in actions:
            match action:
                case ResetStream(stream_id, _):
                    told = self.told[self.streams[stream_id]]
                    told.resets += 1
                    assert told.resets == 1
                    assert not told.over, "a reset after the end"
                case Release(ticket):
                    self.told[ticket].releases += 1
                    assert self.told[ticket].releases == 1
                case _:
                    self.take_of(self.told[action.ticket], action)

    def take_of(self, told: Told, action: Any) -> None:
        assert told.outcomes == 0, f"{action} after the outcome"
        assert told.releases == 0, f"{action} after the release"
        match action:
            case Inform():
                told.informed += 1
            case Begin():
                assert not told.begun
                assert told.mode is not Mode.BUFFERED
                told.begun = True
            case Deliver(_, piece):
                assert told.begun, "content before the head"
                assert piece
                told.delivered += piece
            case End():
                assert told.begun
                told.outcomes = 1
            case Answer(_, outcome):
                assert isinstance(outcome, BaseException) or told.mode is Mode.BUFFERED
                if isinstance(outcome, Response):
                    assert len(outcome.body) <= MOST
                told.outcomes = 1
            case Retry(_, error):
                assert not told.begun
                assert told.mode is not Mode.CHANNEL, "its caller has it from the start"
                assert isinstance(error, StreamReset | GoAway), "no proof that it was not acted on"
                told.outcomes = 1

    def pick(self, which: int) -> tuple[int, int]:
        """A stream and its ticket: open, or over, or never there."""
        still_open = [(self.told[ticket].stream_id, ticket) for ticket in self.table.tickets()]
        unknown = (4 * len(self.streams), len(self.streams))
        known = [*still_open * 5, *self.streams.items(), unknown]  # most often one that is open
        return known[which % len(known)]

    # what may happen ------------------------------------------------------------------------

    @rule(
        method=st.sampled_from(["GET", "POST", "HEAD"]),
        mode=st.sampled_from(Mode),
        deadline=limit,
        receive=limit,
        send=limit,
        idle=limit,
    )
    def open(
        self,
        method: str,
        mode: Mode,
        deadline: float | None,
        receive: float | None,
        send: float | None,
        idle: float | None,
    ) -> None:
        number = len(self.told)
        at = None if deadline is None else self.now + deadline
        limits = Limits(at, deadline, receive, idle, send)
        self.told[number] = Told(4 * number, mode, limits)
        self.streams[4 * number] = number
        self.table.open(4 * number, number, method=method, now=self.now, limits=limits, mode=mode)

    @rule(which=some)
    def open_again(self, which: int) -> None:
        stream_id, ticket = self.pick(which)
        if ticket in self.table.tickets():
            with pytest.raises(ValueError):
                self.table.open(stream_id + 1, ticket, method="GET", now=self.now, limits=Limits())

    @rule(which=some, status=st.sampled_from([100, 103]))
    def informational(self, which: int, status: int) -> None:
        self.take(self.table.informational(self.pick(which)[0], status, [], self.now))

    @rule(which=some, status=statuses, headers=length, ended=mostly_not)
    def headers(self, which: int, status: int, headers: Any, ended: bool) -> None:
        stream_id, ticket = self.pick(which)
        if ticket in self.told and stream_id not in self.sent:  # a session reports one
            self.sent[stream_id] = b""
            self.take(self.table.headers(stream_id, status, headers, ended, self.now))

    @rule(which=some, piece=content, ended=mostly_not)
    def body(self, which: int, piece: bytes, ended: bool) -> None:
        stream_id, _ = self.pick(which)
        if stream_id in self.sent:
            self.sent[stream_id] += piece
            self.take(self.table.body(stream_id, piece, ended, self.now))

    @rule(which=some)
    def trailers(self, which: int) -> None:
        self.take(self.table.trailers(self.pick(which)[0], [("x-sum", "1")], self.now))

    @rule(which=some, code=st.sampled_from([0x10B, 0x10B, 0x10C, 0x100]))
    def reset(self, which: int, code: int) -> None:
        self.take(self.table.reset(self.pick(which)[0], code))

    @rule(which=some)
    def malformed(self, which: int) -> None:
        self.take(self.table.malformed(self.pick(which)[0], "odd"))

    @rule(which=some)
    def headers_too_large(self, which: int) -> None:
        self.take(self.table.headers_too_large(self.pick(which)[0], 9, 8))

    @rule(which=some)
    def goaway(self, which: int) -> None:
        stream_id, _ = self.pick(which)
        self.take(self.table.goaway(stream_id))
        assert all(self.told[ticket].stream_id < stream_id for ticket in self.table.tickets())

    @precondition(lambda self: len(self.told) > 8)
    @rule()
    def lost(self) -> None:
        self.take(self.table.lost(ConnectionLost("gone", origin="https://a")))
        assert len(self.table) == 0

    @rule(which=some)
    def cancel(self, which: int) -> None:
        _, ticket = self.pick(which)
        open_before = ticket in self.table.tickets()
        actions = self.table.cancel(ticket)
        assert {type(action) for action in actions} == (
            {ResetStream, Release} if open_before else set()
        )
        if open_before:
            self.told[ticket].cancelled = True
        self.take(actions)

    @rule(which=some)
    def break_off(self, which: int) -> None:
        self.take(self.table.break_off(self.pick(which)[1], KeyError("the caller's own")))

    @rule(which=some, unread=st.sampled_from([0, 0, 1, 5]), ago=st.sampled_from([0.0, 0.4, 2.0]))
    def is_read(self, which: int, unread: int, ago: float) -> None:
        self.table.is_read(self.pick(which)[1], unread, self.now - ago)

    @rule(which=some)
    def is_sent(self, which: int) -> None:
        self.table.is_sent(self.pick(which)[1], self.now)

    @rule(which=some)
    def is_stuck(self, which: int) -> None:
        self.table.is_stuck(self.pick(which)[1])

    @rule(seconds=st.sampled_from([0.1, 0.5, 1.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        """As the connection lets it pass: a sweep at `due`, again and again."""
        end = self.now + seconds
        while (due := self.table.due) <= end:
            self.now = max(self.now, due)
            self.take(self.table.sweep(self.now))
            assert self.table.due > self.now, "it would be swept for ever"
        self.now = end

    # what must always hold ------------------------------------------------------------------

    @invariant()
    def each_is_open_or_has_one_outcome_or_is_released(self) -> None:
        still_open = set(self.table.tickets())
        assert len(self.table) == len(still_open)
        for ticket, told in self.told.items():
            if ticket in still_open:
                assert (told.outcomes, told.releases) == (0, 0)
            else:
                assert told.releases == (1 if told.cancelled else 0)
                assert told.outcomes == (0 if told.cancelled else 1)

    @invariant()
    def what_was_delivered_is_what_was_sent(self) -> None:
        for told in self.told.values():
            assert self.sent.get(told.stream_id, b"").startswith(told.delivered)

    @invariant()
    def what_is_due_is_never_named_too_late(self) -> None:
        due = min((each.due() for each in self.table.by_stream.values()), default=math.inf)
        assert self.table.due <= due

    @invariant()
    def what_is_held_is_in_proportion_to_what_is_open(self) -> None:
        assert len(self.table._streams) == len(self.table.by_stream)
        assert len(self.table._due) <= 2 * len(self.table) + 64

    def teardown(self) -> None:
        """Time alone ends all that has a limit; the rest ends with its connection."""
        self.time_passes(LONG)
        for ticket in self.table.tickets():
            exchange = self.table.by_stream[self.told[ticket].stream_id]
            assert exchange.due() == math.inf
        self.take(self.table.lost(ConnectionLost("gone", origin="https://a")))
        self.each_is_open_or_has_one_outcome_or_is_released()
        assert self.table.due == math.inf


AnyOrder.TestCase.settings = settings(
    max_examples=examples(150), stateful_step_count=40, deadline=None
)
TestAnyOrder = AnyOrder.TestCase


# The property can fail: each of these tables has one fault.


class EndsTwice(Table):
    def reset(self, stream_id: int, code: int) -> Any:
        actions = super().reset(stream_id, code)
        return actions + tuple(each for each in actions if isinstance(each, ENDS))


class NeverWakesEarlier(Table):
    def _arm(self, exchange: Any) -> None:
        if exchange.entry == math.inf:
            super()._arm(exchange)


class DeliversWhatIsOver(Table):
    def body(self, stream_id: int, content: bytes, ended: bool, now: float) -> Any:
        ticket = stream_id // 4
        actions = super().body(stream_id, content, ended, now)
        return actions or ((Deliver(ticket, content),) if content else ())


class RetriesWhatHasBegun(Table):
    def _hand_back(self, exchange: Any, error: Any) -> Any:
        exchange.begun = False
        return super()._hand_back(exchange, error)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "faulty", [EndsTwice, NeverWakesEarlier, DeliversWhatIsOver, RetriesWhatHasBegun]
)
def test_a_faulty_table_is_found_out(faulty: type[Table]) -> None:
    class Faulty(AnyOrder):
        table_of = faulty

    found = settings(
        max_examples=500,
        stateful_step_count=40,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],  # that it fails is enough, without the shortest way
        report_multiple_bugs=False,
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Faulty, settings=found)
