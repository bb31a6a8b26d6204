"""Anything at all into a live connection, and what must hold of it afterwards.

A story is a list of acts of the server. They come from hypothesis (tests/faults/test_fuzz.py), or
from bytes that a fuzzer chooses (tests/support/fuzz/run_atheris.py).
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, get_args

from aioquic.tls import Epoch

from quiver.config import PoolConfig
from quiver.errors import QuiverError
from quiver.h3 import events
from quiver.h3.headers import request_fields
from quiver.origin import Origin
from quiver.request import Request
from tests.support.engines.http3_wire import Server, Wire, connected

ORIGIN: Final = Origin("https", "localhost", 4433)
GET: Final = request_fields(Request("GET", "/"), ORIGIN)
POST: Final = [(b":method", b"POST"), *GET[1:]]
HEADER_LIMIT: Final = 4096
STEPS: Final = 2_000  # of the wire; far more than any story takes
HELD: Final = 4 * HEADER_LIMIT + 20_000  # bytes of half frames, of all streams together
ENDS: Final = (
    events.StreamResetReceived,
    events.StreamMalformed,
    events.HeadersTooLarge,
    events.TrailersReceived,
)


class Where(enum.IntEnum):
    """Where the bytes of an act go."""

    REQUEST = 0  # two requests that are open: one whole, one whose body is not ended
    CONTROL = 1
    ENCODER = 2
    DECODER = 3
    NEW_STREAM = 4
    NEW_STREAM_OF_BOTH_WAYS = 5
    HTTP_DATAGRAM = 6
    FRAMES = 7  # as the frames of a packet that is sealed as it should be
    UDP = 8  # as a datagram of their own
    MUTATED = 9  # mixed into one that the server has sent before
    RESET = 10
    STOP = 11


class Act(NamedTuple):
    """`number` picks a stream, a code or a place, as the case may be."""

    where: Where
    octets: bytes = b""
    ended: bool = False
    number: int = 0


def play(config: PoolConfig, server: Server, story: Sequence[Act]) -> Wire:
    """The connection after the whole story; it has been checked."""
    wire = connected(config, server, max_header_size=HEADER_LIMIT)
    requests = wire.h3.open_request(GET, None), wire.h3.open_request(POST, b"x", False)
    wire.settle(0.1)
    assert server.h3 is not None
    server.h3._is_done = True  # aioquic's own HTTP/3 would stumble over what we write beside it
    for act in story:
        perform(wire, server, requests[act.number % 2], act)
        wire.flush()
    wire.run(lambda: not wire._flying, limit=STEPS)
    check(wire)
    return wire


def perform(wire: Wire, server: Server, request: int, act: Act) -> None:
    """What a server refuses to send, or cannot since all is over, is left out."""
    quic, h3 = server.quic, server.h3
    assert quic is not None
    assert h3 is not None
    match act.where:
        case Where.FRAMES:
            wire.h3.receive(sealed(quic, act.octets), wire.now)
        case Where.UDP:
            wire.h3.receive(act.octets, wire.now)
        case Where.MUTATED:
            wire.h3.receive(mutated(wire, act), wire.now)
        case Where.HTTP_DATAGRAM:
            quic.send_datagram_frame(act.octets)
        case Where.STOP:
            quic.stop_stream((request, 2, 6, 10)[act.number % 4], act.number)
        case _:
            _write(server, request, act)


def _write(server: Server, request: int, act: Act) -> None:
    quic, h3 = server.quic, server.h3
    assert quic is not None
    assert h3 is not None
    fresh = quic.get_next_available_stream_id
    stream_id = {
        Where.REQUEST: request,
        Where.RESET: (request, 3, 7, 11)[act.number % 4],
        Where.CONTROL: h3._local_control_stream_id,
        Where.ENCODER: h3._local_encoder_stream_id,
        Where.DECODER: h3._local_decoder_stream_id,
        Where.NEW_STREAM: fresh(is_unidirectional=True),
        Where.NEW_STREAM_OF_BOTH_WAYS: fresh(),
    }[act.where]
    assert stream_id is not None
    sender: Any = quic._streams[stream_id].sender if stream_id in quic._streams else None
    ended = sender is not None and (
        sender._buffer_fin is not None or sender._reset_error_code is not None
    )
    if (stream_id & 3 == 0 and sender is None) or ended:
        return
    if act.where is Where.RESET:
        quic.reset_stream(stream_id, act.number)
    else:
        quic.send_stream_data(stream_id, act.octets, act.ended)


def sealed(quic: Any, frames: bytes) -> bytes:
    """A packet of the server with these bytes for its frames (RFC 9000 17.3)."""
    number, pair = quic._packet_number, quic._cryptos[Epoch.ONE_RTT]
    quic._packet_number += 1
    head = bytes([0x41 | pair.key_phase << 2]) + quic._peer_cid.cid + number.to_bytes(2, "big")
    packet: bytes = pair.encrypt_packet(head, frames + bytes(max(0, 4 - len(frames))), number)
    return packet


def mutated(wire: Wire, act: Act) -> bytes:
    """A datagram of the server with some of it overwritten, and cut off if `ended`."""
    assert wire.server is not None
    octets = bytearray(wire.server.sent[act.number % len(wire.server.sent)])
    start = act.number % len(octets)
    octets[start : start + len(act.octets)] = act.octets
    return bytes(octets[:start] if act.ended else octets)


# what must hold -----------------------------------------------------------------------------


def check(wire: Wire) -> None:
    """Events are ours and in order, what is held is bounded, and the end comes once."""
    streams: set[int] = {getattr(event, "stream_id", -1) for event in wire.events}
    for stream_id in streams - {-1}:
        check_order([e for e in wire.on(stream_id) if isinstance(e, get_args(OF_A_RESPONSE))])
    h3: Any = wire.h3
    streams_of_peer = h3._peer_streams
    held = [len(reader._held) for reader in h3._responses.values()]
    held += [len(head) for head in streams_of_peer._others.values() if head is not None]
    assert sum(held) + len(streams_of_peer._control._held) <= HELD
    wire.h3.close()
    wire.flush()
    assert wire.h3.timer() is None
    check_end(wire)


OF_A_RESPONSE = (
    events.Informational
    | events.Headers
    | events.Body
    | events.TrailersReceived
    | events.StreamResetReceived
    | events.StreamMalformed
    | events.HeadersTooLarge
)


def check_order(happened: list[Any]) -> None:
    """Informational*, Headers, Body*, Trailers?, or an end that breaks it off."""
    began = ended = False
    for event in happened:
        assert not ended, happened
        match event:
            case events.Informational():
                assert not began, happened
            case events.Headers():
                assert not began, happened
                began = True
            case events.Body() | events.TrailersReceived():
                assert began, happened
        ended = isinstance(event, ENDS) or getattr(event, "ended", False)


def check_end(wire: Wire) -> None:
    assert all(isinstance(event, get_args(events.Event)) for event in wire.events)
    [closed] = wire.of(events.ConnectionEnded)
    last: Any = wire.events[-1]
    assert last is closed
    assert isinstance(closed.error, QuiverError)
    assert type(closed.error) is not QuiverError
    assert closed.error.origin == str(ORIGIN)
