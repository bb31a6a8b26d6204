"""StreamedResponse in asyncio: pieces, sizes, ends and errors, with a loop that goes on."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import quiver
from quiver.testing import Origin, pattern

SIZE = 300_000


async def asked(client: quiver.Client, url: str) -> quiver.StreamedResponse:
    response = await client.pool(url).ask(quiver.StreamRequest("GET", url), block=False)
    assert isinstance(response, quiver.StreamedResponse)
    return response


def test_pieces(client: quiver.Client, origin: Origin) -> None:
    async def read() -> list[bytes]:
        response = await asked(client, f"{origin.url}/bytes/{SIZE}")
        pieces = [piece async for piece in response]
        assert response.ended
        return pieces

    pieces = asyncio.run(read())
    assert all(pieces) and b"".join(pieces) == pattern(SIZE)


def test_sizes(client: quiver.Client, origin: Origin) -> None:
    async def read() -> list[bytes]:
        response = await asked(client, f"{origin.url}/bytes/{SIZE}")
        parts = [await response.aread(10), await response.aread(0), await response.aread(100_000)]
        return [*parts, await response.aread(), await response.aread()]

    parts = asyncio.run(read())
    assert [len(part) for part in parts] == [10, 0, 100_000, SIZE - 100_010, 0]
    assert b"".join(parts) == pattern(SIZE)


def test_the_loop_goes_on_while_a_body_is_waited_for(client: quiver.Client, origin: Origin) -> None:
    async def read() -> tuple[Any, int, int]:
        before = threading.active_count()
        responses = [await asked(client, origin.url + "/drip/4/0.1") for _ in range(10)]
        reading = [asyncio.create_task(response.aread()) for response in responses]
        ticks = 0
        while not all(task.done() for task in reading):
            ticks += 1
            await asyncio.sleep(0.01)
        return [task.result() for task in reading], ticks, threading.active_count() - before

    bodies, ticks, threads = asyncio.run(read())
    assert len(set(bodies)) == 1 and len(bodies) == 10
    assert ticks > 1, "while it is blocked it has one turn"
    assert threads <= 1, "a thread per response"


def test_a_task_that_is_cancelled_leaves_nothing_behind(
    client: quiver.Client, origin: Origin
) -> None:
    async def read() -> int:
        response = await asked(client, origin.url + "/drip/2/5")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.aread(), 0.05)
        waiting = len(response.receive_buffer.wakes)
        response.close()
        with pytest.raises(quiver.StreamClosed):
            await response.aread()
        return waiting

    assert asyncio.run(read()) == 0


def test_what_ends_it_early_is_raised(client: quiver.Client, origin: Origin) -> None:
    async def read() -> None:
        response = await asked(client, origin.url + "/reset-after/1000/0x102")
        assert await response.aread(1000) == pattern(1000)
        with pytest.raises(quiver.StreamReset):
            await response.aread()

    asyncio.run(read())
