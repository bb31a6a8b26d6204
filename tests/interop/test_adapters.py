"""The stock transports over HTTPS and ours over HTTP/3, against one Caddy: the same outcome."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import warnings
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import urllib3

from quiver.adapters.httpx import AsyncHTTP3Transport, HTTP3Transport
from quiver.adapters.requests import HTTP3Adapter
from quiver.testing import Authority
from tests.support.cases import httpx_calls, requests_calls
from tests.support.cases.transport_differential import Place, compared_caddy, encoded, outcome
from tests.support.servers.http1_backend import TEXT


@pytest.fixture(scope="module")
def place(authority: Authority) -> Iterator[Place]:
    with compared_caddy(authority) as ready:
        yield ready


# requests -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def adapter() -> Iterator[HTTP3Adapter]:
    made = HTTP3Adapter(fallback=False, pools={"default": {"connect_timeout": 10.0}})
    yield made
    made.close()


def session_of(place: Place, adapter: HTTP3Adapter | None = None) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # the roots that the environment names go before `verify`
    session.verify = place.cafile
    if adapter is not None:
        session.mount("https://", adapter)
    return session


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", requests_calls.CASES)
def test_requests(name: str, place: Place, adapter: HTTP3Adapter) -> None:
    case = requests_calls.CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
        with session_of(place) as stock:
            expected = outcome(lambda: case(stock, place))
        assert outcome(lambda: case(session_of(place, adapter), place)) == expected


def test_which_protocol_answered(place: Place, adapter: HTTP3Adapter) -> None:
    with session_of(place) as stock:
        assert stock.get(place.url + "/small").raw.version == 11
    assert session_of(place, adapter).get(place.url + "/small").raw.version == 30


@pytest.mark.parametrize("kind", ["gzip", "zstd", "deflate", "br"])
def test_contents_are_decoded(kind: str, place: Place, adapter: HTTP3Adapter) -> None:
    path = f"/back/{kind}" if kind in ("gzip", "zstd") else encoded(kind, TEXT)
    url, accepted = place.url + path, {"Accept-Encoding": kind}
    with session_of(place, adapter).get(url, headers=accepted, stream=True) as response:
        assert response.headers["content-encoding"] == kind
        assert response.raw.read(100, decode_content=True) == TEXT[:100]
        assert b"".join(response.iter_content(500)) == TEXT[100:]


def test_there_are_enough() -> None:
    assert len(requests_calls.CASES) >= 60
    assert len(httpx_calls.CALLS) + len(httpx_calls.STREAMS) >= 60


# httpx ----------------------------------------------------------------------------------------

POOLS = {"default": {"connect_timeout": 10.0}}


def context_of(place: Place) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=place.cafile)


@pytest.fixture
def stock(place: Place) -> Iterator[httpx.Client]:
    with httpx.Client(verify=context_of(place), trust_env=False) as client:
        yield client


@pytest.fixture
def stock_2(place: Place) -> Iterator[httpx.Client]:
    with httpx.Client(verify=context_of(place), trust_env=False, http2=True) as client:
        yield client


@pytest.fixture(scope="module")
def transport(place: Place) -> HTTP3Transport:
    return HTTP3Transport(verify=context_of(place), fallback=False, pools=POOLS)


@pytest.fixture
def ours(transport: HTTP3Transport) -> Iterator[httpx.Client]:
    with httpx.Client(transport=transport) as client:
        yield client


# Over HTTP/2 an error of h2's own gets through httpx, or the server answers what is sent to it; and
# who waits for flow control waits as for a response.
OF_H2 = {"a body that is short", "short", "a bad header", "a bad method", "a write timeout"}


@pytest.mark.one_in(12)
@pytest.mark.parametrize("name", httpx_calls.CALLS)
def test_httpx(
    name: str, place: Place, stock: httpx.Client, stock_2: httpx.Client, ours: httpx.Client
) -> None:
    call = httpx_calls.CALLS[name]
    got = outcome(lambda: call.by(ours, place))
    assert got == outcome(lambda: call.by(stock, place))
    assert name in OF_H2 or got == outcome(lambda: call.by(stock_2, place))


@pytest.mark.parametrize("name", httpx_calls.STREAMS)
def test_httpx_streams(
    name: str, place: Place, stock: httpx.Client, stock_2: httpx.Client, ours: httpx.Client
) -> None:
    got = outcome(lambda: httpx_calls.read_sync(ours, place.url, name))
    assert got == outcome(lambda: httpx_calls.read_sync(stock, place.url, name))
    assert name in OF_H2 or got == outcome(lambda: httpx_calls.read_sync(stock_2, place.url, name))


def transports(place: Place) -> tuple[httpx.AsyncBaseTransport, httpx.AsyncBaseTransport]:
    context = context_of(place)
    return (
        httpx.AsyncHTTPTransport(verify=context),
        AsyncHTTP3Transport(verify=context, fallback=False, pools=POOLS),
    )


def both(place: Place, call: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> list[Any]:
    """What it returns or raises by the stock transport, and by ours."""

    async def run(transport: httpx.AsyncBaseTransport) -> Any:
        async with httpx.AsyncClient(transport=transport) as client:
            return await call(client)

    return [outcome(partial(asyncio.run, run(each))) for each in transports(place)]


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", httpx_calls.CALLS)
def test_httpx_in_asyncio(name: str, place: Place) -> None:
    expected, got = both(place, lambda client: httpx_calls.CALLS[name].in_asyncio(client, place))
    assert got == expected


@pytest.mark.parametrize("name", httpx_calls.STREAMS)
def test_httpx_streams_in_asyncio(name: str, place: Place) -> None:
    expected, got = both(place, lambda client: httpx_calls.read_async(client, place.url, name))
    assert got == expected


def test_which_protocol_answered_httpx(
    place: Place, stock: httpx.Client, stock_2: httpx.Client, ours: httpx.Client
) -> None:
    assert stock.get(place.url + "/small").http_version == "HTTP/1.1"
    assert stock_2.get(place.url + "/small").http_version == "HTTP/2"
    assert ours.get(place.url + "/small").http_version == "HTTP/3"


def test_where_ours_is_not_the_same(
    place: Place, adapter: HTTP3Adapter, ours: httpx.Client
) -> None:
    """urllib3 adds a name of its own, and h11's error gets through httpx."""
    session = session_of(place, adapter)
    unnamed: Any = {"User-Agent": None}
    echoed = session.get(place.url + "/back/echo", headers=unnamed).json()
    assert "python" not in str(echoed)
    with pytest.raises(httpx.LocalProtocolError, match="content-length"):
        ours.post(place.url + "/back/echo", content=b"abc", headers={"Content-Length": "2"})


@pytest.mark.parametrize("verify", ["file", "folder", "stranger", "nothing"])
def test_whom_httpx_trusts(verify: str, place: Place, tmp_path: Path) -> None:
    (tmp_path / "root.pem").write_bytes(Path(place.cafile).read_bytes())
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True)
    trusted: dict[str, bool | str] = {
        "file": place.cafile,
        "folder": str(tmp_path),
        "stranger": place.stranger,
        "nothing": False,
    }
    transport = HTTP3Transport(verify=trusted[verify], fallback=False)
    with httpx.Client(transport=transport) as client:
        got = outcome(lambda: client.get(place.url + "/small").status_code)
    assert got == ("raises httpx.ConnectError" if verify == "stranger" else 200)
