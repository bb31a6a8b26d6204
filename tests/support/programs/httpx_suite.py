"""A plugin for httpx's own tests: their server stands behind Caddy, and clients go to that.

A client that is given no transport gets ours, or the library's own.

It is told by the environment: SUITE_LIBRARY `httpx`, or `httpx2` to go by that name;
SUITE_TRANSPORT `quiver` or `stock`; SUITE_URL of Caddy, SUITE_CAFILE of its root, SUITE_PORT where
Caddy looks for the tests' server; SUITE_REPORT the file for what came of it: `passed` and `failed`,
names of tests, and `versions`, how many responses came over which protocol.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import ssl
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

if os.environ["SUITE_LIBRARY"] == "httpx2":
    importlib.import_module("httpx2").alias_httpx()
httpx: Any = importlib.import_module("httpx")
transports: Any = importlib.import_module("quiver.adapters.httpx")

URL, CAFILE = os.environ["SUITE_URL"], os.environ["SUITE_CAFILE"]
OF_TCP = {"http1", "http2", "limits", "trust_env"}  # options of a client for its transport

passed: list[str] = []
failed: dict[str, str] = {}
versions: Counter[str] = Counter()


class Counting(transports.HTTP3Transport):  # type: ignore[misc]
    def handle_request(self, request: Any) -> Any:
        response = super().handle_request(request)
        versions[response.http_version] += 1
        return response


class AsyncCounting(transports.AsyncHTTP3Transport):  # type: ignore[misc]
    async def handle_async_request(self, request: Any) -> Any:
        response = await super().handle_async_request(request)
        versions[response.http_version] += 1
        return response


def _give(client: Any, ours: Any, theirs: Any) -> None:
    def made(
        _: Any, verify: Any = True, cert: Any = None, transport: Any = None, **options: Any
    ) -> Any:
        if transport is not None:
            return transport
        if verify is True:
            verify = ssl.create_default_context(cafile=CAFILE)
        kept = {name: value for name, value in options.items() if name in OF_TCP}
        tcp = theirs(verify=verify, cert=cert, **kept)
        if os.environ["SUITE_TRANSPORT"] == "stock":
            return tcp
        return ours(verify=verify, cert=cert, fallback=tcp)

    client._init_transport = made


_give(httpx.Client, Counting, httpx.HTTPTransport)
_give(httpx.AsyncClient, AsyncCounting, httpx.AsyncHTTPTransport)


def pytest_collection_modifyitems() -> None:
    """Have the tests' server where Caddy looks for it, and known by Caddy's URL."""
    conftest: Any = sys.modules["tests.conftest"]
    conftest.Config = functools.partial(conftest.Config, port=int(os.environ["SUITE_PORT"]))
    conftest.TestServer.url = property(lambda _: httpx.URL(URL + "/"))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        failed[report.nodeid] = str(report.longrepr)[-2_000:]
    elif report.when == "call" and report.passed:
        passed.append(report.nodeid)


def pytest_sessionfinish() -> None:
    told = {"passed": passed, "failed": failed, "versions": versions}
    Path(os.environ["SUITE_REPORT"]).write_text(json.dumps(told), encoding="utf-8")
