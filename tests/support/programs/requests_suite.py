"""A plugin for requests' own tests, which has them use our adapter, or theirs, and other servers.

The environment tells: SUITE_ADAPTER, `quiver`, the same with a way back that is ours (`over
quivers`), or `stock`; SUITE_HTTP and SUITE_HTTPS, the URLs that
stand for httpbin's; SUITE_CAFILE, the root of the latter; SUITE_TRUSTED, empty unless it is
trusted by default; and SUITE_REPORT, the file for what came of it: `failed`, how each test failed
that did, and `versions`, how many responses had which version of HTTP.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests
from requests import adapters, sessions

from quiver.adapters.requests import HTTP3Adapter

CAFILE = os.environ["SUITE_CAFILE"]
failed: dict[str, str] = {}
versions: Counter[str] = Counter()


class OverQuivers(HTTP3Adapter):
    """With a way back that is ours."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, fallback="quiver", **options)


OURS = {"quiver": HTTP3Adapter, "over quivers": OverQuivers}


class Server:
    """What pytest-httpbin would give."""

    def __init__(self, url: str) -> None:
        self.url = url


@pytest.fixture(scope="session")
def httpbin() -> Server:
    return Server(os.environ["SUITE_HTTP"])


@pytest.fixture(scope="session")
def httpbin_secure() -> Server:
    return Server(os.environ["SUITE_HTTPS"])


@pytest.fixture
def httpbin_ca_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", CAFILE)


def pytest_configure() -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        os.environ.pop(name, None)
    modules: tuple[Any, Any] = (adapters, sessions)
    if os.environ["SUITE_TRUSTED"]:
        os.environ["SSL_CERT_FILE"] = modules[0].DEFAULT_CA_BUNDLE_PATH = CAFILE
    for module in modules:
        module.HTTPAdapter = OURS.get(os.environ["SUITE_ADAPTER"], module.HTTPAdapter)
    send = sessions.Session.send

    def counted(self: requests.Session, *given: Any, **options: Any) -> requests.Response:
        response = send(self, *given, **options)
        versions[str(getattr(response.raw, "version", None))] += 1
        return response

    sessions.Session.send = counted  # type: ignore[method-assign]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        failed[report.nodeid] = str(report.longrepr)[-2_000:]


def pytest_sessionfinish() -> None:
    told = {"failed": failed, "versions": versions}
    Path(os.environ["SUITE_REPORT"]).write_text(json.dumps(told), encoding="utf-8")
