"""One ask each, of every kind that a caller can make: `ask(env, id)`."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Final

import pykka

import quiver
from quiver.models import GetConnections, GetStats
from tests.support.chaos.environment import LIMIT, Environment

__all__ = [
    "MIXED",
    "cancelled",
    "counted",
    "late",
    "misunderstood",
    "plain",
    "slow",
    "streamed",
    "untold",
    "unwanted",
]


def plain(env: Environment, number: int) -> None:
    env.client.get(f"{env.url}/delay/0.02?id={number}", timeout=LIMIT)


def slow(env: Environment, number: int) -> None:
    env.client.get(f"{env.url}/delay/0.5?id={number}", timeout=LIMIT)


def told(env: Environment, number: int) -> None:
    got: list[int] = []
    url = f"{env.url}/informational/2?id={number}"
    env.client.get(url, timeout=LIMIT, on_informational=lambda status, _: got.append(status))


def untold(env: Environment, number: int) -> None:
    """Its answer is there, but has to wait for what takes longer than the request may."""
    request = quiver.Request(
        "GET",
        f"{env.url}/informational?id={number}",
        timeout=0.2,
        on_informational=lambda *_: threading.Event().wait(0.4),
    )
    env.client.pool(env.url).ask(request, block=False).get(timeout=LIMIT)


def uploaded(env: Environment, number: int) -> None:
    pieces = (bytes([part]) * 50_000 for part in range(8))
    answer = env.client.post(f"{env.url}/digest?id={number}", body=pieces, timeout=LIMIT)
    assert answer.json()["size"] == 400_000


def unwanted(env: Environment, number: int) -> None:
    pieces = (b"x" * 10_000 for _ in range(100))
    url = f"{env.url}/early/403?after=1&id={number}"
    assert env.client.post(url, body=pieces, timeout=LIMIT).status == 403


def streamed(env: Environment, number: int) -> None:
    with env.client.stream("GET", f"{env.url}/bytes/300000?id={number}", timeout=LIMIT) as it:
        assert len(it.read()) == 300_000


def left(env: Environment, number: int) -> None:
    with env.client.stream("GET", f"{env.url}/stall?id={number}", timeout=LIMIT) as it:
        assert it.read(4) == b"half"


def channel(env: Environment, number: int) -> None:
    url = f"{env.url}/session?id={number}"
    with env.client.open_channel(url, protocol="echo", timeout=LIMIT) as it:
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


def refused(env: Environment, number: int) -> None:
    env.client.get(f"{env.url}/reject?id={number}", timeout=LIMIT)


def reset(env: Environment, number: int) -> None:
    env.client.get(f"{env.url}/reset/0x102?id={number}", timeout=LIMIT)


def cancelled(env: Environment, number: int) -> None:
    request = quiver.Request("GET", f"{env.url}/delay/1?id={number}", timeout=LIMIT)
    reply = env.client.pool(env.url).ask(request, block=False)
    due = time.monotonic() + 0.3  # what is to be cancelled may be what was made to fail
    while not env.origin.seen(number) and time.monotonic() < due:
        threading.Event().wait(0.005)
    reply.cancel()
    reply.get(timeout=0)


def late(env: Environment, number: int) -> None:
    env.client.get(f"{env.url}/delay/1?id={number}", timeout=0.15)


def counted(env: Environment, number: int) -> None:
    pool = env.client.pool(env.url)
    pool.ask(GetStats(), timeout=LIMIT)
    pool.ask(GetConnections(), timeout=LIMIT)


def misunderstood(env: Environment, number: int) -> None:
    pool = env.client.pool(env.url)
    with contextlib.suppress(pykka.ActorDeadError):
        pool.tell(number)
    pool.ask(number, timeout=LIMIT)  # type: ignore[call-overload]


MIXED: Final = (plain, told, uploaded, streamed, left, channel, refused, reset, plain, plain)
