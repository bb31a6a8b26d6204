"""Bytes that wait to be acknowledged: a bytearray, that copies nothing large."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quiver.quic import send_pieces
from quiver.quic.send_pieces import SendPieces
from tests.support.short_form import examples


def made(*pieces: bytes) -> SendPieces:
    whole = SendPieces()
    for piece in pieces:
        whole += piece
    return whole


sizes = st.one_of(st.integers(0, 40), st.integers(2_040, 2_056), st.integers(0, 20_000))
steps = st.lists(
    st.tuples(st.sampled_from(["add", "add", "view", "drop", "read", "cut"]), sizes, sizes),
    max_size=40,
)


@settings(max_examples=examples(200))
@given(steps=steps)
def test_it_is_as_a_bytearray(steps: list[tuple[str, int, int]]) -> None:
    pieces, model = SendPieces(), bytearray()
    for turn, (what, first, second) in enumerate(steps):
        fresh = bytes([turn]) * first
        match what:
            case "add":
                pieces += fresh
                model += fresh
            case "view":
                pieces += memoryview(fresh + b"more")[:first]
                model += fresh
            case "drop":
                del pieces[:first]
                del model[:first]
            case "read":
                begin = first % (len(model) + 1)
                assert pieces[begin : begin + second] == model[begin : begin + second]
            case "cut" if second and (count := (len(model) - first) // second) > 0:
                cuts = pieces.cut(first, second, count)
                wanted = [model[first + at * second :][:second] for at in range(count)]
                assert list(map(bytes, cuts)) == wanted
        assert len(pieces) == len(model)
    assert pieces[0 : len(model)] == model


def test_what_is_large_is_not_copied() -> None:
    body = bytes(1 << 22)
    tracemalloc.start()
    pieces = made(memoryview(body)[: 1 << 21], memoryview(body)[1 << 21 :])  # type: ignore[arg-type]
    cuts = pieces.cut(3, 1_400, 1_000)
    del pieces[: 1 << 20]
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(cuts) == 1_000
    assert most < 1 << 19


@pytest.mark.parametrize("size", [1, 10, 100, 2_000])
def test_what_is_small_takes_little_more_than_its_bytes(size: int) -> None:
    whole = 1 << 16  # of some pieces that are gathered; traced, a byte at a time takes its time
    tracemalloc.start()
    pieces, piece = SendPieces(), bytes(size)
    while len(pieces) < whole:
        pieces += piece
    theirs = tracemalloc.Filter(True, send_pieces.__file__)  # not what other threads hold meanwhile
    held = tracemalloc.take_snapshot().filter_traces([theirs]).statistics("filename")
    tracemalloc.stop()
    assert whole <= sum(each.size for each in held) < 1.4 * whole


def test_what_is_acknowledged_is_freed() -> None:
    tracemalloc.start()
    pieces = SendPieces()
    for _ in range(64):
        pieces += bytes(65_536)
        if len(pieces) > 1 << 18:
            del pieces[:65_536]
    held, most = tracemalloc.get_traced_memory()
    del pieces[: len(pieces)]
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 1 << 19
    assert held > 1 << 18
    assert left < 1 << 12
