"""The frames of one response: however they are cut, the same is read, or the same is refused."""

from __future__ import annotations

import itertools

import pylsqpack
import pytest
from aioquic.buffer import encode_uint_var
from hypothesis import given
from hypothesis import strategies as st

from quiver.h3 import events
from quiver.h3.codes import ErrorCode
from quiver.h3.headers import Fields, section_size
from quiver.h3.protocol_error import ProtocolError
from quiver.h3.request_stream import _LARGEST_GROWTH, ResponseReader

LIMIT = 500
STREAM = 8


def decode(_: int, block: bytes) -> Fields:
    return pylsqpack.Decoder(0, 0).feed_header(STREAM, block)[1]


def reader() -> ResponseReader:
    return ResponseReader(STREAM, decode, LIMIT, lambda *_: None)


def frame(kind: int, payload: bytes) -> bytes:
    return encode_uint_var(kind) + encode_uint_var(len(payload)) + payload


def section(*fields: tuple[bytes, bytes]) -> bytes:
    return frame(1, pylsqpack.Encoder().encode(STREAM, list(fields))[1])


OK = section((b":status", b"200"), (b"x-a", b"1"))
EARLY = section((b":status", b"103"), (b"link", b"</a>"))
SUM = section((b"x-sum", b"9"))
GREASE = frame(0x21 + 0x1F * 500, b"whatever")


def read(octets: bytes, cuts: list[int]) -> list[events.Event]:
    """What is read of `octets`, fed in pieces that end at `cuts`."""
    edges = [0, *sorted({cut % (len(octets) + 1) for cut in cuts}), len(octets)]
    fed = reader()
    happened: list[events.Event] = []
    for start, stop in itertools.pairwise(edges):
        happened += fed.feed(octets[start:stop], stop == len(octets))
        if happened and type(happened[-1]) in (events.StreamMalformed, events.HeadersTooLarge):
            break
        if stop == len(octets):
            break
    return happened


GOOD = st.tuples(
    st.lists(st.sampled_from([EARLY, GREASE]), max_size=3),
    st.lists(
        st.one_of(st.binary(max_size=200).map(lambda b: frame(0, b)), st.just(GREASE)), max_size=4
    ),
    st.sampled_from([b"", SUM, SUM + GREASE]),
).map(lambda parts: b"".join(parts[0]) + OK + b"".join(parts[1]) + parts[2])


@given(GOOD, st.lists(st.integers(0, 5000), max_size=6))
def test_a_response_cut_anywhere_says_the_same(octets: bytes, cuts: list[int]) -> None:
    whole, parts = read(octets, []), read(octets, cuts)
    assert ending(parts) == ending(whole)
    assert ends_once(parts)
    assert ends_once(whole)


def ending(happened: list[events.Event]) -> tuple[object, ...]:
    """All that a response says, apart from which of its events says that it is over."""
    content = b"".join(e.content for e in happened if isinstance(e, events.Headers | events.Body))
    heads = [e.headers for e in happened if isinstance(e, events.Headers | events.Informational)]
    trailers = [e for e in happened if isinstance(e, events.TrailersReceived)]
    return content, heads, trailers


def ends_once(happened: list[events.Event]) -> bool:
    last = [
        isinstance(e, events.TrailersReceived) or bool(getattr(e, "ended", False)) for e in happened
    ]
    return last.count(True) == 1 and last[-1]


@given(st.binary(max_size=300), st.booleans())
def test_whatever_comes_is_read_or_refused(octets: bytes, started: bool) -> None:
    fed = reader()
    if started:
        fed.feed(OK, False)
    try:
        happened = fed.feed(octets, True)
    except (ProtocolError, pylsqpack.DecompressionFailed, pylsqpack.StreamBlocked):
        return
    faults = (events.StreamMalformed, events.HeadersTooLarge)
    assert ends_once(happened) or isinstance(happened[-1], faults)


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (frame(0, b"x"), ErrorCode.H3_FRAME_UNEXPECTED),
        (OK + SUM + frame(0, b"x"), ErrorCode.H3_FRAME_UNEXPECTED),
        (OK + SUM + SUM, ErrorCode.H3_FRAME_UNEXPECTED),
        (frame(4, b""), ErrorCode.H3_FRAME_UNEXPECTED),
        (frame(7, b"\x00"), ErrorCode.H3_FRAME_UNEXPECTED),
        (frame(2, b""), ErrorCode.H3_FRAME_UNEXPECTED),
        (b"\x40\x41\x00", ErrorCode.H3_FRAME_UNEXPECTED),
        (frame(5, b"\x00"), ErrorCode.H3_ID_ERROR),
        (OK + b"\x00\x05ab", ErrorCode.H3_FRAME_ERROR),
        (OK + b"\x00", ErrorCode.H3_FRAME_ERROR),
        (OK + b"\x00\x40", ErrorCode.H3_FRAME_ERROR),
        (b"\x01\x09abc", ErrorCode.H3_FRAME_ERROR),
    ],
)
def test_what_breaks_http_costs_the_connection(octets: bytes, code: ErrorCode) -> None:
    with pytest.raises(ProtocolError) as fault:
        reader().feed(octets, True)
    assert fault.value.code is code


def test_what_came_before_a_fault_is_said() -> None:
    bad = section((b":status", b"200"), (b"Upper", b"1"))
    first, last = reader().feed(EARLY + bad + frame(0, b"content"), False)
    assert first == events.Informational(STREAM, 103, [("link", "</a>")])
    assert isinstance(last, events.StreamMalformed)


def test_what_comes_at_once_is_one_event() -> None:
    happened = reader().feed(EARLY + OK + GREASE + frame(0, b"content"), True)
    assert happened[1:] == [events.Headers(STREAM, 200, [("x-a", "1")], True, b"content")]
    *_, body = reader().feed(OK + frame(0, b"con") + frame(0, b"tent"), True)
    assert body == events.Body(STREAM, b"tent", True)


def test_a_long_frame_is_passed_on_as_it_comes_and_not_copied() -> None:
    fed = reader()
    fed.feed(OK + b"\x00" + encode_uint_var(1_000_000), False)
    chunk = bytes(50_000)
    (body,) = fed.feed(chunk, False)
    assert isinstance(body, events.Body)
    assert body.content is chunk


def test_each_content_frame_is_told_for_the_log() -> None:
    told: list[tuple[int, int]] = []
    fed = ResponseReader(STREAM, decode, LIMIT, lambda *_: None, lambda *seen: told.append(seen))
    fed.feed(OK + frame(0, b"abc") + b"\x00\x05ab", False)
    fed.feed(b"cde", True)
    assert told == [(STREAM, 3), (STREAM, 5)]


def test_no_section_grows_more_than_is_taken_for_granted() -> None:
    """A section of `limit` bytes from the shortest block: static entries, one byte each."""
    grown = []
    for index in range(99):
        prefix = bytes([0xC0 | index]) if index < 63 else bytes([0xFF, index - 63])
        try:
            fields = decode(0, b"\x00\x00" + prefix)
        except pylsqpack.DecompressionFailed:
            continue
        grown.append(section_size(fields) / len(prefix))
    assert len(grown) == 99
    assert max(grown) < _LARGEST_GROWTH
