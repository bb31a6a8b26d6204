"""What a server can have us do for a byte: the same for the first as for the millionth."""

from __future__ import annotations

import statistics
import time

import pytest
from aioquic.tls import Epoch

from quiver.config import PoolConfig
from quiver.h3.headers import request_fields
from quiver.origin import Origin
from quiver.request import Request
from quiver.testing import Authority
from tests.support.cases.fast_path_differential import crafted, quic_of, server_of, silent
from tests.support.engines.http3_wire import EngineName, Server, Wire, connected
from tests.support.servers.quic_floods import FLOODS, Facts, payloads
from tests.support.short_form import cases

GET = request_fields(Request("GET", "/"), Origin("https", "localhost", 4433))
WINDOW = 16 << 20
STEP = 10_000  # bytes, taken in one go
BYTES = 1_000_000
CLOSED = {  # those that are too much, each by its bound
    "a byte of a stream, each with a hole",
    "the same, from the end",
    "CRYPTO with holes",
    "the same ACK",
    "connection ids that retire others",
    "too many connection ids",
    "more streams",
}


def flooded(authority: Authority, engine: EngineName, flood: str) -> tuple[Wire, list[float]]:
    """A connection that has taken it all, and seconds of CPU for each step."""
    server = Server(authority.issue(), silent, engine=engine)
    config = PoolConfig(cafile=authority.cafile, receive_window=WINDOW)
    wire = connected(config, server)
    wire.h3.open_request(GET, None, True, WINDOW)
    wire.settle()
    theirs = server_of(wire).quic
    tls = theirs._crypto_streams[Epoch.ONE_RTT].sender._buffer_stop
    facts = Facts(tls, theirs._spaces[Epoch.ONE_RTT].largest_received_packet)
    frames = payloads(FLOODS[flood], facts)
    costs: list[float] = []
    for _ in range(BYTES // STEP):
        datagrams: list[bytes] = []
        while sum(len(each) for each in datagrams) < STEP:
            datagrams.append(crafted(wire, next(frames).ljust(4, b"\x00")))
        begun = time.thread_time()
        wire.h3.receive_all(datagrams, wire.now)
        wire.events += wire.h3.events()
        wire.h3.datagrams(wire.now)
        wire.h3.timer()
        costs.append(time.thread_time() - begun)
        wire.now += 0.001
        if wire.error is not None:
            break
    return wire, costs


ENGINES: tuple[EngineName, ...] = ("aioquic", "plain")
ALL = [(engine, flood) for engine in ENGINES for flood in FLOODS]
SHORT = [("aioquic", flood) for flood in ("PING", "connection ids that are known")]


@pytest.mark.parametrize(
    ("engine", "flood"), cases(*SHORT, long=[each for each in ALL if each not in SHORT])
)
def test_a_byte_costs_the_same_from_the_first_to_the_last(
    authority: Authority, engine: EngineName, flood: str
) -> None:
    wire, costs = flooded(authority, engine, flood)
    if flood in CLOSED:
        assert wire.error is not None
        assert len(costs) < 20
        return
    assert wire.error is None
    assert len(costs) == BYTES // STEP
    first, last = statistics.median(costs[:15]), statistics.median(costs[-15:])
    assert last < 3 * first
    assert first < 0.1, "ten seconds for a megabyte, on however slow a machine"
    assert len(quic_of(wire)._events) == 0
