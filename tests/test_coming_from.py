"""The guide for those who come from another library: its lines run, and its tables hold.

What has to do with a library that is not installed is skipped: niquests and curl_cffi come with the
extra bench, and no tests need them.
"""

from __future__ import annotations

import gc
import gzip
import importlib
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import requests

import quiver
from quiver.adapters.httpx import HTTP3Transport
from quiver.adapters.requests import HTTP3Adapter
from quiver.config import PoolConfig
from quiver.pool_options import ClientOptions
from quiver.testing import Authority, LocalOrigin
from tests.support.servers.both_protocols import both_protocols

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "guides" / "coming-from.md"
TEXT: Final = PAGE.read_text(encoding="utf-8")

ITEM, ITEMS = "{'id': 42}", "[{'id': 0}, {'id': 1}, {'id': 2}]"
PRINTED: Final = {
    "requests": [ITEM] * 3,
    "httpx": [ITEMS] * 3,
    "niquests": [ITEM, ITEMS] * 2,
    "aioquic": ["""b'{"id": 42}'"""] * 2,
    "curl_cffi": [ITEM] * 2,
    "urllib3": ["200 " + ITEM] * 2,
}


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[LocalOrigin]:
    with both_protocols(authority) as origin:
        origin.route("/redirect")(lambda asked: (302, {"location": "/items/42"}, b""))
        origin.route("/cookie")(lambda asked: (200, {"set-cookie": "a=1; Path=/"}, b""))
        origin.route("/zipped")(
            lambda asked: (200, {"content-encoding": "gzip"}, gzip.compress(b"plain"))
        )
        yield origin
    with warnings.catch_warnings():  # niquests leaves a socket to the garbage collector
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(autouse=True)
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the names that one of them or another heeds."""
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, authority.cafile)


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_each_library_has_a_section() -> None:
    titles = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    assert set(titles) - {"What a client leaves out"} == set(PRINTED)
    assert len(re.findall("^```python$", TEXT, re.MULTILINE)) == sum(
        section(title).count("```python") for title in PRINTED
    )


@pytest.mark.parametrize("library", PRINTED)
def test_the_lines_run(
    library: str, server: LocalOrigin, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(library)
    namespace: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", section(library), re.DOTALL):
        code = block.replace("4443", str(server.port))
        exec(compile(code, PAGE.name, "exec"), namespace)
    assert capsys.readouterr().out.splitlines() == PRINTED[library]


# The table of defaults: what each does, asked of the server, beside what the page says of it.

Ask = Callable[[str], tuple[int, bytes]]


def by_session(library: str, **options: Any) -> Iterator[Ask]:
    with importlib.import_module(library).Session(**options) as session:
        yield lambda url: (lambda got: (got.status_code, got.content))(session.get(url))


def by_requests(adapter: bool = False) -> Iterator[Ask]:
    with requests.Session() as session:
        if adapter:
            session.mount("https://", HTTP3Adapter(fallback=False))
        yield lambda url: (lambda got: (got.status_code, got.content))(session.get(url))


def by_httpx(adapter: bool = False) -> Iterator[Ask]:
    transport = HTTP3Transport(fallback=False) if adapter else None
    with httpx.Client(transport=transport) as client:
        yield lambda url: (lambda got: (got.status_code, got.content))(client.get(url))


def by_quiver() -> Iterator[Ask]:
    with quiver.Client() as client:
        yield lambda url: (lambda got: (got.status, got.body))(client.get(url))


WAYS: Final[dict[str, tuple[str, Callable[[], Iterator[Ask]]]]] = {
    "requests": ("requests", by_requests),
    "HTTP3Adapter": ("requests", lambda: by_requests(adapter=True)),
    "httpx": ("httpx", by_httpx),
    "HTTP3Transport": ("httpx", lambda: by_httpx(adapter=True)),
    "niquests": ("niquests", lambda: by_session("niquests")),
    "quiver.Client": ("quiver.Client", by_quiver),
}


@pytest.fixture(params=WAYS)
def asked_by(request: pytest.FixtureRequest) -> Iterator[tuple[str, Ask]]:
    """The column of the page, and a function that asks."""
    column, way = WAYS[request.param]
    pytest.importorskip(column.partition(".")[0])
    opened = way()
    yield column, next(opened)
    next(opened, None)


def said(row: str, column: str) -> str:
    """What stands in the table."""
    lines = [line for line in section("What a client leaves out").splitlines() if "|" in line]
    cells = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]
    found = next(cells_ for cells_ in cells if cells_[0] == row)
    return found[cells[0].index(column)]


def test_redirects(asked_by: tuple[str, Ask], server: LocalOrigin) -> None:
    column, ask = asked_by
    status, _ = ask(server.url + "/redirect")
    assert said("redirects", column).startswith("followed" if status == 200 else "not followed")


def test_cookies(asked_by: tuple[str, Ask], server: LocalOrigin) -> None:
    column, ask = asked_by
    ask(server.url + "/cookie")
    _, fields = ask(server.url + "/headers")
    assert said("cookies", column).startswith("kept" if b"a=1" in fields else "not kept")


def test_content_encoding(asked_by: tuple[str, Ask], server: LocalOrigin) -> None:
    column, ask = asked_by
    _, body = ask(server.url + "/zipped")
    _, fields = ask(server.url + "/headers")
    assert (body == b"plain") == (b"accept-encoding" in fields)
    assert (said("content-encoding", column) == "asked for, undone") == (body == b"plain")


def test_netrc(
    asked_by: tuple[str, Ask],
    server: LocalOrigin,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    column, ask = asked_by
    file = tmp_path / "netrc"
    file.write_text("machine localhost\nlogin me\npassword secret\n")
    monkeypatch.setenv("NETRC", str(file))
    _, fields = ask(server.url + "/headers?asked=anew")  # niquests remembers what it prepared
    assert said(".netrc", column) == ("read" if b"authorization" in fields else "not read")


def test_time_limits() -> None:
    config = PoolConfig()
    limits = config.connect_timeout, config.checkout_timeout, config.receive_timeout
    assert limits == (5.0, 5.0, 15.0)
    assert config.timeout is None
    assert httpx.Client().timeout == httpx.Timeout(5.0)


def test_names_on_the_right_are_there() -> None:
    named = set(re.findall(r"`(?:await )?quiver\.(\w+)", TEXT)) - {"testing"}
    assert sorted(name for name in named if not hasattr(quiver, name)) == []
    for keywords in re.findall(r"`Client\(([a-z][^`]*)\)`", TEXT):
        for name in re.findall(r"(\w+)=", keywords):
            of_client = ("pools", *ClientOptions.__annotations__)
            assert hasattr(PoolConfig(), name) or name in of_client, name
