"""Exchanges over HTTP/2 and HTTP/1.1 whose connection is broken at any byte, in any way.

Each ask gets exactly one reply, its own answer in full or a named error; no request is processed
twice; and the next ask is answered, on another connection.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import quiver
from quiver.pool.http1_pool import HTTP1Pool
from quiver.pool.http2_pool import HTTP2Pool
from quiver.pool.ref import PoolRef
from quiver.testing import Authority
from tests.support.network.conditions import Direction
from tests.support.network.tcp_relay import Fault, TcpRelay
from tests.support.servers.http1_server import Http1Handler, serving
from tests.support.servers.http2_origin import Http2Origin
from tests.support.short_form import examples
from tests.support.waiting import until

UP, DOWN = Direction.UP, Direction.DOWN
LARGE = b"0123456789" * 4_000
ALERT = b"\x15\x03\x03\x00\x02\x02\x28"  # handshake_failure, which nobody has said
LIMITS: dict[str, Any] = {"connect_timeout": 1.0, "receive_timeout": 0.7}

faults = st.builds(
    Fault,
    way=st.sampled_from(["close", "reset", "insert", "stall"]),
    direction=st.sampled_from([UP, DOWN]),
    after=st.integers(0, 4_000) | st.integers(0, 130_000),
    content=st.sampled_from([ALERT, b"\0", b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(100)]),
)

OUTCOMES = (
    quiver.ConnectionLost,
    quiver.HandshakeFailed,
    quiver.ConnectTimeout,
    quiver.ReceiveTimeout,
    quiver.SendTimeout,
    quiver.ProtocolViolation,
    quiver.StreamReset,
)
"""What may be told; what is inserted may look like anything that breaks TLS."""


@attrs.frozen
class Served:
    """A server behind a relay, and the pool that speaks to it.

    `seen`: how often each target was asked for.
    """

    pool: Callable[..., PoolRef]
    relay: TcpRelay
    seen: Counter[str]
    cafile: str


@pytest.fixture(scope="module")
def over_http_2(authority: Authority) -> Iterator[Served]:
    with Http2Origin(authority) as server, TcpRelay(server.port) as relay:
        yield Served(HTTP2Pool.start, relay, server.seen, authority.cafile)


@pytest.fixture(scope="module")
def over_http_1(authority: Authority) -> Iterator[Served]:
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    class Handler(Http1Handler):
        def answer(self) -> None:
            body = self.read()
            with lock:
                seen[self.path] += 1
            size = self.path.partition("?")[0].removeprefix("/bytes/")
            self.send(200, b"x" * int(size) if size.isdigit() else body or b"ok")

    with serving(Handler, authority.issue()) as port, TcpRelay(port) as relay:
        yield Served(HTTP1Pool.start, relay, seen, authority.cafile)


class Caller:
    """One who asks in a thread of its own; `outcome` is what was told, if anything was."""

    def __init__(self, ask: Callable[[], bytes], expected: bytes) -> None:
        self.outcome: bytes | BaseException | None = None
        self._ask = ask
        self.expected = expected
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.outcome = self._ask()
        except BaseException as error:  # noqa: BLE001 - for the test to judge
            self.outcome = error

    def ended(self) -> bool:
        self._thread.join(30.0)
        return not self._thread.is_alive()


ROUNDS = iter(range(1_000_000))


def begin(pool: PoolRef, mark: str) -> list[Caller]:
    """All kinds of exchanges at once."""

    def get() -> bytes:
        return pool.ask(quiver.Request("GET", f"/ok?{mark}")).body

    def fetch() -> bytes:
        return pool.ask(quiver.Request("GET", f"/bytes/40000?{mark}")).body

    def read() -> bytes:
        with pool.ask(quiver.StreamRequest("GET", f"/bytes/60000?{mark}")) as streamed:
            return b"".join(streamed)

    def post() -> bytes:
        return pool.ask(quiver.Request("POST", f"/echo?{mark}", body=LARGE)).body

    def upload() -> bytes:
        pieces = (LARGE[at : at + 7_000] for at in range(0, len(LARGE), 7_000))
        return pool.ask(quiver.Request("PUT", f"/echo?put{mark}", body=pieces)).body

    wanted = {get: b"ok", fetch: b"x" * 40_000, read: b"x" * 60_000, post: LARGE, upload: LARGE}
    return [Caller(ask, expected) for ask, expected in wanted.items()]


def broken(served: Served, fault: Fault, pool: PoolRef) -> None:
    mark = str(next(ROUNDS))
    served.relay.next(fault)
    callers = begin(pool, mark)
    assert all(map(Caller.ended, callers)), "somebody has no reply"
    for caller in callers:
        named = isinstance(caller.outcome, OUTCOMES)
        assert named or caller.outcome == caller.expected, (fault, caller.outcome)
    twice = {target: n for target, n in served.seen.items() if mark in target and n > 1}
    assert not twice, fault
    served.relay.forget()
    until(lambda: answered(pool), what=f"it goes on after {fault}")
    until(lambda: unused(pool), what=f"all slots are free after {fault}")


def answered(pool: PoolRef) -> bool:
    """Whether it is: what an open connection has met may be found now."""
    try:
        return pool.ask(quiver.Request("GET", "/ok?after")).body == b"ok"
    except OUTCOMES:
        return False


def unused(pool: PoolRef) -> bool:
    stats = pool.ask(quiver.GetStats())
    return (stats.active, stats.queued) == (0, 0)


@pytest.mark.parametrize("protocol", ["over_http_2", "over_http_1"])
def test_cut_at_any_byte(protocol: str, request: pytest.FixtureRequest) -> None:
    served: Served = request.getfixturevalue(protocol)

    @settings(
        max_examples=examples(40),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(fault=faults)
    @example(Fault("close", DOWN, 0))
    @example(Fault("close", UP, 0))
    @example(Fault("reset", DOWN, 5_000))
    def cut(fault: Fault) -> None:
        options = {**LIMITS, "max_connections": 1, "max_connections_http1": 3}
        pool = served.pool(served.relay.url, cafile=served.cafile, **options)
        try:
            broken(served, fault, pool)
        finally:
            pool.stop()
        until(lambda: not served.relay.open, what=f"all sockets are closed after {fault}")

    cut()
