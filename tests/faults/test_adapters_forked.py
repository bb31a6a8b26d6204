"""A preloaded gunicorn app, forked after its first calls, that calls out through each adapter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quiver.testing import Origin
from tests.support.servers.gunicorn import gunicorn

APP = """
import asyncio, json, os
import httpx, requests
from quiver.adapters.httpx import AsyncHTTP3Transport, HTTP3Transport
from quiver.adapters.requests import HTTP3Adapter

url, cafile = {url!r}, {cafile!r}
session = requests.Session()
session.trust_env = False
session.verify = cafile
session.mount("https://", HTTP3Adapter(fallback=False))
client = httpx.Client(transport=HTTP3Transport(verify=cafile, fallback=False))
transport = AsyncHTTP3Transport(verify=cafile, fallback=False)

async def awaited():
    request = httpx.Request("GET", url + "/items/3")
    response = await transport.handle_async_request(request)
    await response.aread()
    return [response.http_version, response.json()["id"]]

def calls():
    by_requests = session.get(url + "/items/1", timeout=10)
    by_httpx = client.get(url + "/items/2", timeout=10)
    told = [[by_requests.raw.version, by_requests.json()["id"]]]
    told.append([by_httpx.http_version, by_httpx.json()["id"]])
    return told + [asyncio.run(awaited())]  # one at a time: a thread of gevent's has one loop

calls()  # in the arbiter

def app(environ, start_response):
    start_response("200 OK", [("content-type", "application/json")])
    return [json.dumps([os.getpid(), calls()]).encode()]
"""


@pytest.mark.one_in(2)
@pytest.mark.parametrize("worker", ["sync", "gevent"])
def test_each_adapter_in_a_forked_worker(worker: str, origin: Origin, tmp_path: Path) -> None:
    app = APP.format(url=origin.url, cafile=origin.cafile)
    with gunicorn(app, worker, tmp_path) as server:
        for _ in range(5):
            head, _, body = server.ask().partition(b"\r\n\r\n")
            assert b"200 OK" in head, server.log()
            pid, calls = json.loads(body)
            assert calls == [[30, 1], ["HTTP/3", 2], ["HTTP/3", 3]]
            assert pid != server.pid
