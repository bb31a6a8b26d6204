"""Which way out a request takes, by what name the server is known, and what tests put there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import trio

from quiver.adapters.httpx import AsyncHTTP3Transport, HTTP3Transport
from quiver.testing import Authority, LocalOrigin, Origin

# sni_hostname ---------------------------------------------------------------------------------


@pytest.fixture
def named(authority: Authority) -> Iterator[LocalOrigin]:
    """A server that can prove another name than that of its URL, and no other."""
    certfile, keyfile = authority.issue(("service.example",))
    with LocalOrigin(certfile=certfile, keyfile=keyfile) as started:
        yield started


@pytest.mark.parametrize("name", ["service.example", b"service.example"])
def test_the_server_proves_the_name_that_is_given(
    name: str | bytes, library: Any, named: LocalOrigin, authority: Authority
) -> None:
    transport = HTTP3Transport(verify=authority.cafile, fallback=False)
    with library.Client(transport=transport, timeout=60.0) as client:
        url = f"https://127.0.0.1:{named.port}/ok"
        assert client.get(url, extensions={"sni_hostname": name}).text == "ok"
        with pytest.raises(library.ConnectError, match="certificate"):
            client.get(url)
        with pytest.raises(library.ConnectError, match="certificate"):
            client.get(url, extensions={"sni_hostname": "other.example"})


def test_the_same_in_asyncio(library: Any, named: LocalOrigin, authority: Authority) -> None:
    async def run() -> None:
        transport = AsyncHTTP3Transport(verify=authority.cafile, fallback=False)
        async with library.AsyncClient(transport=transport, timeout=60.0) as client:
            url = f"https://127.0.0.1:{named.port}/ok"
            given = {"sni_hostname": "service.example"}
            for _ in range(2):
                assert (await client.get(url, extensions=given)).text == "ok"
            with pytest.raises(library.ConnectError, match="certificate"):
                await client.get(url)

    asyncio.run(run())


@pytest.mark.parametrize("name", [7, "no name at all", b"\xff"])
def test_what_is_no_name_is_refused(name: object, library: Any, client: Any) -> None:
    with pytest.raises(library.LocalProtocolError, match=r"sni_hostname|server_name"):
        client.get("https://localhost:1/", extensions={"sni_hostname": name})


# TCP ------------------------------------------------------------------------------------------


def test_what_is_no_transport_is_refused() -> None:
    with pytest.raises(
        TypeError, match=r"fallback=7 is no transport: it has no handle_request\(\)"
    ):
        HTTP3Transport(fallback=7)
    with pytest.raises(TypeError, match="handle_async_request"):
        AsyncHTTP3Transport(fallback=httpx.HTTPTransport())


def test_a_transport_of_the_other_library_is_refused() -> None:
    httpx2 = pytest.importorskip("httpx2")
    transport = HTTP3Transport(fallback=httpx.HTTPTransport())
    said = "fallback: HTTPTransport is of httpx, but the client of httpx2"
    with httpx2.Client(transport=transport) as client, pytest.raises(TypeError, match=said):
        client.get("http://localhost/")


def test_tcp_goes_by_the_library_of_the_client(library: Any) -> None:
    """By nobody who listens there, whose error is of the library as well."""
    transport = HTTP3Transport()
    with library.Client(transport=transport) as client, pytest.raises(library.ConnectError):
        client.get("http://127.0.0.1:1/")


def test_one_transport_for_clients_of_both(origin: Origin) -> None:
    httpx2 = pytest.importorskip("httpx2")
    transport = HTTP3Transport(verify=origin.cafile, fallback=False)
    with httpx.Client(transport=transport) as one, httpx2.Client(transport=transport) as other:
        for client, library in ((one, httpx), (other, httpx2), (one, httpx)):
            assert type(client.get(origin.url + "/ok")) is library.Response
            with pytest.raises(library.ReadTimeout):
                client.get(origin.url + "/hang", timeout=0.2)


def test_a_transport_of_the_programs_own(library: Any) -> None:
    class Canned:
        closed = False

        def handle_request(self, request: Any) -> Any:
            return library.Response(204, request=request)

        def close(self) -> None:
            self.closed = True

    canned = Canned()
    with library.Client(transport=HTTP3Transport(fallback=canned)) as client:
        assert client.get("http://localhost/").status_code == 204
    assert canned.closed


class AsyncCanned:
    async def handle_async_request(self, request: Any) -> httpx.Response:
        return httpx.Response(204, request=request)

    async def aclose(self) -> None:
        pass


def test_a_loop_that_is_not_asyncios_goes_over_tcp(origin: Origin) -> None:
    async def ask(fallback: object) -> int:
        transport = AsyncHTTP3Transport(verify=origin.cafile, fallback=fallback)
        async with httpx.AsyncClient(transport=transport) as client:
            return (await client.get(origin.url + "/ok")).status_code

    assert trio.run(ask, AsyncCanned()) == 204
    with pytest.raises(RuntimeError, match="HTTP/3 is had in asyncio alone"):
        trio.run(ask, False)
    assert asyncio.run(ask(False)) == 200


# libraries for tests --------------------------------------------------------------------------

URL = "https://nowhere.invalid/"


@pytest.mark.parametrize("using", ["httpcore", "httpx"])
@pytest.mark.parametrize("fallback", [None, False])
def test_respx_answers_in_place_of_http3(using: str, fallback: bool | None, origin: Origin) -> None:
    respx = pytest.importorskip("respx")
    transport = HTTP3Transport(verify=origin.cafile, fallback=fallback)
    with httpx.Client(transport=transport) as client:
        with respx.mock(using=using) as mock:
            route = mock.get(URL).mock(return_value=httpx.Response(418))
            assert client.get(URL).status_code == 418
            assert route.called
        assert client.get(origin.url + "/ok").http_version == "HTTP/3"


def test_respx_in_asyncio() -> None:
    respx = pytest.importorskip("respx")

    async def run() -> int:
        async with httpx.AsyncClient(transport=AsyncHTTP3Transport()) as client:
            with respx.mock:
                respx.get(URL).mock(return_value=httpx.Response(418))
                return (await client.get(URL)).status_code

    assert asyncio.run(run()) == 418


def test_what_instruments_tcp_is_no_mock(
    client: Any, library: Any, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrapped(*arguments: Any) -> Any:
        raise AssertionError(arguments)

    monkeypatch.setattr(library.HTTPTransport, "handle_request", wrapped)
    assert client.get(origin.url + "/ok").http_version == "HTTP/3"
