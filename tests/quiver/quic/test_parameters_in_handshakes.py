"""Real handshakes with servers that say every transport parameter at its extremes."""

from __future__ import annotations

import itertools
import random
from typing import Any

import attrs
import pytest
from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic.packet import pull_quic_transport_parameters
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quiver.config import PoolConfig
from quiver.errors import HandshakeFailed
from quiver.h3 import events
from quiver.pool.udp import MAX_DATAGRAM
from quiver.quic.codes import TransportCode
from quiver.quic.path_mtu import LARGER
from quiver.quic.varint import LARGEST_VARINT, encode_varint
from quiver.testing import Authority
from tests.support.cases.fast_path_differential import engine_of, quic_of
from tests.support.engines.http3_wire import EngineName, Server, Wire, dial
from tests.support.engines.parameters import (
    ID_OF,
    Change,
    Pairs,
    joined,
    preferred,
    says,
    split,
    twice,
)
from tests.support.short_form import examples

POST = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/")]
MUCH = 100_000
NUMBERS = itertools.count()
V4, V6 = bytes([192, 0, 2, 7]), bytes.fromhex("20010db8000000000000000000000007")
PORT = (4434).to_bytes(2)


@attrs.frozen
class Row:
    """What a server says, and what becomes of a connection to it.

    Attributes:
        refused: what the error says; None where the handshake is done.
        waits: it lets nothing be sent, and the upload goes on waiting.
    """

    name: str
    change: Change
    refused: str | None = None
    waits: bool = False


ACCEPTED = [
    Row("idle timeout left out", says(max_idle_timeout=None)),
    Row("idle timeout of 0", says(max_idle_timeout=0)),
    Row("idle timeout of 1 ms", says(max_idle_timeout=1)),
    Row("largest idle timeout", says(max_idle_timeout=LARGEST_VARINT)),
    Row("payload left out", says(max_udp_payload_size=None)),
    Row("least payload", says(max_udp_payload_size=1200)),
    Row("payload of 1201", says(max_udp_payload_size=1201)),
    Row("payload of all of UDP", says(max_udp_payload_size=65_527)),
    Row("largest payload", says(max_udp_payload_size=LARGEST_VARINT)),
    Row("exponent of 0", says(ack_delay_exponent=0)),
    Row("largest exponent", says(ack_delay_exponent=20)),
    Row("no ack delay", says(max_ack_delay=0)),
    Row("largest ack delay", says(max_ack_delay=(1 << 14) - 1)),
    Row("connection ids left out", says(active_connection_id_limit=None)),
    Row("two connection ids", says(active_connection_id_limit=2)),
    Row("connection ids without end", says(active_connection_id_limit=LARGEST_VARINT)),
    Row("streams without end", says(initial_max_streams_bidi=1 << 60)),
    Row("control streams without end", says(initial_max_streams_uni=1 << 60)),
    Row("no control streams", says(initial_max_streams_uni=0)),
    Row("control streams left out", says(initial_max_streams_uni=None)),
    Row("no credit for control streams", says(initial_max_stream_data_uni=0)),
    Row("no credit for its own streams", says(initial_max_stream_data_bidi_local=0)),
    Row("data without end", says(initial_max_data=LARGEST_VARINT)),
    Row(
        "streams' data without end",
        says(
            initial_max_stream_data_bidi_remote=LARGEST_VARINT,
            initial_max_stream_data_uni=LARGEST_VARINT,
        ),
    ),
    Row("no data", says(initial_max_data=0), waits=True),
    Row("data left out", says(initial_max_data=None), waits=True),
    Row("no data on streams", says(initial_max_stream_data_bidi_remote=0), waits=True),
    Row("no datagrams", says(max_datagram_frame_size=0)),
    Row("datagrams of a byte", says(max_datagram_frame_size=1)),
    Row("datagrams of 65535", says(max_datagram_frame_size=65_535)),
    Row("largest datagrams", says(max_datagram_frame_size=LARGEST_VARINT)),
    Row("no reset token", says(stateless_reset_token=None)),
    Row("stays", says(disable_active_migration=b"")),
    Row("unknown ones", says(unknown=b"?" * 300, reserved=b"")),
    Row("preferred address", says(preferred_address=preferred(V4 + PORT, V6 + PORT))),
    Row("preferred address of IPv6 only", says(preferred_address=preferred(ipv6=V6 + PORT))),
    Row("preferred address of no port", says(preferred_address=preferred(V4 + bytes(2)))),
    Row("backwards", lambda pairs: pairs[::-1]),
]

REFUSED = [
    Row("too small a payload", says(max_udp_payload_size=1199), "max_udp_payload_size=1199"),
    Row("payload of 0", says(max_udp_payload_size=0), "max_udp_payload_size=0 is below 1200"),
    Row("too large an exponent", says(ack_delay_exponent=21), "ack_delay_exponent=21 is above 20"),
    Row("too large an ack delay", says(max_ack_delay=1 << 14), "max_ack_delay=16384 is above"),
    Row("one connection id", says(active_connection_id_limit=1), "limit=1 is below 2"),
    Row("no connection id", says(active_connection_id_limit=0), "limit=0 is below 2"),
    Row("too many streams", says(initial_max_streams_bidi=(1 << 60) + 1), "streams_bidi="),
    Row("too many of one way", says(initial_max_streams_uni=(1 << 60) + 1), "streams_uni="),
    Row("a number cut off", says(initial_max_data=b"\x80\x00"), "initial_max_data: no integer"),
    Row("a number and more", says(initial_max_data=b"\x07\x07"), "initial_max_data: no integer"),
    Row("a number of no bytes", says(max_idle_timeout=b""), "max_idle_timeout: no integer"),
    Row("a flag with a value", says(disable_active_migration=1), "disable_active_migration has 1"),
    Row("a short reset token", says(stateless_reset_token=b"t"), "stateless_reset_token has 1"),
    Row("no bytes of a token", says(stateless_reset_token=b""), "stateless_reset_token has 0"),
    Row("a long reset token", says(stateless_reset_token=b"t" * 17), "reset_token has 17"),
    Row("preferred address, no id", says(preferred_address=preferred(cid=b"")), "0 bytes"),
    Row("preferred address, long id", says(preferred_address=preferred(cid=b"c" * 21)), "21 bytes"),
    Row("preferred address cut off", says(preferred_address=preferred(token=15)), "are none"),
    Row("no bytes of an address", says(preferred_address=b""), "preferred_address: 0 bytes"),
    Row("twice", twice("initial_max_data"), "initial_max_data comes twice"),
    Row("an unknown one twice", lambda pairs: [*pairs, (77, b""), (77, b"")], "0x4d comes twice"),
    Row("no original id", says(original_destination_connection_id=None), "id is missing"),
    Row("another original id", says(original_destination_connection_id=b"x" * 8), "not match"),
    Row("a long original id", says(original_destination_connection_id=b"x" * 21), "above 20"),
    Row("no source id", says(initial_source_connection_id=None), "id is missing"),
    Row("another source id", says(initial_source_connection_id=b"x" * 8), "not match"),
    Row("a Retry that was none", says(retry_source_connection_id=b"x" * 8), "not match"),
    Row("version 0", says(version_information=bytes(8)), "Could not parse"),
    Row("half a version", says(version_information=b"\x00\x00\x00"), "Could not parse"),
]


@pytest.fixture(params=["aioquic", "plain"])
def engine(request: pytest.FixtureRequest) -> EngineName:
    name: EngineName = request.param
    return name


def ok(server: Server, event: Any) -> None:
    if getattr(event, "stream_ended", False):
        assert server.h3 is not None
        server.h3.send_headers(event.stream_id, [(b":status", b"200")], True)


def begun(authority: Authority, engine: EngineName, change: Change | bytes) -> Wire:
    """A wire whose handshake is over, done or not."""
    server = Server(authority.issue(), ok, engine=engine, parameters=change)
    wire = dial(PoolConfig(cafile=authority.cafile, datagrams=True), server)
    wire.run(lambda: bool(wire.of(events.Ready)) or wire.error is not None)
    wire.settle(0.05)
    return wire


def is_answered(wire: Wire) -> bool:
    """Whether a body that fills many datagrams goes up, and its answer comes."""
    # QPACK's encoder puts into its table what it has seen before.
    fields = [*POST, (b"x-number", b"%06d" % (next(NUMBERS) // 3) * 40)]
    stream_id = wire.h3.open_request(fields, b"x" * MUCH)
    wire.settle(3.0, until=lambda: bool(wire.on(stream_id)))
    return bool(wire.on(stream_id))


@pytest.mark.one_in(12)
@pytest.mark.parametrize("row", ACCEPTED, ids=lambda row: row.name)
def test_a_server_may_say(authority: Authority, engine: EngineName, row: Row) -> None:
    wire = begun(authority, engine, row.change)
    assert wire.error is None
    for _ in range(3):
        assert is_answered(wire) is not row.waits
    assert wire.error is None
    most = quic_of(wire).peer_parameters.max_udp_payload_size
    assert max(wire.sizes) <= min(most, LARGER)


@pytest.mark.long
@settings(max_examples=examples(100), suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.sampled_from(ACCEPTED).filter(lambda row: "1 ms" not in row.name), max_size=8),
    st.sampled_from(["aioquic", "plain"]),
)
def test_a_server_may_say_all_of_it_at_once(
    authority: Authority, rows: list[Row], engine: EngineName
) -> None:
    def change(pairs: Pairs) -> Pairs:
        for row in rows:
            pairs = row.change(pairs)
        said.update(pairs)
        return pairs

    said: dict[int, bytes] = {}
    wire = begun(authority, engine, change)
    held = ("initial_max_data", "initial_max_stream_data_bidi_remote")
    waits = any(said.get(ID_OF[name], b"\0") == b"\0" for name in held)
    for _ in range(2):
        assert is_answered(wire) is not waits
    assert wire.error is None
    assert max(wire.sizes) <= min(quic_of(wire).peer_parameters.max_udp_payload_size, LARGER)


@pytest.mark.one_in(4)
@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.name)
def test_a_server_must_not_say(authority: Authority, engine: EngineName, row: Row) -> None:
    wire = begun(authority, engine, row.change)
    assert isinstance(wire.error, HandshakeFailed)
    assert wire.error.kind == "unrecoverable" and wire.error.lasting
    assert row.refused is not None
    assert "TRANSPORT_PARAMETER_ERROR (0x8)" in str(wire.error)
    assert row.refused in str(wire.error)
    assert wire.server is not None and wire.server.terminated is not None  # and it is told
    assert wire.server.terminated.error_code == TransportCode.TRANSPORT_PARAMETER_ERROR
    assert not wire.of(events.Ready)


def test_another_version_than_is_spoken_is_refused(authority: Authority) -> None:
    other = bytes.fromhex("1a2a3a4a00000001")
    wire = begun(authority, "aioquic", says(version_information=other))
    assert isinstance(wire.error, HandshakeFailed)
    assert "VERSION_NEGOTIATION_ERROR" in str(wire.error)


def test_an_empty_extension_is_refused(authority: Authority) -> None:
    error = begun(authority, "aioquic", b"").error
    assert "original_destination_connection_id is missing" in str(error)


@pytest.mark.parametrize("cut", [1, 2, 5, 20])
def test_one_that_is_cut_off_is_refused(authority: Authority, cut: int) -> None:
    error = begun(authority, "aioquic", lambda pairs: [*pairs, (0x3F, bytes(100))]).error
    assert error is None
    whole = joined([(0x04, encode_varint(MUCH)), (0x3F, bytes(100))])
    error = begun(authority, "aioquic", whole[:-cut]).error
    assert isinstance(error, HandshakeFailed)
    assert "the transport parameters are cut off" in str(error)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in ID_OF if name not in ("unknown", "reserved")])
def test_no_value_does_more_than_fail_the_handshake(authority: Authority, name: str) -> None:
    seed = random.Random(ID_OF[name])
    for _ in range(examples(12)):
        value = seed.randbytes(seed.choice((0, 1, 2, 4, 8, 16, 25, 49, 300)))
        wire = begun(authority, "aioquic", says(**{name: value}))
        assert wire.error is None or isinstance(wire.error, HandshakeFailed)


# what is made of them -----------------------------------------------------------------------


def test_datagrams_are_no_longer_than_the_server_takes(authority: Authority) -> None:
    wire = begun(authority, "aioquic", says(max_udp_payload_size=1300))
    assert is_answered(wire) and is_answered(wire)
    assert 1200 < max(wire.sizes) <= 1300  # probed up to there, and used
    assert quic_of(wire)._max_datagram_size == 1300


def test_one_that_takes_the_least_is_not_probed(authority: Authority) -> None:
    wire = begun(authority, "aioquic", says(max_udp_payload_size=1200))
    assert is_answered(wire) and is_answered(wire)
    assert max(wire.sizes) == 1200


def test_the_shorter_idle_timeout_ends_the_connection(
    authority: Authority, engine: EngineName
) -> None:
    def seconds(change: Change) -> float:
        wire = begun(authority, engine, change)
        found = wire.h3.idle_timeout
        assert found == wire.h3.handshake.idle_timeout
        return found

    ours = 35.0  # idle_timeout, and a margin
    assert seconds(says(max_idle_timeout=0)) == ours
    assert seconds(says(max_idle_timeout=None)) == ours
    assert seconds(says(max_idle_timeout=LARGEST_VARINT)) == ours
    assert seconds(says(max_idle_timeout=2_000)) == 2.0
    assert 0.05 < seconds(says(max_idle_timeout=1)) < 2.0  # three probe timeouts


def test_without_one_a_connection_outlives_silence(
    authority: Authority, engine: EngineName
) -> None:
    wire = begun(authority, engine, says(max_idle_timeout=0))
    wire.settle(20.0)
    assert is_answered(wire)


def test_the_delays_of_acknowledgements_are_read_by_the_exponent(
    authority: Authority, engine: EngineName
) -> None:
    for exponent in (0, 3, 20):
        wire = begun(authority, engine, says(ack_delay_exponent=exponent))
        assert quic_of(wire)._remote_ack_delay_exponent == exponent


def test_a_round_trip_does_not_count_how_long_an_acknowledgement_was_put_off(
    authority: Authority,
) -> None:
    """aioquic reads each exponent as 3: by one of 10 the delay would be a hundredth of itself."""

    def smoothed(exponent: int) -> float:
        server = Server(authority.issue(), ok, parameters=says(ack_delay_exponent=exponent))
        wire = dial(PoolConfig(cafile=authority.cafile), server)
        wire.run(lambda: bool(wire.of(events.Ready)))
        wire.settle(0.2)
        quic: Any = server.quic
        quic._local_ack_delay_exponent = exponent
        quic._ack_delay = 0.02
        for _ in range(30):
            wire.h3.ping(1)
            wire.settle(0.2)
        found: float = quic_of(wire)._loss._rtt_smoothed
        return found

    assert smoothed(10) == pytest.approx(smoothed(3), abs=0.002)


@pytest.mark.one_in(12)
@pytest.mark.parametrize("credit", [0, 15, 16, 100, 1024])
def test_no_request_waits_for_a_table_that_the_server_cannot_be_told_of(
    authority: Authority, engine: EngineName, credit: int
) -> None:
    """RFC 9204 2.1.3. What the server says here is all that it ever gives."""
    wire = begun(authority, engine, says(initial_max_stream_data_uni=credit))
    assert all(is_answered(wire) for _ in range(20))


def test_the_room_of_datagrams(authority: Authority, engine: EngineName) -> None:
    for said, room in ((None, 0), (0, 0), (1, 0), (2, 0), (3, 1), (100, 97), (65_535, 1_170)):
        wire = begun(authority, engine, says(max_datagram_frame_size=said))
        assert engine_of(wire).max_datagram_size == room, said


def test_the_server_is_told_how_much_we_take(authority: Authority, engine: EngineName) -> None:
    wire = begun(authority, engine, lambda pairs: pairs)
    assert wire.server is not None and wire.server.quic is not None
    extensions = dict(wire.server.quic.tls.received_extensions or [])
    said = pull_quic_transport_parameters(Buffer(data=extensions[0x39]))
    assert said.max_udp_payload_size == MAX_DATAGRAM


def test_a_preferred_address_is_declined(authority: Authority) -> None:
    """Nothing is sent there, and nothing that comes says otherwise; its connection id is spare."""
    wire = begun(authority, "aioquic", says(preferred_address=preferred(V4 + PORT, V6 + PORT)))
    assert is_answered(wire)
    wire.settle(5.0)
    quic = quic_of(wire)
    assert len(quic._network_paths) == 1
    assert quic._remote_preferred_address is None
    assert b"preferred" in [each.cid for each in quic._peer_cid_available]
    assert ID_OF["preferred_address"] not in dict(split(quic._serialize_transport_parameters()))
