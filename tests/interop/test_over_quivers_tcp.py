"""The stock transports and ours over its own HTTP/2, against one Caddy: the same outcome.

As tests/interop/test_adapters.py is over HTTP/3, which is left out here.
"""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import httpx
import pytest
import requests
import urllib3

from quiver.adapters.httpx import AsyncHTTP3Transport, HTTP3Transport
from quiver.adapters.policy import Policy
from quiver.adapters.requests import HTTP3Adapter
from quiver.testing import Authority
from tests.support.cases import httpx_calls, requests_calls
from tests.support.cases.transport_differential import Place, compared_caddy, outcome

POOLS = {"default": {"connect_timeout": 10.0}}
# A second of silence, and a limit of a third: on a loaded machine either may be missed.
OF_THE_CLOCK = {"a timeout in the body", "a timeout while streaming", "late"}


def steady(cases: Iterable[str]) -> list[str]:
    return [name for name in cases if name not in OF_THE_CLOCK]


class Unheard(Policy):
    """Never HTTP/3, whatever Alt-Svc says."""

    def heard(self, *_: object) -> None:
        """Learn nothing."""


@pytest.fixture(scope="module")
def place(authority: Authority) -> Iterator[Place]:
    with compared_caddy(authority) as ready:
        yield ready


@pytest.fixture(scope="module")
def adapter() -> Iterator[HTTP3Adapter]:
    made = HTTP3Adapter(fallback="quiver", policy=Unheard("alt-svc"), pools=POOLS)
    yield made
    made.close()


def session_of(place: Place, adapter: HTTP3Adapter | None = None) -> requests.Session:
    session = requests.Session()
    session.trust_env, session.verify = False, place.cafile
    if adapter is not None:
        session.mount("https://", adapter)
    return session


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", steady(requests_calls.CASES))
def test_requests(name: str, place: Place, adapter: HTTP3Adapter) -> None:
    case = requests_calls.CASES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", urllib3.exceptions.InsecureRequestWarning)
        with session_of(place) as stock:
            expected = outcome(lambda: case(stock, place))
        assert outcome(lambda: case(session_of(place, adapter), place)) == expected


def transport_options(place: Place) -> dict[str, Any]:
    verify = ssl.create_default_context(cafile=place.cafile)
    policy = Unheard("alt-svc")
    return {"verify": verify, "fallback": "quiver", "policy": policy, "pools": POOLS}


@pytest.fixture(scope="module")
def transport(place: Place) -> HTTP3Transport:
    return HTTP3Transport(**transport_options(place))


@pytest.fixture
def ours(transport: HTTP3Transport) -> Iterator[httpx.Client]:
    """A client of its own for each test: it keeps cookies."""
    with httpx.Client(transport=transport) as client:
        yield client


@pytest.fixture
def stock(place: Place) -> Iterator[httpx.Client]:
    verify = ssl.create_default_context(cafile=place.cafile)
    with httpx.Client(verify=verify, trust_env=False) as client:
        yield client


@pytest.mark.one_in(3)
@pytest.mark.parametrize("name", steady(httpx_calls.CALLS))
def test_httpx(name: str, place: Place, stock: httpx.Client, ours: httpx.Client) -> None:
    call = httpx_calls.CALLS[name]
    assert outcome(lambda: call.by(ours, place)) == outcome(lambda: call.by(stock, place))


@pytest.mark.parametrize("name", steady(httpx_calls.STREAMS))
def test_httpx_streams(name: str, place: Place, stock: httpx.Client, ours: httpx.Client) -> None:
    got = outcome(lambda: httpx_calls.read_sync(ours, place.url, name))
    assert got == outcome(lambda: httpx_calls.read_sync(stock, place.url, name))


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", steady([*httpx_calls.CALLS, *httpx_calls.STREAMS]))
def test_httpx_in_asyncio(name: str, place: Place) -> None:
    async def run(transport: httpx.AsyncBaseTransport) -> Any:
        async with httpx.AsyncClient(transport=transport) as client:
            if name in httpx_calls.STREAMS:
                return await httpx_calls.read_async(client, place.url, name)
            return await httpx_calls.CALLS[name].in_asyncio(client, place)

    verify = ssl.create_default_context(cafile=place.cafile)
    stock = httpx.AsyncHTTPTransport(verify=verify)
    ours = AsyncHTTP3Transport(**transport_options(place))
    got = outcome(lambda: asyncio.run(run(ours)))
    assert got == outcome(lambda: asyncio.run(run(stock)))


def test_which_protocol_answered(place: Place, adapter: HTTP3Adapter, ours: httpx.Client) -> None:
    assert session_of(place, adapter).get(place.url + "/small").raw.version == 20
    assert ours.get(place.url + "/small").http_version == "HTTP/2"
