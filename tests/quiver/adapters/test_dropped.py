"""Sessions and transports that are dropped without close() are finalised as clients are."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable
from typing import Any

import httpx
import pykka
import pytest
import requests

from quiver.adapters.httpx import AsyncHTTP3Transport, HTTP3Transport
from quiver.adapters.requests import HTTP3Adapter
from quiver.testing import Origin
from tests.support.waiting import until


def by_requests(pools: Any, url: str) -> int:
    session = requests.Session()
    session.mount("https://", HTTP3Adapter(fallback=False, pools=pools))
    session.trust_env = False  # or a bundle of the environment's takes the place of `cafile`
    session.verify = pools["default"]["cafile"]
    return session.get(url).status_code


def by_httpx(pools: Any, url: str) -> int:
    client = httpx.Client(transport=HTTP3Transport(fallback=False, pools=pools))
    return client.get(url).status_code


def by_async_httpx(pools: Any, url: str) -> int:
    async def get() -> int:
        client = httpx.AsyncClient(transport=AsyncHTTP3Transport(fallback=False, pools=pools))
        return (await client.get(url)).status_code

    return asyncio.run(get())


def unread_by_requests(pools: Any, url: str) -> int:
    """The response outlives its session, and is read whole."""
    session = requests.Session()
    session.mount("https://", HTTP3Adapter(fallback=False, pools=pools))
    session.trust_env = False  # or a bundle of the environment's takes the place of `cafile`
    session.verify = pools["default"]["cafile"]
    response = session.get(url.replace("/ok", "/drip/10/0.02?size=10"), stream=True)
    del session
    gc.collect()
    assert len(response.content) == 100
    return response.status_code


def pools_of(origin: Origin) -> int:
    every = pykka.ActorRegistry.get_by_class_name("HTTP3Pool")
    return sum(getattr(ref, "origin", None) == origin.url for ref in every)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "get",
    [by_requests, by_httpx, by_async_httpx, unread_by_requests],
    ids=lambda get: get.__name__,
)
def test_a_dropped_adapter_is_finalised(origin: Origin, get: Callable[[Any, str], int]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(5):
            assert get({"default": {"cafile": origin.cafile}}, origin.url + "/ok") == 200
        gc.collect()
        until(lambda: pools_of(origin) == 0)
    told = [each for each in caught if each.category is ResourceWarning]
    assert len([each for each in told if "without close()" in str(each.message)]) == 5
