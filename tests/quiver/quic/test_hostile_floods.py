"""What a server can have us do for a byte: the same for the first as for the millionth."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import pytest

from quiver.config import PoolConfig
from quiver.h3.headers import request_fields
from quiver.origin import Origin
from quiver.quic.aioquic.configuration import make_configuration
from quiver.quic.aioquic.engine import AioquicEngine
from quiver.request import Request
from quiver.testing import Authority
from tests.support.cases.fast_path_differential import quic_of, server_of, silent
from tests.support.engines.http3_wire import EngineName, Server, Wire, connected
from tests.support.servers.handshake_floods import HANDSHAKES
from tests.support.servers.initial_packets import Initials
from tests.support.servers.packet_floods import PACKETS, Sealer
from tests.support.servers.quic_floods import FLOODS, STREAMS
from tests.support.short_form import cases
from tests.support.untraced import untraced

GET = request_fields(Request("GET", "/"), Origin("https", "localhost", 4433))
WINDOW = 16 << 20
OF_IP = 28  # bytes of the headers of IP and UDP
STEP = 10_000  # bytes, taken in one go
BYTES = 1_000_000
CLOSED = {  # those that are too much, each by its bound
    "a byte of a stream, each with a hole",
    "the same, from the end",
    "a byte of many streams, each with a hole",
    "a byte of many requests, each with a hole",
    "CRYPTO with holes",
    "the same ACK",
    "connection ids that retire others",
    "too many connection ids",
    "more streams",
    "QPACK, fields for the table",
    "key updates too soon",
}
OF_HANDSHAKE = {  # the same, before there is a certificate
    "CRYPTO with holes",
    "CRYPTO from the end",
    "CRYPTO whose holes are filled",
    "a message of 16 MB",
    "a message of 128 kB, byte by byte",
}


def steps(flow: Iterator[bytes]) -> Iterator[list[bytes]]:
    """As many datagrams as make STEP bytes, until it is BYTES."""
    for _ in range(BYTES // STEP):
        datagrams: list[bytes] = []
        while sum(len(each) + OF_IP for each in datagrams) < STEP:
            datagrams.append(next(flow))
        yield datagrams


def is_flat(costs: list[float]) -> bool:
    """Whether the last bytes cost no more than the first, and these ten seconds for a megabyte at
    the most, on however slow a machine."""
    first, last = statistics.median(costs[:15]), statistics.median(costs[-15:])
    return last < 3 * first and first < 0.1


def flooded(authority: Authority, engine: EngineName, flood: str) -> tuple[Wire, list[float]]:
    """A connection that has taken it all, and seconds of CPU for each step."""
    server = Server(authority.issue(), silent, engine=engine)
    config = PoolConfig(cafile=authority.cafile, receive_window=WINDOW)
    wire = connected(config, server)
    for _ in range(STREAMS if "requests" in flood else 1):
        wire.h3.open_request(GET, None, True, WINDOW)
    wire.settle()
    sealer = Sealer(server_of(wire).quic)
    flow = sealer.all_packets(FLOODS[flood]) if flood in FLOODS else PACKETS[flood](sealer)
    costs: list[float] = []
    for datagrams in steps(flow):
        begun = time.thread_time()
        wire.h3.receive_all(datagrams, wire.now)
        wire.events += wire.h3.events()
        answers = wire.h3.datagrams(wire.now)
        wire.h3.timer()
        costs.append(time.thread_time() - begun)
        if flood == "key updates":
            sealer.take(answers, wire.now)
        wire.now += 0.001
        if wire.error is not None:
            break
    return wire, costs


ENGINES: tuple[EngineName, ...] = ("aioquic", "plain")
ALL = [(engine, flood) for engine in ENGINES for flood in (*FLOODS, *PACKETS)]
SHORT = [("aioquic", flood) for flood in ("PING", "connection ids that are known")]


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("engine", "flood"), cases(*SHORT, long=[each for each in ALL if each not in SHORT])
)
def test_a_byte_costs_the_same_from_the_first_to_the_last(
    authority: Authority, engine: EngineName, flood: str
) -> None:
    with untraced():
        wire, costs = flooded(authority, engine, flood)
    if flood in CLOSED:
        assert wire.error is not None
        assert len(costs) < 20
        return
    assert wire.error is None
    assert len(costs) == BYTES // STEP
    assert is_flat(costs), costs
    assert len(quic_of(wire)._events) == 0


@pytest.mark.one_in(2)
@pytest.mark.parametrize("fast_paths", [True, False])
@pytest.mark.parametrize(
    "flood", cases(("PING",), long=[(each,) for each in HANDSHAKES if each != "PING"])
)
def test_so_does_a_byte_before_there_is_a_certificate(flood: str, fast_paths: bool) -> None:
    configuration = make_configuration(PoolConfig(verify=False), Origin("https", "a", 443))
    engine, now = AioquicEngine(configuration, fast_paths=fast_paths), 0.0
    engine.connect(now)
    costs = []
    with untraced():
        for datagrams in steps(HANDSHAKES[flood](Initials(engine.datagrams(now)[0]))):
            begun = time.thread_time()
            engine.receive(datagrams, now)
            happened = list(engine.events())
            engine.datagrams(now)
            engine.timer()
            costs.append(time.thread_time() - begun)
            if happened:
                break
            now += 0.001
    assert is_flat(costs), costs
    assert (len(costs) < BYTES // STEP) == (flood in OF_HANDSHAKE)
