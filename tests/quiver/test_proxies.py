"""Proxies of the environment: nobody goes around one without a word."""

from __future__ import annotations

import asyncio
import socket
import threading
import warnings
from collections.abc import Iterator

import httpx
import pytest
import requests

import quiver
from quiver.adapters.httpx import AsyncHTTP3Transport, HTTP3Transport
from quiver.adapters.requests import HTTP3Adapter
from quiver.proxies import ProxyNotice, notice, proxy_for
from quiver.testing import Authority, Origin
from tests.support.programs.quiver_command import run

PROXY = "http://user:s3cret@proxy.example:3128"


@pytest.fixture
def second(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", PROXY)


def test_of_two_threads_at_once_one_warns(
    environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)

    def looked_at(scheme: str, authority: str) -> str | None:
        both.wait(10.0)
        return notice(scheme, authority)

    monkeypatch.setattr("quiver.proxies.notice", looked_at)
    proxies = ProxyNotice("mine", trust_env=True)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        threads = [threading.Thread(target=proxies.look, args=("https", each)) for each in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10.0)
    assert len(told) == 1


def test_a_proxy_does_not_steer_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://p\x1b[2J:1")
    assert r"http://p\x1b[2J:1 for" in (notice("https", "h") or "")


@pytest.mark.parametrize(
    ("named", "authority", "proxy"),
    [
        ({}, "h", None),
        ({"https_proxy": "http://p:1"}, "h", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "h", "http://p:1"),
        ({"ALL_PROXY": "socks5://p:1"}, "h:8443", "socks5://p:1"),
        ({"http_proxy": "http://p:1"}, "h", None),
        ({"https_proxy": ""}, "h", None),
        ({"https_proxy": "http://p:1", "no_proxy": "*"}, "h", None),
        ({"https_proxy": "http://p:1", "no_proxy": "example"}, "a.example:8443", None),
        ({"https_proxy": "http://p:1", "no_proxy": "a.example:8443"}, "a.example:8443", None),
        ({"https_proxy": "http://p:1", "no_proxy": "a.example:8443"}, "a.example", "http://p:1"),
        ({"https_proxy": "http://p:1", "NO_PROXY": "b.example, h"}, "h", None),
        ({"no_proxy": "h"}, "h", None),
    ],
)
def test_by_the_rules_of_urllib(
    named: dict[str, str], authority: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    assert proxy_for("https", authority) == proxy


def test_what_is_said_has_no_password(environment: None) -> None:
    said = notice("https", "h:8443")
    assert said is not None and "https://h:8443" in said and "***@proxy.example:3128" in said
    assert "s3cret" not in said


def test_it_is_said_once(environment: None) -> None:
    proxies = ProxyNotice("one", trust_env=True)
    said = "^one: .*proxy.*directly.*trust_env=False"
    with pytest.warns(UserWarning, match=said) as told:  # noqa: PT031 - one for all
        for host in "abc":
            proxies.look("https", host)
    assert len(told) == 1
    ProxyNotice("another", trust_env=False).look("https", "a")


def test_a_client_warns_once_and_goes_directly(
    environment: None, origin: Origin, second: Origin
) -> None:
    rule = {"default": {"cafile": origin.cafile}}
    with quiver.Client(pools=rule, name="mine", protocols=("h3",)) as client:
        with pytest.warns(UserWarning, match=r"^mine: .*proxy") as told:  # noqa: PT031 - one for all
            for url in (origin.url, origin.url, second.url):
                assert client.get(url + "/ok").status == 200
        assert [each.filename for each in told] == [__file__]
    with quiver.Client(pools=rule, trust_env=False) as client, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert client.get(origin.url + "/ok").status == 200


def test_no_word_of_what_is_excepted(
    environment: None, monkeypatch: pytest.MonkeyPatch, client: quiver.Client, origin: Origin
) -> None:
    monkeypatch.setenv("no_proxy", "localhost")
    assert client.get(origin.url + "/ok").status == 200


def test_a_transport_of_httpx_warns_once(environment: None, origin: Origin) -> None:
    pools = {"default": {"cafile": origin.cafile}}

    async def ask(trust_env: bool) -> None:
        transport = AsyncHTTP3Transport(pools=pools, fallback=False, trust_env=trust_env)
        async with httpx.AsyncClient(transport=transport) as client:
            for _ in range(2):
                assert (await client.get(origin.url + "/ok")).status_code == 200

    def ask_too(trust_env: bool) -> None:
        transport = HTTP3Transport(pools=pools, fallback=False, trust_env=trust_env)
        with httpx.Client(transport=transport) as client:
            for _ in range(2):
                assert client.get(origin.url + "/ok").status_code == 200

    with pytest.warns(UserWarning, match="HTTP3Transport: ") as told:  # noqa: PT031
        ask_too(True)
        assert [each.filename for each in told] == [__file__]
        asyncio.run(ask(True))
    assert len(told) == 2, "one each"
    ask_too(False)
    asyncio.run(ask(False))


# those that are gone through, over TCP ----------------------------------------------------------


class Refusing:
    """A proxy that lets nobody through, and keeps the first line of what it was asked."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.asked: list[str] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            with connection, connection.makefile("rb") as lines:
                asked = lines.readline().decode()
                if not asked:
                    return
                while lines.readline().strip():
                    pass  # the rest of its head: what was not read would reset the connection
                self.asked.append(asked.strip())
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    def close(self) -> None:
        socket.create_connection(self._listening.getsockname()).close()
        self._thread.join()
        self._listening.close()


@pytest.fixture
def refusing() -> Iterator[Refusing]:
    proxy = Refusing()
    yield proxy
    proxy.close()


@pytest.mark.parametrize("way", ["proxy", "mounts"])
def test_one_that_is_given_to_httpx_is_gone_through(
    way: str, refusing: Refusing, origin: Origin
) -> None:
    pools = {"default": {"cafile": origin.cafile}}
    with HTTP3Transport(pools=pools, fallback=False) as transport:
        if way == "proxy":
            client = httpx.Client(transport=transport, proxy=refusing.url)
        else:
            mounts = {"https://": httpx.HTTPTransport(proxy=refusing.url)}
            client = httpx.Client(transport=transport, mounts=mounts)
        with client, pytest.raises(httpx.ProxyError):
            client.get(origin.url + "/ok")
    assert refusing.asked == [f"CONNECT localhost:{origin.port} HTTP/1.1"]
    assert origin.requests_served() == 0


@pytest.mark.parametrize("named_by", ["environment", "session", "call"])
def test_a_session_of_requests_goes_through_one(
    named_by: str, refusing: Refusing, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    with requests.Session() as session:
        session.mount("https://", HTTP3Adapter(pools={"default": {}}))
        session.verify = origin.cafile
        proxies = {"https": refusing.url}
        if named_by == "environment":
            monkeypatch.setenv("https_proxy", refusing.url)
        elif named_by == "session":
            session.proxies = proxies
        with pytest.raises(requests.exceptions.ProxyError):
            session.get(origin.url + "/ok", proxies=proxies if named_by == "call" else None)
        assert len(refusing.asked) == 1 and refusing.asked[0].startswith("CONNECT localhost:")
        assert origin.requests_served() == 0
        if named_by == "environment":
            session.trust_env = False
            assert session.get(origin.url + "/ok").raw.version == 30


# the command line -------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.one_in(2)
@pytest.mark.parametrize("command", [("get",), ("bench", "-n", "1")])
def test_the_command_line_says_so_in_a_line(
    command: tuple[str, ...], environment: None, origin: Origin
) -> None:
    asked = (*command, "--http3-only", "--cafile", origin.cafile, origin.url + "/ok")
    done = run(*asked)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("quiver: warning: ") and "s3cret" not in line
    assert run(*asked, "--no-trust-env").stderr == ""


@pytest.mark.long
def test_the_command_line_goes_through_it_over_tcp(environment: None, origin: Origin) -> None:
    done = run("get", "--cafile", origin.cafile, origin.url + "/ok")
    assert done.returncode != 0
    assert "'proxy.example' cannot be resolved" in done.stderr and "s3cret" not in done.stderr
    assert origin.requests_served() == 0
