"""What a server must not do: which of it costs a stream, and which the connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import H3Connection
from aioquic.quic.events import StopSendingReceived, StreamReset

from quiver.config import PoolConfig
from quiver.errors import ProtocolViolation
from quiver.h3 import events
from quiver.h3.headers import request_fields
from quiver.origin import Origin
from quiver.request import Request
from quiver.testing.authority import Authority
from tests.support.engines.http3_wire import EngineName, Server, Wire, connected
from tests.support.servers.frames import frame

GET = request_fields(Request("GET", "/"), Origin("https", "localhost", 4433))
OK = [(b":status", b"200")]
LIMIT = 4096

Act = Callable[[Server, int], None]


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with Authority() as authority:
        yield authority


@pytest.fixture
def wire(authority: Authority, engine: EngineName) -> Wire:
    server = Server(authority.issue(), engine=engine, max_datagram_frame_size=65_536)
    return connected(PoolConfig(cafile=authority.cafile), server, max_header_size=LIMIT)


def act(wire: Wire, action: Act) -> tuple[int, int]:
    """Open two requests and let the server act on the first; return both stream ids."""
    first, second = (wire.h3.open_request(GET, None) for _ in range(2))
    wire.settle()
    assert wire.server is not None
    action(wire.server, first)
    wire.settle()
    return first, second


def assert_goes_on(wire: Wire, stream_id: int) -> None:
    assert wire.server is not None
    assert wire.server.h3 is not None
    wire.server.h3.send_headers(stream_id, OK)
    wire.server.h3.send_data(stream_id, b"fine", True)
    wire.settle()
    assert wire.on(stream_id) == [events.Headers(stream_id, 200, [], True, b"fine")]
    assert wire.error is None


def section(fields: list[tuple[bytes, bytes]], ended: bool = True) -> Act:
    return lambda server, stream_id: server.send_section(stream_id, fields, ended)


def malformed_then_more(server: Server, stream_id: int) -> None:
    """In one packet, so that the frames after it are in the same buffer."""
    server.send_section(stream_id, [(b":status", b"200"), (b"Upper", b"1")])
    server.send_frame(stream_id, 0, b"content")
    server.send_section(stream_id, [(b"x-sum", b"1")], True)


def malformed_trailers(server: Server, stream_id: int) -> None:
    server.send_section(stream_id, OK)
    server.send_frame(stream_id, 0, b"content")
    server.send_section(stream_id, [(b":status", b"200")], True)


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (section([(b"x", b"1")]), "no :status"),
        (section([*OK, (b"X-Upper", b"1")], ended=False), "upper-case"),
        (section([*OK, (b"transfer-encoding", b"chunked")]), "connection-specific"),
        (section([(b":status", b"103")]), "interim"),
        (lambda server, stream_id: server.send_raw(stream_id, b"", True), "before its header"),
        (lambda server, sid: server.send_frame(sid, 0x21, b"grease", True), "before its header"),
        (malformed_then_more, "upper-case"),
        (malformed_trailers, "pseudo-header"),
        (lambda server, sid: server.send_frame(sid, 1, b"\x00\x00", True), "no :status"),
    ],
)
def test_a_malformed_response_costs_its_stream_only(wire: Wire, action: Act, said: str) -> None:
    bad, good = act(wire, action)
    last = wire.on(bad)[-1]
    assert isinstance(last, events.StreamMalformed)
    assert said in last.reason
    assert len(wire.of(events.StreamMalformed)) == 1
    assert_goes_on(wire, good)
    assert wire.responses == {}


def test_a_malformed_response_is_reset_and_stopped(wire: Wire) -> None:
    stream_id = wire.h3.open_request(GET, b"part", ended=False)
    wire.settle()
    assert wire.server is not None
    wire.server.send_section(stream_id, [(b"x", b"1")])
    wire.settle()
    assert StreamReset(error_code=0x10E, stream_id=stream_id) in wire.server.seen
    assert StopSendingReceived(error_code=0x10E, stream_id=stream_id) in wire.server.seen


def test_late_bytes_of_a_malformed_response_are_dropped(wire: Wire) -> None:
    bad, good = act(wire, lambda server, _: None)
    assert wire.server is not None
    wire.server.send_section(bad, [(b"x", b"1")])
    wire.flush()
    for octets in (b"\x02\x00", b"\x00\x01x", b""):  # sent before it hears of our STOP_SENDING
        wire.server.send_raw(bad, octets, not octets)
        wire.flush()
    wire.settle()
    assert [type(event) for event in wire.on(bad)] == [events.StreamMalformed]
    assert_goes_on(wire, good)


def test_trailers_may_be_empty(wire: Wire) -> None:
    def action(server: Server, stream_id: int) -> None:
        server.send_section(stream_id, OK)
        server.send_frame(stream_id, 1, b"\x00\x00", True)

    good, other = act(wire, action)
    assert wire.on(good) == [
        events.Headers(good, 200, [], False),
        events.TrailersReceived(good, []),
    ]
    assert_goes_on(wire, other)


def test_a_section_too_large_when_decoded_is_refused(wire: Wire) -> None:
    fields = [*OK, *[(b"x", b"")] * 200]
    bad, good = act(wire, section(fields))
    size = 7 + 3 + 32 + 200 * 33
    assert wire.on(bad) == [events.HeadersTooLarge(bad, size, LIMIT)]
    assert_goes_on(wire, good)


def test_a_section_of_the_limit_is_accepted(wire: Wire) -> None:
    fields = [*OK, (b"x", b"v" * (LIMIT - 42 - 33))]
    good, _ = act(wire, section(fields))
    [headers] = wire.on(good)
    assert len(headers.headers[0][1]) == LIMIT - 75


def test_a_long_frame_is_refused_by_its_length(wire: Wire) -> None:
    head = b"\x01" + encode_uint_var(50_000_000)
    bad, good = act(wire, lambda server, sid: server.send_raw(sid, head + b"x" * 10))
    assert wire.on(bad) == [events.HeadersTooLarge(bad, 50_000_000, LIMIT)]
    assert wire.server is not None
    assert StopSendingReceived(error_code=0x107, stream_id=bad) in wire.server.seen
    assert_goes_on(wire, good)


def test_large_trailers_are_refused_too(wire: Wire) -> None:
    def action(server: Server, stream_id: int) -> None:
        server.send_section(stream_id, OK)
        server.send_section(stream_id, [(b"x", b"v" * LIMIT)], True)

    bad, good = act(wire, action)
    assert isinstance(wire.on(bad)[-1], events.HeadersTooLarge)
    assert_goes_on(wire, good)


def test_interim_responses_share_one_limit(wire: Wire) -> None:
    early = [(b":status", b"103"), (b"x", b"v" * 925)]  # 1000 bytes, as RFC 9114 4.2.2 counts

    def action(server: Server, stream_id: int) -> None:
        for _ in range(5):
            server.send_section(stream_id, early)

    bad, good = act(wire, action)
    *interim, last = wire.on(bad)
    assert [type(each) for each in interim] == [events.Informational] * 4
    assert last == events.HeadersTooLarge(bad, 5000, LIMIT)
    assert_goes_on(wire, good)


def on_new_stream(octets: bytes, *, unidirectional: bool = True, ended: bool = False) -> Act:
    def action(server: Server, _: int) -> None:
        assert server.quic is not None
        fresh = server.quic.get_next_available_stream_id(is_unidirectional=unidirectional)
        server.send_raw(fresh, octets, ended)

    return action


def stop(name: str, then: Act = lambda server, stream_id: None) -> Act:
    """Stop one of our critical streams, and do something in the same packet."""

    def action(server: Server, stream_id: int) -> None:
        assert server.quic is not None
        server.quic.stop_stream(getattr(server.h3, f"_peer_{name}_stream_id"), 0x100)
        then(server, stream_id)

    return action


def control(octets: bytes) -> Act:
    return lambda server, _: server.control(octets)


def end(name: str) -> Act:
    """End one of the server's critical streams."""
    return lambda server, _: server.send_raw(
        getattr(server.h3, f"_local_{name}_stream_id"), b"", True
    )


def on(name: str, octets: bytes) -> Act:
    """Say more on one of the server's critical streams."""
    return lambda server, _: server.send_raw(getattr(server.h3, f"_local_{name}_stream_id"), octets)


def reset(name: str) -> Act:
    """Reset one of the server's critical streams."""

    def action(server: Server, _: int) -> None:
        assert server.quic is not None
        server.quic.reset_stream(getattr(server.h3, f"_local_{name}_stream_id"), 0x100)

    return action


def datagram(octets: bytes) -> Act:
    def action(server: Server, _: int) -> None:
        assert server.quic is not None
        server.quic.send_datagram_frame(octets)

    return action


def after_trailers(kind: int, payload: bytes) -> Act:
    """A whole response with trailers, and one more frame."""

    def action(server: Server, stream_id: int) -> None:
        server.send_section(stream_id, OK)
        server.send_section(stream_id, [(b"x-sum", b"1")])
        server.send_frame(stream_id, kind, payload)

    return action


FATAL: list[tuple[str, Act, str]] = [
    ("data first", lambda s, i: s.send_frame(i, 0, b"x"), "H3_FRAME_UNEXPECTED"),
    ("settings on a request", lambda s, i: s.send_frame(i, 4, b""), "H3_FRAME_UNEXPECTED"),
    ("webtransport", lambda s, i: s.send_raw(i, b"\x40\x41\x00"), "H3_FRAME_UNEXPECTED"),
    ("push promise", lambda s, i: s.send_frame(i, 5, b"\x00"), "H3_ID_ERROR"),
    ("push stream", on_new_stream(b"\x01\x00"), "H3_ID_ERROR"),
    ("data after trailers", after_trailers(0, b"x"), "H3_FRAME_UNEXPECTED"),
    ("trailers twice", after_trailers(1, bytes(2)), "H3_FRAME_UNEXPECTED"),
    ("cut frame", lambda s, i: s.send_raw(i, b"\x01\x05a", True), "H3_FRAME_ERROR"),
    ("server's own stream", on_new_stream(b"x", unidirectional=False), "H3_STREAM_CREATION"),
    ("second control stream", on_new_stream(b"\x00"), "H3_STREAM_CREATION_ERROR"),
    ("second settings", control(frame(4, b"")), "H3_FRAME_UNEXPECTED"),
    ("goaway of nothing", control(frame(7, b"\x01")), "H3_ID_ERROR"),
    ("goaway that grows", control(frame(7, b"\x04") + frame(7, b"\x08")), "H3_ID_ERROR"),
    ("goaway too long", control(frame(7, bytes(9))), "H3_FRAME_ERROR"),
    ("bad block", lambda s, i: s.send_frame(i, 1, b"\x00\x00\xff"), "QPACK_DECOMPRESSION"),
    ("dynamic table", lambda s, i: s.send_frame(i, 1, b"\x02\x00\x80"), "QPACK_DECOMPRESSION"),
    ("encoder stopped", stop("encoder"), "H3_CLOSED_CRITICAL_STREAM"),
    ("decoder stopped", stop("decoder", section(OK)), "H3_CLOSED_CRITICAL_STREAM"),
    ("control stopped", stop("control"), "H3_CLOSED_CRITICAL_STREAM"),
    ("encoder ended", end("encoder"), "H3_CLOSED_CRITICAL_STREAM"),
    ("decoder ended", end("decoder"), "H3_CLOSED_CRITICAL_STREAM"),
    ("control reset", reset("control"), "H3_CLOSED_CRITICAL_STREAM"),
    ("decoder reset", reset("decoder"), "H3_CLOSED_CRITICAL_STREAM"),
    ("table of responses", on("encoder", b"\x3f\xe1\x1f"), "QPACK_ENCODER_STREAM_ERROR"),
    ("acknowledged, not sent", on("decoder", b"\x3f\xa9\x07"), "QPACK_DECODER_STREAM_ERROR"),
    ("cancelled push", control(frame(3, b"\x00")), "H3_ID_ERROR"),
    ("datagram beyond all ids", datagram(b"\xff" * 8), "H3_DATAGRAM_ERROR"),
]


@pytest.mark.parametrize(("action", "code"), [f[1:] for f in FATAL], ids=[f[0] for f in FATAL])
def test_a_fault_of_the_connection_ends_it(wire: Wire, action: Act, code: str) -> None:
    act(wire, action)
    assert isinstance(wire.error, ProtocolViolation)
    assert code in str(wire.error)
    assert wire.error.origin == "https://localhost:4433"
    assert isinstance(wire.events[-1], events.ConnectionEnded)
    assert wire.server is not None
    assert wire.server.terminated is not None


class Silent(H3Connection):
    """Says nothing of itself."""

    def _init_connection(self) -> None:
        self._local_control_stream_id = self._quic.get_next_available_stream_id(True)
        self._is_done = True  # and takes no notice of us


def test_long_settings_are_refused_by_their_length(
    authority: Authority, engine: EngineName
) -> None:
    server = Server(authority.issue(), h3=Silent, engine=engine)
    wire = connected(PoolConfig(cafile=authority.cafile), server)
    server.control(b"\x00\x04" + encode_uint_var(1_000_000))
    wire.settle()
    assert "H3_EXCESSIVE_LOAD" in str(wire.error)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\x02\x00", "H3_SETTINGS_ERROR"),
        (b"\x06\x01\x06\x01", "H3_SETTINGS_ERROR"),
        (b"\x33\x02", "H3_SETTINGS_ERROR"),
        (b"\x33\x01", "H3_SETTINGS_ERROR"),  # without the transport parameter
        (b"\xab\x60\x37\x42\x01", "H3_SETTINGS_ERROR"),  # WebTransport without datagrams
        (b"\x06", "H3_FRAME_ERROR"),
    ],
)
def test_settings_that_cannot_be(
    authority: Authority, engine: EngineName, payload: bytes, code: str
) -> None:
    server = Server(authority.issue(), h3=Silent, engine=engine)
    wire = connected(PoolConfig(cafile=authority.cafile), server)
    server.control(b"\x00" + frame(4, payload))
    wire.settle()
    assert code in str(wire.error)
    assert wire.of(events.Settings) == []


@pytest.mark.parametrize("first", [frame(7, b"\x00"), frame(0x21, b"x")], ids=["goaway", "grease"])
def test_settings_come_first(authority: Authority, engine: EngineName, first: bytes) -> None:
    server = Server(authority.issue(), h3=Silent, engine=engine)
    wire = connected(PoolConfig(cafile=authority.cafile), server)
    server.control(b"\x00" + first)
    wire.settle()
    assert "H3_MISSING_SETTINGS" in str(wire.error)


def test_a_body_passes_in_chunks_and_is_not_held(wire: Wire) -> None:
    def action(server: Server, stream_id: int) -> None:
        server.send_section(stream_id, OK)
        server.send_raw(stream_id, b"\x00" + encode_uint_var(10_000_000) + b"x" * 100_000)

    first, _ = act(wire, action)
    assert wire.responses[first]._held == b""
    assert sum(len(event.content) for event in wire.of(events.Body)) == 100_000


def test_a_webtransport_stream_is_dropped(wire: Wire) -> None:
    before = list(wire.events)
    _, good = act(wire, on_new_stream(b"\x40\x54\x00" + b"x" * 5000))
    assert wire.events == before
    assert_goes_on(wire, good)
