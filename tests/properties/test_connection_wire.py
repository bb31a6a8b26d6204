"""A connection and a real server over a bad wire: all requests are answered, or all end by name.

The wire loses, doubles and reorders datagrams, and the server may break off at any request.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from quiver.config import PoolConfig
from quiver.errors import QuiverError
from quiver.h3 import events
from quiver.h3.codes import ErrorCode
from quiver.h3.headers import request_fields
from quiver.origin import Origin
from quiver.request import Request
from quiver.testing.authority import Authority
from tests.support.engines.http3_wire import (
    ARRIVES,
    ENGINES,
    LOST,
    EngineName,
    Fate,
    Server,
    Wire,
    dial,
)
from tests.support.short_form import examples

ORIGIN = Origin("https", "localhost", 4433)
STEPS = 5_000  # far more than any of these takes


@attrs.frozen
class Ask:
    """A request, and how the server is to answer it."""

    sent: int  # bytes of the body
    parts: int  # that the body is sent in, 0 for at once
    received: int  # bytes of the response's body
    behaviour: str = "answer"
    cancelled: bool = False


@attrs.frozen
class Story:
    asks: list[Ask]
    fates: list[Fate]
    max_streams: int


bodies = st.sampled_from([0, 1, 100, 1199, 5_000, 40_000])
behaviours = st.sampled_from(
    ["answer"] * 40 + ["reset", "malformed", "trailers", "early"] * 3 + ["close"]
)
asks = st.builds(
    Ask, bodies, st.integers(0, 3), bodies, behaviours, st.sampled_from([False] * 5 + [True])
)
fates = st.sampled_from(
    [ARRIVES] * 8 + [LOST, LOST, Fate((0.0, 0.0)), Fate((0.03,)), Fate((0.0, 0.2)), Fate((0.5,))]
)
stories = st.builds(
    Story,
    st.lists(asks, min_size=1, max_size=8),
    st.lists(fates, max_size=60),
    st.sampled_from([1, 2, 8, 128]),
)


def content(size: int, seed: int) -> bytes:
    return bytes((seed + i) % 251 for i in range(size))


class Answers:
    """The server's application: answers when a request is there in whole, as `Ask` has it."""

    def __init__(self, asks: list[Ask]) -> None:
        self.asks = asks
        self.bodies: dict[int, bytes] = {}
        self.numbers: dict[int, int] = {}

    def __call__(self, server: Server, happened: Any) -> None:
        stream_id = happened.stream_id
        if hasattr(happened, "headers"):
            self.numbers[stream_id] = int(dict(happened.headers)[b"x-number"])
            self.bodies[stream_id] = b""
        else:
            self.bodies[stream_id] += happened.data
        if happened.stream_ended:
            self.answer(server, stream_id, self.asks[self.numbers[stream_id]])

    def answer(self, server: Server, stream_id: int, ask: Ask) -> None:
        assert server.h3 is not None
        assert server.quic is not None
        number = self.numbers[stream_id]
        assert self.bodies[stream_id] == content(ask.sent, number)
        body = content(ask.received, number + 7)
        match ask.behaviour:
            case "reset":
                server.quic.reset_stream(stream_id, ErrorCode.H3_REQUEST_REJECTED)
            case "malformed":
                server.send_section(stream_id, [(b":status", b"200"), (b"Bad", b"1")], True)
            case "close":
                server.quic.close(ErrorCode.H3_NO_ERROR, reason_phrase="enough")
            case _:
                if ask.behaviour == "early":
                    server.h3.send_headers(stream_id, [(b":status", b"103")])
                number_field = (b"x-number", b"%d" % number)
                server.h3.send_headers(stream_id, [(b":status", b"200"), number_field])
                server.h3.send_data(stream_id, body, ask.behaviour != "trailers")
                if ask.behaviour == "trailers":
                    server.h3.send_headers(stream_id, [(b"x-sum", b"1")], True)


class Client:
    """Asks as room allows, and keeps what came for each."""

    def __init__(self, wire: Wire, asks: list[Ask]) -> None:
        self.wire = wire
        self.waiting = list(enumerate(asks))
        self.asks = asks
        self.numbers: dict[int, int] = {}
        self.unsent: dict[int, list[bytes]] = {}
        self.cancelled: set[int] = set()
        self.ends: dict[int, Any] = {}
        self.bodies: dict[int, bytes] = {}
        self.read = 0

    def act(self) -> bool:
        """Take what has come, do what can be done. True when everything is over."""
        self.take()
        h3 = self.wire.h3
        while self.waiting and not h3.closed and h3.streams_opened < h3.max_streams:
            self.ask(*self.waiting.pop(0))
        for stream_id, parts in list(self.unsent.items()):
            part = parts.pop(0)
            h3.send_body(stream_id, part, not parts)
            if not parts:
                del self.unsent[stream_id]
        open_now = set(self.numbers) - set(self.ends) - self.cancelled
        return h3.closed or not (self.waiting or self.unsent or open_now)

    def ask(self, number: int, ask: Ask) -> None:
        body = content(ask.sent, number)
        given = iter([body]) if ask.parts else body
        fields = request_fields(Request("PUT", "/", {"x-number": str(number)}, given), ORIGIN)
        h3 = self.wire.h3
        if ask.parts:
            stream_id = h3.open_request(fields, None, ended=False)
            size = ask.sent // ask.parts + 1
            parts = [body[start : start + size] for start in range(0, len(body), size)]
            self.unsent[stream_id] = [*parts, b""]
        else:
            stream_id = h3.open_request(fields, body)
        self.numbers[stream_id] = number
        if ask.cancelled:
            h3.cancel(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
            self.cancelled.add(stream_id)

    def take(self) -> None:
        for happened in self.wire.events[self.read :]:
            self.take_one(happened)
        self.read = len(self.wire.events)

    def take_one(self, happened: Any) -> None:
        stream_id = getattr(happened, "stream_id", None)
        if stream_id is None or isinstance(happened, events.StopSendingReceived):
            return
        assert stream_id not in self.cancelled, "an event of a cancelled stream"
        assert stream_id not in self.ends, "an event after the last one"
        if isinstance(happened, events.Headers | events.Body):
            self.bodies[stream_id] = self.bodies.get(stream_id, b"") + happened.content
        breaking_off = events.StreamResetReceived, events.StreamMalformed, events.TrailersReceived
        if getattr(happened, "ended", False) or isinstance(happened, breaking_off):
            self.ends[stream_id] = happened


def check(client: Client) -> None:
    """Each request ended as it was to, or the whole connection with an error that has a name."""
    wire = client.wire
    closed: list[Any] = wire.of(events.ConnectionEnded)
    assert len(closed) <= 1
    if closed:
        last: Any = wire.events[-1]
        assert last == closed[0]
        assert isinstance(last.error, QuiverError)
        assert type(last.error) is not QuiverError
        assert last.error.origin == str(ORIGIN)
    for stream_id, end in client.ends.items():
        number = client.numbers[stream_id]
        check_end(client.asks[number], number, end, client.bodies.get(stream_id, b""))
    if not closed:
        assert set(client.ends) | client.cancelled == set(client.numbers)
        assert len(client.numbers) == len(client.asks)


def check_end(ask: Ask, number: int, end: Any, body: bytes) -> None:
    match ask.behaviour:
        case "reset":
            assert isinstance(end, events.StreamResetReceived)
        case "malformed":
            assert isinstance(end, events.StreamMalformed)
        case "close":
            raise AssertionError("it never answered this one")
        case "trailers":
            assert isinstance(end, events.TrailersReceived)
            assert body == content(ask.received, number + 7)
        case _:
            assert isinstance(end, events.Headers | events.Body)
            assert body == content(ask.received, number + 7)


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with Authority() as authority:
        yield authority


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> tuple[str, str]:
    return authority.issue()


def play(
    story: Story, config: PoolConfig, certificate: tuple[str, str], engine: EngineName
) -> Client:
    answers = Answers(story.asks)
    server = Server(certificate, answers, max_streams=story.max_streams, engine=engine)
    wire = dial(config, server, fates=story.fates)
    client = Client(wire, story.asks)
    wire.run(client.act, limit=STEPS)
    client.take()
    check(client)
    return client


both_engines = pytest.mark.parametrize("engine", ENGINES)


@pytest.mark.one_in(4)
@both_engines
@settings(
    max_examples=examples(120),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(story=stories)
@example(story=Story([Ask(5_000, 2, 5_000)] * 3, [LOST] * 12, 1))
@example(story=Story([Ask(0, 0, 0, "malformed"), Ask(1, 1, 1)], [Fate((0.0, 0.2))] * 30, 8))
@example(story=Story([Ask(0, 0, 100), Ask(0, 0, 0, "close")], [], 8))
def test_every_request_ends(
    story: Story, authority: Authority, certificate: tuple[str, str], engine: EngineName
) -> None:
    config = PoolConfig(cafile=authority.cafile, idle_timeout=5.0)
    client = play(story, config, certificate, engine)
    wire = client.wire
    event("closed" if wire.error is not None else "answered")
    # Whatever still comes, ConnectionEnded stays the last word.
    before = len(wire.of(events.ConnectionEnded))
    wire.h3.close()
    wire.settle(20)
    assert len(wire.of(events.ConnectionEnded)) == 1
    assert isinstance(wire.events[-1], events.ConnectionEnded)
    assert before <= 1


@both_engines
def test_a_good_wire_answers_everything(
    authority: Authority, certificate: tuple[str, str], engine: EngineName
) -> None:
    """So that the property is not kept by closing every time."""
    story = Story([Ask(40_000, 3, 40_000), Ask(1, 0, 1), Ask(0, 0, 5_000, "trailers")] * 3, [], 2)
    client = play(story, PoolConfig(cafile=authority.cafile), certificate, engine)
    assert client.wire.error is None
    assert len(client.ends) == 9


@both_engines
def test_a_dead_wire_ends_with_a_name(
    authority: Authority, certificate: tuple[str, str], engine: EngineName
) -> None:
    config = PoolConfig(cafile=authority.cafile, idle_timeout=2.0)
    story = Story([Ask(1, 0, 1)], [ARRIVES] * 5 + [LOST] * 500, 8)
    client = play(story, config, certificate, engine)
    assert client.wire.error is not None


def test_the_property_can_fail(authority: Authority, certificate: tuple[str, str]) -> None:
    config = PoolConfig(cafile=authority.cafile)
    client = play(Story([Ask(1, 0, 1)], [], 8), config, certificate, "aioquic")
    client.bodies[0] = b"something else"
    with pytest.raises(AssertionError):
        check(client)
    client.wire.events += [events.ConnectionEnded(QuiverError("no name")), events.GoAwayReceived(0)]
    with pytest.raises(AssertionError):
        check(client)
