"""httpx over HTTP/3: limits, trailers, errors, and a loop that is never blocked."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any, Final

import pytest

import quiver
from quiver.adapters.httpx import AsyncHTTP3Transport, HTTP3Transport
from quiver.testing import Origin, pattern
from tests.support.servers.blackhole import blackhole
from tests.support.waiting import until

USER: Final[ContextVar[bytes]] = ContextVar("USER", default=b"nobody ")
NARROW = {"default": {"max_connections": 1, "max_streams_per_connection": 1}}


def test_trailers_both_ways(client: Any, origin: Origin) -> None:
    with client.stream("GET", origin.url + "/trailers") as response:
        assert response.extensions["trailers"] == []
        response.read()
        assert response.extensions["trailers"] == [(b"x-checksum", b"abc"), (b"x-count", b"2")]
        assert response.extensions["http_version"] == b"HTTP/3"
    sent = {"trailers": [("x-sum", "7")]}
    response = client.post(origin.url + "/request-trailers", content=b"x", extensions=sent)
    assert response.json() == [["x-sum", "7"]]


def test_a_pool_timeout(library: Any, origin: Origin) -> None:
    transport = HTTP3Transport(verify=origin.cafile, fallback=False, pools=NARROW)
    with library.Client(transport=transport, timeout=60.0) as client:
        held = client.stream("GET", origin.url + "/drip/9/0.5")
        with held, pytest.raises(library.PoolTimeout, match=r"checkout_timeout=0\.2"):
            client.get(origin.url + "/ok", timeout=library.Timeout(5, pool=0.2))
        assert client.get(origin.url + "/ok").status_code == 200


def test_a_dial_is_not_the_pools(library: Any) -> None:
    """Each limit is of its own wait: the one for a connection is that of connect."""
    with (
        blackhole() as port,
        library.Client(transport=HTTP3Transport(verify=False, fallback=False)) as client,
        pytest.raises(library.ConnectTimeout, match=r"connect_timeout=0\.5 seconds"),
    ):
        client.get(f"https://localhost:{port}/", timeout=library.Timeout(5, connect=0.5, pool=0.1))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/reset/0x102", "RemoteProtocolError"),
        ("/reset-after/1000/0x102", "RemoteProtocolError"),
        ("/malformed", "RemoteProtocolError"),
        ("/close/0x102", "ReadError"),
        ("/hang", "ReadTimeout"),
        ("/stall-after/10", "ReadTimeout"),
    ],
)
def test_errors(path: str, name: str, library: Any, client: Any, origin: Origin) -> None:
    kind = getattr(library, name)
    with pytest.raises(kind) as caught:
        client.get(origin.url + path, timeout=library.Timeout(5, read=0.5))
    assert type(caught.value) is kind
    assert caught.value.request is not None
    assert isinstance(caught.value.__cause__, quiver.QuiverError)


def test_a_response_that_is_closed_while_it_is_read(
    library: Any, client: Any, origin: Origin
) -> None:
    """By another thread, with which its reader ends as if the connection had."""
    reads = threading.Event()
    with client.stream("GET", origin.url + "/stall", timeout=60.0) as response:

        def read() -> None:
            for _ in response.iter_raw():
                reads.set()

        with ThreadPoolExecutor(1) as threads:
            reader = threads.submit(read)
            assert reads.wait(10.0)
            response.close()
            with pytest.raises(library.ReadError, match="closed before its end"):
                reader.result(10.0)


def test_a_limit_of_0_seconds_is_over_at_once(library: Any, origin: Origin) -> None:
    """As what is left until a deadline may be; what takes no wait is had all the same."""
    with library.Client(
        transport=HTTP3Transport(verify=origin.cafile, fallback=False), timeout=60.0
    ) as client:
        with socket.socket(type=socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            nowhere = f"https://127.0.0.1:{silent.getsockname()[1]}/"
            with pytest.raises(library.ConnectTimeout):
                client.get(nowhere, timeout=library.Timeout(5, connect=0))
        assert client.get(origin.url + "/ok").status_code == 200
        for limits in (library.Timeout(5, read=0), library.Timeout(0)):
            with pytest.raises(library.ReadTimeout):
                client.get(origin.url + "/hang", timeout=limits)
        for limits in (library.Timeout(5, pool=0), library.Timeout(5, write=0)):
            assert client.get(origin.url + "/ok", timeout=limits).status_code == 200


def test_no_http_without_a_fallback(library: Any, client: Any) -> None:
    with pytest.raises(library.UnsupportedProtocol):
        client.get("http://localhost/")


def test_bodies_of_every_kind(client: Any, origin: Origin) -> None:
    """Whole, in pieces, and as a form with a file, which is a stream of the library's own."""
    url = origin.url + "/echo"
    assert client.post(url, content=b"whole").content == b"whole"
    assert client.post(url, content=iter([b"in ", b"pieces"])).content == b"in pieces"
    form = client.post(url, data={"a": "1"}, files={"b": ("b.txt", b"of a file")}).content
    assert b"of a file" in form and form.endswith(b"--\r\n")


def test_a_body_is_read_with_its_callers_context_variables(client: Any, origin: Origin) -> None:
    """As over TCP, where the library reads it in the caller's thread."""

    def pieces() -> Iterator[bytes]:
        yield USER.get()
        USER.set(b"and another")
        yield USER.get()

    token = USER.set(b"somebody ")
    try:
        response = client.post(origin.url + "/echo", content=pieces())
    finally:
        USER.reset(token)
    assert response.content == b"somebody and another"


def test_a_body_of_another_kind_is_refused(library: Any, origin: Origin) -> None:
    class Neither:
        stream = object()

    with HTTP3Transport(verify=origin.cafile, fallback=False) as transport:
        request = library.Request("GET", origin.url + "/ok")
        request.stream = object()
        with pytest.raises(TypeError, match="the body is a object, no SyncByteStream"):
            transport.handle_request(request)
        with pytest.raises(TypeError, match="Neither is a request of neither httpx nor httpx2"):
            transport.handle_request(Neither())

    async def run() -> None:
        async with AsyncHTTP3Transport(verify=origin.cafile, fallback=False) as transport:
            await transport.handle_async_request(request)

    with pytest.raises(TypeError, match="the body is a object, no AsyncByteStream"):
        asyncio.run(run())


# asyncio --------------------------------------------------------------------------------------


def in_asyncio(library: Any, origin: Origin) -> Any:
    transport = AsyncHTTP3Transport(verify=origin.cafile, fallback=False)
    return library.AsyncClient(transport=transport, timeout=60.0)  # five by default


def test_many_at_once_without_threads(library: Any, origin: Origin) -> None:
    async def run() -> tuple[list[int], int, float]:
        async with in_asyncio(library, origin) as client:
            await client.get(origin.url + "/ok")
            before = threading.active_count()
            began = time.monotonic()
            asked = [client.get(origin.url + "/delay/0.5") for _ in range(40)]
            responses = await asyncio.gather(*asked)
            took = time.monotonic() - began
            return [r.status_code for r in responses], threading.active_count() - before, took

    statuses, threads, took = asyncio.run(run())
    assert statuses == [200] * 40
    assert threads <= 0
    assert took < 10.0, "one after the other it would take 20 seconds"


def test_the_loop_goes_on(library: Any, origin: Origin) -> None:
    async def run() -> tuple[bytes, int]:
        ticks = 0
        async with in_asyncio(library, origin) as client:
            asked = asyncio.create_task(client.get(origin.url + "/drip/5/0.1?size=3"))
            while not asked.done():
                ticks += 1
                await asyncio.sleep(0.01)
            return (await asked).content, ticks

    body, ticks = asyncio.run(run())
    assert body == pattern(3) * 5
    assert ticks > 1, "while it is blocked it has one turn"


def test_a_body_both_ways_at_once(library: Any, origin: Origin) -> None:
    """Each piece is sent only when the one before has come back."""

    async def run() -> list[bytes]:
        heard, got = asyncio.Semaphore(1), []

        async def pieces() -> AsyncIterator[bytes]:
            for number in range(5):
                await heard.acquire()
                yield b"%d" % number

        async with in_asyncio(library, origin) as client:
            url = origin.url + "/echo-stream"
            async with client.stream("POST", url, content=pieces()) as response:
                async for piece in response.aiter_raw():
                    got.append(piece)
                    heard.release()
        return got

    assert asyncio.run(asyncio.wait_for(run(), 20.0)) == [b"0", b"1", b"2", b"3", b"4"]


def test_bodies_of_tasks_are_read_with_their_context_variables(
    library: Any, origin: Origin
) -> None:
    """Each with those of its own task, also when it is read in more than one go."""
    many = 40

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(many):
            yield USER.get() * 8192
            await asyncio.sleep(0)

    async def post(client: Any, user: bytes) -> bytes:
        USER.set(user)
        content: bytes = (await client.post(origin.url + "/echo", content=pieces())).content
        return content

    async def run() -> list[bytes]:
        async with in_asyncio(library, origin) as client:
            return await asyncio.gather(*(post(client, user) for user in (b"one", b"two")))

    assert asyncio.run(run()) == [user * 8192 * many for user in (b"one", b"two")]


def test_a_task_that_is_cancelled_gives_its_stream_back(library: Any, origin: Origin) -> None:
    async def run() -> None:
        async with in_asyncio(library, origin) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.get(origin.url + "/hang?id=left"), 0.5)
            async with client.stream("GET", origin.url + "/drip/100/0.1") as response:
                await anext(response.aiter_raw())
            assert (await client.get(origin.url + "/ok")).status_code == 200

    asyncio.run(run())
    until(lambda: origin.connections_open() == 0)


def test_errors_in_asyncio(library: Any, origin: Origin) -> None:
    async def run() -> None:
        async with in_asyncio(library, origin) as client:
            with pytest.raises(library.RemoteProtocolError):
                await client.get(origin.url + "/reset/0x102")
            with pytest.raises(library.ReadTimeout):
                await client.get(origin.url + "/stall-after/10", timeout=0.5)

    asyncio.run(run())


def test_another_target_than_the_urls(client: Any, origin: Origin) -> None:
    for target in (b"/items/42", "/items/42"):
        response = client.get(origin.url + "/nowhere", extensions={"target": target})
        assert response.json() == {"id": 42}
    assert response.url.path == "/nowhere"
