"""AsyncUpload: an async iterable as a request's body, read in its own loop, by no thread."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

import quiver
from quiver.source import AsyncSource
from quiver.testing import Origin, pattern

PIECE = 60_000


async def post(client: quiver.Client, url: str, body: Any, length: int | None = None) -> Any:
    source = AsyncSource(body, asyncio.get_running_loop(), length)
    return await client.pool(url).ask(quiver.Request("POST", url, body=source), block=False)


async def pieces(count: int, seen: set[int]) -> AsyncIterator[bytes]:
    for _ in range(count):
        seen.add(threading.get_ident())
        await asyncio.sleep(0)
        yield b""
        yield pattern(PIECE)


def test_it_arrives_whole(client: quiver.Client, origin: Origin) -> None:
    seen: set[int] = set()
    count = 60  # far more than an outlet holds

    async def send() -> Any:
        before = threading.active_count()
        response = await post(client, origin.url + "/digest", pieces(count, seen))
        assert threading.active_count() <= before + 1, "a thread per upload"
        return response.json()

    told = asyncio.run(send())
    assert told["size"] == count * PIECE
    assert told["sha256"] == hashlib.sha256(pattern(PIECE) * count).hexdigest()
    assert seen == {threading.get_ident()}


def test_what_it_raises_is_the_answer(client: quiver.Client, origin: Origin) -> None:
    async def bad() -> AsyncIterator[bytes]:
        yield b"x"
        raise ZeroDivisionError("of the body")

    with pytest.raises(ZeroDivisionError, match="of the body"):
        asyncio.run(post(client, origin.url + "/digest", bad()))


def test_a_piece_that_is_no_bytes(client: quiver.Client, origin: Origin) -> None:
    async def bad() -> AsyncIterator[Any]:
        yield "text"

    with pytest.raises(quiver.InvalidRequest, match="a piece is a str"):
        asyncio.run(post(client, origin.url + "/digest", bad()))


def test_a_length_that_does_not_hold(client: quiver.Client, origin: Origin) -> None:
    async def send() -> None:
        body = pieces(1, set())
        source = AsyncSource(body, asyncio.get_running_loop(), 7)
        headers = {"content-length": "7"}
        request = quiver.Request("POST", "/digest", headers, source)
        await client.pool(origin.url).ask(request, block=False)

    with pytest.raises(quiver.InvalidRequest, match="content-length is 7"):
        asyncio.run(send())


def test_the_loop_is_closed(client: quiver.Client, origin: Origin) -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    body = AsyncSource(pieces(1, set()), loop)
    with pytest.raises(RuntimeError, match="loop is closed"):
        client.post(origin.url + "/digest", body=body, timeout=5.0)


def test_an_early_answer_closes_the_iterator(client: quiver.Client, origin: Origin) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield pattern(PIECE)
                await asyncio.sleep(0.001)
        finally:
            closed.set()

    async def send() -> int:
        response = await post(client, origin.url + "/early/413", endless())
        await asyncio.wait_for(closed.wait(), 5.0)
        return int(response.status)

    assert asyncio.run(send()) == 413
