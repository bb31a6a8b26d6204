"""One ask each, of every kind that a caller can make: `ask(stage, id)`."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Final

import pykka

import quiver
from quiver.models import GetConnections, GetStats
from tests.support.stage import LIMIT, Stage

__all__ = [
    "MIXED",
    "cancelled",
    "counted",
    "late",
    "misunderstood",
    "plain",
    "slow",
    "streamed",
    "unwanted",
]


def plain(stage: Stage, number: int) -> None:
    stage.client.get(f"{stage.url}/delay/0.02?id={number}", timeout=LIMIT)


def slow(stage: Stage, number: int) -> None:
    stage.client.get(f"{stage.url}/delay/0.5?id={number}", timeout=LIMIT)


def told(stage: Stage, number: int) -> None:
    got: list[int] = []
    url = f"{stage.url}/informational/2?id={number}"
    stage.client.get(url, timeout=LIMIT, on_informational=lambda status, _: got.append(status))


def uploaded(stage: Stage, number: int) -> None:
    pieces = (bytes([part]) * 50_000 for part in range(8))
    answer = stage.client.post(f"{stage.url}/digest?id={number}", body=pieces, timeout=LIMIT)
    assert answer.json()["size"] == 400_000


def unwanted(stage: Stage, number: int) -> None:
    pieces = (b"x" * 10_000 for _ in range(100))
    url = f"{stage.url}/early/403?after=1&id={number}"
    assert stage.client.post(url, body=pieces, timeout=LIMIT).status == 403


def streamed(stage: Stage, number: int) -> None:
    with stage.client.stream("GET", f"{stage.url}/bytes/300000?id={number}", timeout=LIMIT) as it:
        assert len(it.read()) == 300_000


def left(stage: Stage, number: int) -> None:
    with stage.client.stream("GET", f"{stage.url}/stall?id={number}", timeout=LIMIT) as it:
        assert it.read(4) == b"half"


def channel(stage: Stage, number: int) -> None:
    url = f"{stage.url}/session?id={number}"
    with stage.client.open_channel(url, protocol="echo", timeout=LIMIT) as it:
        it.send(b"datagram")
        it.write(b"stream")
        missing = {quiver.Datagram, quiver.StreamData}
        for event in it:
            missing.discard(type(event))
            match event:
                case quiver.Closed(error=error):
                    raise error or AssertionError("closed too early")
                case _ if not missing:
                    return


def refused(stage: Stage, number: int) -> None:
    stage.client.get(f"{stage.url}/reject?id={number}", timeout=LIMIT)


def reset(stage: Stage, number: int) -> None:
    stage.client.get(f"{stage.url}/reset/0x102?id={number}", timeout=LIMIT)


def cancelled(stage: Stage, number: int) -> None:
    request = quiver.Request("GET", f"{stage.url}/delay/1?id={number}", timeout=LIMIT)
    reply = stage.client.pool(stage.url).ask(request, block=False)
    due = time.monotonic() + 0.3  # what is to be cancelled may be what was made to fail
    while not stage.origin.seen(number) and time.monotonic() < due:
        threading.Event().wait(0.005)
    reply.cancel()
    reply.get(timeout=0)


def late(stage: Stage, number: int) -> None:
    stage.client.get(f"{stage.url}/delay/1?id={number}", timeout=0.15)


def counted(stage: Stage, number: int) -> None:
    pool = stage.client.pool(stage.url)
    pool.ask(GetStats(), timeout=LIMIT)
    pool.ask(GetConnections(), timeout=LIMIT)


def misunderstood(stage: Stage, number: int) -> None:
    pool = stage.client.pool(stage.url)
    with contextlib.suppress(pykka.ActorDeadError):
        pool.tell(number)
    pool.ask(number, timeout=LIMIT)


MIXED: Final = (plain, told, uploaded, streamed, left, channel, refused, reset, plain, plain)
