"""Streams cut at random points, in random ways: no slot leaks, and the server's view agrees."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any, Literal

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import quiver
from quiver.testing import Authority, Origin, pattern
from tests.support.chaos.background_load import run_callers
from tests.support.short_form import examples
from tests.support.stream_account import client_of
from tests.support.waiting import until

Kind = Literal["download", "upload", "both", "channel"]
Way = Literal["close", "leave", "cancel", "collect", "reset", "timeout", "end"]

PIECE = 16_384


@attrs.frozen
class Cut:
    """One stream: what is done on it, and after how many bytes it is cut in which way."""

    kind: Kind
    way: Way
    after: int


cuts = st.builds(
    Cut,
    kind=st.sampled_from(["download", "upload", "both", "channel"]),
    way=st.sampled_from(["close", "leave", "cancel", "collect", "reset", "timeout", "end"]),
    after=st.sampled_from([0, 1, PIECE, 100_000, 600_000]) | st.integers(0, 400_000),
)


@pytest.fixture(scope="module")
def origin(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


@pytest.fixture(scope="module")
def client(origin: Origin) -> Iterator[quiver.Client]:
    with client_of(origin, max_connections=2, receive_window=65_536) as made:
        yield made


@pytest.mark.long
@settings(
    max_examples=examples(30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(plan=st.lists(cuts, min_size=1, max_size=8))
def test_cut_anywhere(client: quiver.Client, origin: Origin, plan: list[Cut]) -> None:
    """All at once, each in a thread of its own."""
    run_callers("threads", len(plan), lambda number: carry_out(client, origin.url, plan[number]))
    gc.collect()
    until(lambda: client.stats(origin.url).active == 0, what=f"active == 0 after {plan}")
    until(lambda: origin.streams_open() == 0, what=f"streams_open() == 0 after {plan}")
    until(lambda: not caller_threads(), what=f"its threads end after {plan}")
    stats = client.stats(origin.url)
    assert (stats.queued, stats.active) == (0, 0)
    assert client.get(origin.url + "/ok", timeout=10.0).body == b"ok"


def caller_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "quiver-caller-thread"]


def carry_out(client: quiver.Client, url: str, cut: Cut) -> None:
    """What the way allows for is the only error there may be."""
    allowed: dict[Way, type[BaseException]] = {
        "cancel": quiver.RequestCancelled,
        "reset": quiver.StreamReset,
        "timeout": quiver.RequestTimeout,
    }
    try:
        if cut.way == "cancel":
            cancel(client, url, cut)
        elif cut.kind == "channel":
            talk(client, url, cut)
        else:
            read(client, url, cut)
    except allowed.get(cut.way, ()):
        pass


def request_of(cut: Cut) -> tuple[str, str, dict[str, Any]]:
    """Method, path and options of a stream that does not end before it is cut."""
    options: dict[str, Any] = {"timeout": 0.05 + cut.after / 5e6 if cut.way == "timeout" else 30.0}
    size = cut.after if cut.way == "end" else 50_000_000
    if cut.kind == "download":
        path = f"/reset-after/{cut.after}/0x10c" if cut.way == "reset" else f"/bytes/{size}"
        return "GET", path, options
    options["body"] = pieces(size)
    if cut.kind == "both":
        return "POST", "/echo-stream", options
    if cut.way == "reset":
        return "POST", "/reset/0x10c", {**options, "body": pieces(cut.after)}
    return "POST", "/digest", options


def pieces(size: int) -> Iterator[bytes]:
    for start in range(0, size, PIECE):
        yield pattern(min(PIECE, size - start))


def cancel(client: quiver.Client, url: str, cut: Cut) -> None:
    """Whether it has its answer by then or not."""
    method, path, options = request_of(cut)
    kind: type[quiver.Request] = quiver.StreamRequest
    if cut.kind == "channel":
        kind, method, path, options = quiver.OpenChannel, "GET", "/datagrams", {}
    future: Any = client.pool(url).ask(kind(method, path, **options), block=False)
    threading.Event().wait(cut.after / 2e7)
    if not future.cancel():
        future.get().close()


def read(client: quiver.Client, url: str, cut: Cut) -> None:
    method, path, options = request_of(cut)
    if cut.kind == "upload" and cut.way in ("close", "leave", "collect"):
        path = "/echo-stream"  # /digest would not answer before all has come
    if cut.kind == "both" and cut.way == "reset":
        return  # the origin has no such route
    response = client.stream(method, url + path, **options)
    match cut.way:
        case "end":
            assert len(response.read()) >= (0 if cut.kind == "upload" else cut.after)
        case "reset" | "timeout":
            response.read()
            raise AssertionError("it came to its end")
        case "leave":
            with response:
                response.read(cut.after)
        case "close":
            response.read(cut.after)
            response.close()
        case _:
            response.read(cut.after)


def talk(client: quiver.Client, url: str, cut: Cut) -> None:
    query = "?reset=0x10c" if cut.way == "reset" else "?greet=3"
    limit = 0.05 + cut.after / 5e6 if cut.way == "timeout" else 30.0
    channel = client.open_channel(f"{url}/session{query}", protocol="webtransport", timeout=limit)
    sent = threading.Thread(target=write, args=(channel, cut))
    sent.start()
    seen = 0
    for event in channel:
        if isinstance(event, quiver.StreamData):
            seen += len(event.content)
        if cut.way == "reset":
            send(channel)
        if cut.way in ("close", "leave", "collect") and seen >= cut.after:
            break
    if cut.way != "collect":
        channel.close()
        sent.join(10)


def write(channel: quiver.Channel, cut: Cut) -> None:
    try:
        for piece in pieces(cut.after):
            channel.write(piece)
        if cut.way == "end":
            channel.finish()
    except quiver.QuiverError:
        assert cut.way != "end"


def send(channel: quiver.Channel) -> None:
    try:
        channel.send(b"now")
    except quiver.StreamReset:
        pass
