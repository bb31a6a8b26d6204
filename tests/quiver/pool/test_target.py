"""What all connections of a pool share, judged where the pool is started."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

import quiver
from quiver.actors import log
from quiver.config import PoolConfig
from quiver.origin import Origin
from quiver.pool.choice import HTTP1, HTTP3, TCP, Lane
from quiver.pool.fallback_table import FIRST_PAUSE
from quiver.pool.protocols import ALL, stacks_for
from quiver.pool.target import PoolTarget
from quiver.pool.told_heads import Http1Required, Misdirected

ORIGIN = "https://localhost:4443"  # never asked


@pytest.mark.parametrize("option", ["SSL_CERT_FILE", "cafile"])
def test_roots_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    option: str,
) -> None:
    """Only those who open a file can tell: at the first request, and in these words."""
    roots = tmp_path / "roots.pem"
    roots.write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    options = {"cafile": str(roots)} if option == "cafile" else {}
    with (
        quiver.Client(pools={"default": options}) as client,
        pytest.raises(quiver.InvalidOptions, match=f"{option}='{roots}'") as caught,
    ):
        client.get(ORIGIN + "/ok")
    assert caught.value.origin == ORIGIN
    log.flush(10.0)
    assert caplog.records == []


def test_a_pool_of_ones_own_is_refused_likewise(tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_text("no certificate")
    with pytest.raises(quiver.InvalidOptions, match=f"cafile='{roots}'"):
        quiver.HTTP3Pool.start(ORIGIN, cafile=roots)


def test_what_is_asked_with_each_request_is_seen_anew_when_something_has_happened() -> None:
    origin, field = Origin.parse(ORIGIN), 'h3=":4444"'
    stacks = stacks_for(origin, ALL)
    target = PoolTarget(origin, PoolConfig(verify=False), None, *stacks)
    here, now = (socket.AF_INET, ("127.0.0.1", 4443)), time.monotonic()

    def place() -> Origin | None:
        return target.lanes(now, here)[0].place

    assert place() is None and target.asks_again(now)
    target.won(Lane(TCP), [(Lane(HTTP3), "it was silent")], now)
    assert not target.asks_again(now) and target.asks_again(now + FIRST_PAUSE)
    for _ in range(3):
        target.heard(field)
    assert target.asks_again(now)
    there = place()
    assert there is not None and there.port == 4444
    target.heard("clear")
    assert not target.asks_again(now) and place() is None
    target.heard(field)
    assert target.asks_again(now) and place() == there
    assert target.goes_elsewhere(Misdirected("421"), "localhost:4444")
    target.heard(field)
    assert not target.asks_again(now) and place() is None


@pytest.mark.parametrize(
    ("protocols", "falls"),
    [(ALL, True), (("h2", "http/1.1"), True), (("h3", "h2"), False), (("h2",), False)],
    ids=["all", "over TCP", "no HTTP/1.1", "HTTP/2 alone"],
)
def test_http_1_1_is_asked_for_where_it_may_be_spoken(
    protocols: tuple[str, ...], falls: bool
) -> None:
    origin, now = Origin.parse(ORIGIN), time.monotonic()
    target = PoolTarget(origin, PoolConfig(verify=False), None, *stacks_for(origin, protocols))
    refusal = Http1Required("reset", code=0xD)
    assert target.goes_elsewhere(refusal, None) is falls
    first = target.lanes(now, (socket.AF_INET, ("127.0.0.1", 4443)))[0]
    assert (first.name == HTTP1) is falls
    assert ("`protocols`" in str(getattr(refusal, "__notes__", ""))) is not falls
    if falls:
        assert target.transport(lambda _: None, HTTP1) is not None
