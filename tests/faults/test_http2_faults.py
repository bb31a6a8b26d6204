"""Faults of an HTTP/2 server amid a load: each ask has one reply, and nothing is done twice."""

from __future__ import annotations

import contextlib
import random
import threading
from collections import Counter
from collections.abc import Callable

import pytest
from h2.errors import ErrorCodes
from h2.exceptions import H2Error
from h2.settings import SettingCodes

import quiver
from quiver.testing import Authority
from tests.support.chaos.background_load import run_callers
from tests.support.servers.http2_origin import Http2Origin, Http2Peer
from tests.support.waiting import until

CALLERS, ASKS = 10, 60

FAULTS: dict[str, Callable[[Http2Peer, random.Random], object]] = {
    "cut": lambda peer, _: peer.cut(),
    "goaway": lambda peer, chance: peer.goaway(chance.choice([0, *peer.open, 2**31 - 1])),
    "room": lambda peer, chance: peer.settings(
        {SettingCodes.MAX_CONCURRENT_STREAMS: chance.choice([0, 1, 5, 100])}
    ),
    "refusal": lambda peer, _: _refuse(peer),
    "breach": lambda peer, _: peer.write(bytes([0, 0, 5, 4, 0, 0, 0, 0, 0]) + bytes(5)),
}


def _refuse(peer: Http2Peer) -> None:
    with peer.lock:
        for stream_id in list(peer.open):
            peer.h2.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            del peer.open[stream_id]
        peer.flush()


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_each_ask_has_one_reply_and_nothing_is_done_twice(authority: Authority, seed: int) -> None:
    outcomes: Counter[str] = Counter()
    over = threading.Event()
    with Http2Origin(authority) as server:
        pool = quiver.HTTP2Pool.start(server.url, cafile=server.cafile, checkout_timeout=10.0)

        def disturb() -> None:
            chance = random.Random(seed)
            while not over.wait(0.05):
                for peer in server.peers[-2:]:
                    with contextlib.suppress(OSError, H2Error, ValueError):
                        FAULTS[chance.choice(list(FAULTS))](peer, chance)

        def caller(number: int) -> None:
            chance = random.Random(seed * 1000 + number)
            for turn in range(ASKS):
                body = b"x" * chance.choice([0, 100, 40_000])
                path = f"/ok?{number}-{turn}"
                request = quiver.Request("POST", path, body=body, timeout=20.0)
                try:
                    assert pool.ask(request).body == b"ok"
                    outcomes["ok"] += 1
                except quiver.QuiverError as error:
                    outcomes[type(error).__name__] += 1

        disturbing = threading.Thread(target=disturb)
        disturbing.start()
        try:
            run_callers("threads", CALLERS, caller)
        finally:
            over.set()
            disturbing.join(10.0)

        def answers() -> bool:
            try:
                return pool.ask(quiver.Request("GET", "/ok"), timeout=20.0).body == b"ok"
            except quiver.ConnectionLost:  # by a fault of before, which the server came to now
                return False

        until(answers, within=20.0, what="an answer")
        assert pool.ask(quiver.GetStats()).active == 0
        pool.stop()
        done = Counter({path: times for path, times in server.answered.items() if "?" in path})
    assert outcomes.total() == CALLERS * ASKS and outcomes["ok"] > 0, outcomes
    named = {"ok", "ConnectionLost", "ProtocolViolation", "StreamReset", "GoAway", "RequestTimeout"}
    assert set(outcomes) <= named | {"HandshakeFailed", "CheckoutTimeout", "ConnectTimeout"}
    assert max(done.values()) == 1, [path for path, times in done.items() if times > 1]
