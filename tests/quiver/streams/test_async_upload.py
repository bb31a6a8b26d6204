"""AsyncUpload: an async iterable as a request's body, read in its own loop, by no thread."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import threading
import warnings
from collections.abc import AsyncIterator
from typing import Any, Self

import gevent
import pytest
from greenlet import GreenletExit

import quiver
from quiver.streams.body_source import AsyncBodySource
from quiver.streams.caller_thread import CallerThreadExecutor
from quiver.streams.send_buffer import SendBuffer
from quiver.streams.upload import upload_of
from quiver.testing import Origin, pattern

PIECE = 60_000


async def post(client: quiver.Client, url: str, body: Any, length: int | None = None) -> Any:
    source = AsyncBodySource(body, asyncio.get_running_loop(), length)
    return await client.pool(url).ask(quiver.Request("POST", url, body=source), block=False)


async def pieces(count: int, seen: set[int]) -> AsyncIterator[bytes]:
    for _ in range(count):
        seen.add(threading.get_ident())
        await asyncio.sleep(0)
        yield b""
        yield pattern(PIECE)


def test_it_arrives_whole(client: quiver.Client, origin: Origin) -> None:
    seen: set[int] = set()
    count = 60  # far more than a send buffer holds

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


class Cut:
    """Raises in its midst, and has nothing more to give when it is asked again."""

    def __init__(self, error: BaseException) -> None:
        self._next: list[Any] = [b"x" * PIECE, error]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._next:
            raise StopAsyncIteration
        given = self._next.pop(0)
        if isinstance(given, bytes):
            return given
        raise given


@pytest.mark.parametrize(
    "error", [GeneratorExit, GreenletExit, gevent.Timeout, asyncio.CancelledError, SystemExit]
)
def test_what_is_no_exception_of_the_usual_kind_cuts_it_short_as_well(
    client: quiver.Client, origin: Origin, error: type[BaseException]
) -> None:
    """It never arrives as if it were whole."""
    with pytest.raises(error):
        asyncio.run(post(client, origin.url + "/digest", Cut(error())))


def test_a_piece_that_is_no_bytes(client: quiver.Client, origin: Origin) -> None:
    async def bad() -> AsyncIterator[Any]:
        try:
            yield "text"
        finally:
            closed.set()

    async def send() -> None:
        body = bad()
        with pytest.raises(quiver.InvalidRequest, match="a piece is a str"):
            await post(client, origin.url + "/digest", body)
        await asyncio.wait_for(closed.wait(), 5.0)  # and not by the collector: it is held here

    closed = asyncio.Event()
    asyncio.run(send())


def test_a_length_that_does_not_hold(client: quiver.Client, origin: Origin) -> None:
    async def send() -> None:
        body = pieces(1, set())
        source = AsyncBodySource(body, asyncio.get_running_loop(), 7)
        headers = {"content-length": "7"}
        request = quiver.Request("POST", "/digest", headers, source)
        await client.pool(origin.url).ask(request, block=False)

    with pytest.raises(quiver.InvalidRequest, match="content-length is 7"):
        asyncio.run(send())


def test_the_loop_is_closed(client: quiver.Client, origin: Origin) -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    body = AsyncBodySource(pieces(1, set()), loop)
    with pytest.raises(RuntimeError, match="loop is closed"):
        client.post(origin.url + "/digest", body=body, timeout=5.0)


def test_the_loop_is_closed_before_it_has_begun() -> None:
    """Then nothing was begun that could be left half done: a coroutine that nobody awaits, say."""
    loop = asyncio.new_event_loop()
    request = quiver.Request("POST", "/digest", body=AsyncBodySource(pieces(1, set()), loop))
    upload = upload_of(request, SendBuffer("https://localhost", lambda: None))
    upload.start(CallerThreadExecutor(None), own_thread=False)
    loop.close()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        del upload
        gc.collect()
    assert [str(each.message) for each in told] == []


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
