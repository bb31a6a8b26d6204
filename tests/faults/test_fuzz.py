"""Fuzzing: whatever arrives, the connection raises nothing, ends once, and says why by name."""

from __future__ import annotations

from typing import Final

import pytest
from aioquic.buffer import encode_uint_var
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from quiver.config import PoolConfig
from quiver.h3 import events
from quiver.testing import Authority
from tests.support.engines.http3_wire import Server, Wire, dial
from tests.support.fuzz.connection import GET, Act, Where, play
from tests.support.servers.frames import block, frame, integer
from tests.support.short_form import examples

fuzzing = settings(
    max_examples=examples(150),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# what acts are made of ----------------------------------------------------------------------

NAMES: Final = [b":status", b":path", b"x", b"X", b"content-length", b"te", b"connection", b""]
VALUES: Final = [b"200", b"103", b"101", b"2", b"trailers", b"a\r\nb", b" ", b"v" * 3000, b"\xff"]
FRAME_TYPES: Final = [0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xD, 0x21, 0x41, 0x54, 1 << 61]

noise = st.binary(max_size=60)
varints = st.integers(0, 70) | st.sampled_from([1 << 14, 1 << 30, (1 << 62) - 1])
fields = st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES))
sections = st.lists(fields, max_size=6).map(block) | st.just(block([(b":status", b"200")]))
settings_payloads = st.lists(st.tuples(varints, varints), max_size=5).map(
    lambda pairs: b"".join(encode_uint_var(number) for pair in pairs for number in pair)
)
payloads = noise | sections | settings_payloads | varints.map(encode_uint_var)
frames = st.builds(
    frame,
    st.sampled_from(FRAME_TYPES) | varints,
    payloads,
    length=st.none() | st.none() | varints,
)
streams = st.lists(frames | noise, max_size=6).map(b"".join)
qpack = st.lists(st.builds(integer, st.integers(0, 255), st.just(0), varints), max_size=4).map(
    b"".join
)
uni_streams = st.builds(bytes.__add__, varints.map(encode_uint_var), streams)
quic_frames = st.builds(
    bytes.__add__,
    st.integers(0, 0x40).map(encode_uint_var),
    st.lists(varints.map(encode_uint_var) | noise, max_size=8).map(b"".join),
)


def acts(where: Where, octets: st.SearchStrategy[bytes]) -> st.SearchStrategy[Act]:
    return st.builds(Act, st.just(where), octets, st.booleans(), st.integers(0, 0x200))


on_streams = st.one_of(
    acts(Where.REQUEST, streams),
    acts(Where.REQUEST, frames),
    acts(Where.CONTROL, frames),
    acts(Where.ENCODER, qpack | noise),
    acts(Where.DECODER, qpack | noise),
    acts(Where.NEW_STREAM, uni_streams),
    acts(Where.NEW_STREAM_OF_BOTH_WAYS, streams),
    acts(Where.HTTP_DATAGRAM, payloads),
    acts(Where.RESET, st.just(b"")),
    acts(Where.STOP, st.just(b"")),
)
forged = acts(Where.UDP, st.binary(max_size=1500)) | acts(Where.MUTATED, noise)
sealed_frames = acts(Where.FRAMES, st.lists(quic_frames | noise, max_size=4).map(b"".join))
good_response = Act(Where.REQUEST, frame(1, block([(b":status", b"200")])) + frame(0, b"ok"), True)


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> tuple[str, str]:
    return authority.issue()


@pytest.fixture
def config(authority: Authority) -> PoolConfig:
    return PoolConfig(cafile=authority.cafile)


def server_of(certificate: tuple[str, str]) -> Server:
    return Server(certificate, max_datagram_frame_size=65_536)


def told(wire: Wire) -> None:
    """For hypothesis' statistics, which show whether the stories go deep enough."""
    event(str(wire.error).partition(":")[2][:60])


# properties ---------------------------------------------------------------------------------


@pytest.mark.long
@fuzzing
@given(story=st.lists(acts(Where.REQUEST, streams) | acts(Where.REQUEST, frames), max_size=8))
def test_bytes_on_request_streams(
    story: list[Act], config: PoolConfig, certificate: tuple[str, str]
) -> None:
    told(play(config, server_of(certificate), story))


@fuzzing
@given(story=st.lists(acts(Where.CONTROL, frames | noise), min_size=1, max_size=8))
def test_bytes_on_the_control_stream(
    story: list[Act], config: PoolConfig, certificate: tuple[str, str]
) -> None:
    told(play(config, server_of(certificate), story))


@fuzzing
@given(story=st.lists(on_streams, max_size=10))
def test_all_that_streams_can_do(
    story: list[Act], config: PoolConfig, certificate: tuple[str, str]
) -> None:
    told(play(config, server_of(certificate), story))


@fuzzing
@given(story=st.lists(sealed_frames | on_streams, min_size=1, max_size=6))
def test_frames_of_quic(story: list[Act], config: PoolConfig, certificate: tuple[str, str]) -> None:
    told(play(config, server_of(certificate), story))


@fuzzing
@given(story=st.lists(forged, max_size=10))
@example(story=[Act(Where.UDP, b""), Act(Where.UDP, b"\x40"), Act(Where.UDP, b"\xc0" * 1200)])
def test_forged_datagrams_do_no_harm(
    story: list[Act], config: PoolConfig, certificate: tuple[str, str]
) -> None:
    """Who can only send datagrams of his own cannot end a connection, or put words into it."""
    wire = play(config, server_of(certificate), [*story, good_response])
    assert wire.on(0) == [events.Headers(0, 200, [], True, b"ok")]


@fuzzing
@given(datagrams=st.lists(st.binary(max_size=1500), max_size=10))
def test_forged_datagrams_during_the_handshake(
    datagrams: list[bytes], config: PoolConfig, certificate: tuple[str, str]
) -> None:
    wire = dial(config, server_of(certificate))
    for octets in datagrams:
        wire.h3.receive(octets, wire.now)
        wire.step()
    wire.run(lambda: bool(wire.of(events.Ready)))
    assert wire.h3.open_request(GET, None) == 0


@pytest.mark.long
@fuzzing
@given(octets=st.binary(max_size=400), cut=st.integers(0, 400))
def test_where_a_stream_is_cut_makes_no_difference(
    octets: bytes, cut: int, config: PoolConfig, certificate: tuple[str, str]
) -> None:
    head = frame(1, block([(b":status", b"200")]))
    whole = [Act(Where.REQUEST, head + octets)]
    parts = [Act(Where.REQUEST, (head + octets)[:cut]), Act(Where.REQUEST, (head + octets)[cut:])]
    seen = [play(config, server_of(certificate), story) for story in (whole, parts)]
    assert str(seen[0].error) == str(seen[1].error)
    contents = [b"".join(getattr(each, "content", b"") for each in wire.events) for wire in seen]
    assert contents[0] == contents[1] or seen[0].error is not None
