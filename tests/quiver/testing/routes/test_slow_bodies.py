"""Bodies that take their time, over real QUIC."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from quiver.testing import Origin, pattern
from tests.support.clients.bare_streams import StreamClient

MIB = 1024 * 1024


def resident(pid: int) -> int:
    """The peak resident memory of a process in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_and_backpressure_of_a_big_body(origin: Origin) -> None:
    with StreamClient(origin.port, origin.cafile) as client:
        client.get("/bytes/100000")
        before = resident(origin.pid)
        stream_id = client.ask("/bytes/1073741824")
        client.until(lambda: len(client.response(stream_id).body) > 20 * MIB, timeout=40.0)
        body = bytes(client.response(stream_id).body)
        assert body == pattern(len(body))
        # What was handed to QUIC is what this client has read, its window and the send buffer.
        assert origin.bytes_sent("/bytes/1073741824") < 2 * len(body) + 16 * MIB
        assert resident(origin.pid) - before < 8 * MIB
        client.stop(stream_id, 0x10C)
        client.until(lambda: origin.streams_open() == 0)


@pytest.mark.parametrize("size", [64_255, 64_256, 64_257, 1_000_003])
def test_pieces_join_to_the_pattern(client: StreamClient, size: int) -> None:
    assert client.get(f"/bytes/{size}").body == pattern(size)


def test_head_of_a_big_body(client: StreamClient) -> None:
    head = client.request("HEAD", "/bytes/1000000")
    assert dict(head.headers)[b"content-length"] == b"1000000"
    assert head.body == b""


def test_drip(client: StreamClient) -> None:
    started = time.monotonic()
    assert client.get("/drip/3/0.05?size=10").body == pattern(10) * 3
    assert time.monotonic() - started >= 0.15


def test_stall_after(client: StreamClient) -> None:
    stream_id = client.ask("/stall-after/100000")
    client.until(lambda: len(client.response(stream_id).body) == 100_000)
    with pytest.raises(TimeoutError):
        client.wait(stream_id, timeout=0.1)


def test_reset_after(client: StreamClient) -> None:
    response = client.get("/reset-after/100000/0x102")
    assert (bytes(response.body), response.reset) == (pattern(100_000), 0x102)


def test_informational_more_than_once(client: StreamClient) -> None:
    response = client.get("/informational/3")
    assert (response.informational, response.status) == ([103] * 3, 200)
    assert len({dict(fields)[b"link"] for fields in response.early_headers}) == 3


def test_duplicates_keep_their_order(client: StreamClient) -> None:
    fields = client.get("/duplicates").headers
    assert [value for name, value in fields if name == b"set-cookie"] == [b"a", b"b", b"c"]
    names = [name for name, _ in fields if name == b"set-cookie" or name.startswith(b"x-")]
    assert names == [b"set-cookie", b"x-one", b"set-cookie", b"x-two", b"x-one", b"set-cookie"]
