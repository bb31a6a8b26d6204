"""What the demo shows while it runs, and at its end."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

import quiver
from quiver.cli.demo import Demo
from quiver.cli.demo_view import run_live


@pytest.mark.long
def test_the_live_view_shows_rate_connections_and_queue() -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=100, no_color=True)
    with Demo(requests=600, threads=8, connections=2) as demo:
        run_live(demo, console)
    text = shown.getvalue()
    for word in ("of 600 answered", "per second", "p99", "queue", "open streams", "connected"):
        assert word in text, text
    assert text.rstrip().endswith("Nothing is lost.")
    assert demo.compared is not None
    plain = " ".join(text.replace("│", " ").split())
    assert f"one request at a time {demo.compared:,.0f}" in plain
    times = f"{demo.account.rate / demo.compared:,.1f}"
    assert f"8 threads shared 2 connections: {times} times the answers of a pool" in plain


def test_streams_are_worth_more_than_connections_lent_one_by_one() -> None:
    with Demo(requests=600, threads=8, connections=2) as demo:
        demo.wait(20.0)
        demo.compare()
    assert demo.compared is not None
    assert demo.account.rate > demo.compared > 0  # a quarter of the requests waits for 0.1 s


def test_the_summary_names_errors_by_kind_and_what_was_lost() -> None:
    demo = Demo(requests=3, threads=1, connections=1)
    assert all(demo.account.take() for _ in range(3))
    demo.account.answered_in(0.002)
    demo.account.failed(quiver.StreamReset("reset", code=0x102))
    shown = io.StringIO()
    run_live(demo, Console(file=shown, width=100))
    assert "StreamReset (transient)" in shown.getvalue()
    assert "2.0 ms" in shown.getvalue()
    assert "LOST: 1 asks without an outcome." in shown.getvalue()
