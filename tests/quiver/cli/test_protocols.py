"""The command line over what an origin speaks: curl's options, proxies, and what is told of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from quiver.cli.main import main
from quiver.pool import choice, protocols
from quiver.testing import Authority, LocalOrigin
from tests.support.servers.connect_proxy import ConnectProxy
from tests.support.servers.http1_backend import backend
from tests.support.servers.http2_origin import Http2Origin

WROTE = "%{stderr}%{http_version}"


@pytest.fixture(autouse=True)
def quic_has_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is chosen here is told by no clock."""
    monkeypatch.setattr(choice, "HEAD_START", 60.0)


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[Http2Origin]:
    with Http2Origin(authority) as made:
        yield made


def run(authority: Authority, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--cafile", authority.cafile])


@pytest.mark.parametrize(
    ("options", "version"),
    [((), "2"), (("--http3",), "2"), (("--http2",), "2"), (("--http3-only", "--http2"), "2")],
)
def test_over_tcp(
    authority: Authority, server: Http2Origin, options: tuple[str, ...], version: str
) -> None:
    done = run(authority, "get", server.url + "/ok", "-w", WROTE, *options)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "ok", version)
    assert run(authority, "get", server.url + "/ok", "-I").stdout.startswith("HTTP/2 200\n")


@pytest.mark.parametrize("options", [(), ("--http1.1",), ("--http2",)])
def test_a_server_of_http_1(authority: Authority, options: tuple[str, ...]) -> None:
    with backend(authority.issue()) as port:
        url = f"https://localhost:{port}/back/plain"
        done = run(authority, "get", url, "-w", WROTE, *options)
    assert (done.exit_code, done.stderr) == (0, "1.1")


def test_without_tls(authority: Authority) -> None:
    with backend() as port:
        url = f"http://localhost:{port}/back/plain"
        done = run(authority, "get", url, "-w", WROTE + " %{scheme}")
        assert (done.exit_code, done.stderr) == (0, "1.1 HTTP")
        told = run(authority, "get", url, "-v").stderr
    assert "* no TLS, HTTP/1.1\n" in told and "QUIC version" not in told


def test_http_3_where_it_is_spoken(authority: Authority, server: Http2Origin) -> None:
    before = len(server.peers)
    with LocalOrigin(authority=authority, port=server.port):
        for options, version in [((), "3"), (("--http3-only",), "3"), (("--http2",), "2")]:
            done = run(authority, "get", server.url + "/ok", "-w", WROTE, *options)
            assert (done.exit_code, done.stderr) == (0, version)
    assert len(server.peers) == before + 1


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--http3-only",), 4, "connection refused"),
        (("--http3-only", "-x", "http://127.0.0.1:1"), 2, "--proxy"),
        (("-x", "socks5://127.0.0.1:1"), 2, "socks5:// proxies are not spoken to"),
    ],
)
def test_what_cannot_be(
    authority: Authority, server: Http2Origin, options: tuple[str, ...], status: int, said: str
) -> None:
    done = run(authority, "get", server.url + "/ok", *options)
    assert (done.exit_code, done.stdout) == (status, "")
    assert said in done.stderr and "Traceback" not in done.stderr


def test_both_ways_that_failed_are_told(authority: Authority) -> None:
    with Http2Origin(authority) as gone:
        url = gone.url
    done = run(authority, "get", url)
    said = "connection refused: nobody listens there"
    assert done.exit_code == 4
    assert done.stderr == f"quiver: {url}: {said}\nquiver: over TCP: {said}\n"


def test_the_story_says_what_was_chosen_and_why(authority: Authority, server: Http2Origin) -> None:
    told = run(authority, "get", server.url + "/ok", "-v").stderr
    place = f"* {server.url}: trying 127.0.0.1:{server.port} over "
    assert f"{place}QUIC: nothing says otherwise\n" in told
    assert f"{place}TCP: what goes first is not there yet\n" in told
    assert "* HTTP/3 was not there first: connection refused: nobody listens there\n" in told
    assert "* TLSv1.3, ALPN h2, " in told and "< HTTP/2 200\n" in told


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    monkeypatch.setattr(protocols, "missing_for_tcp", lambda: "h2")
    done = run(authority, "get", "https://localhost/", "--http2")
    assert done.exit_code == 2
    assert "--http2" in done.stderr and "pip install 'quiver-http3[tcp]'" in done.stderr


def test_through_a_proxy(
    authority: Authority, server: Http2Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["get", server.url + "/ok", "-w", WROTE]
    with ConnectProxy(authorization="Basic bWU6cHc=") as proxy:
        named = f"http://me:pw@127.0.0.1:{proxy.port}"
        done = run(authority, *asked, "--proxy", named)
        assert (done.exit_code, done.stderr) == (0, "2")
        monkeypatch.setenv("https_proxy", named)
        assert run(authority, *asked).exit_code == 0 and len(proxy.heads) == 2
        assert run(authority, *asked, "--no-trust-env").exit_code == 0 and len(proxy.heads) == 2
        alone = run(authority, *asked, "--http3-only")
        assert alone.exit_code == 4 and "HTTP/3 goes through none" in alone.stderr
        refused = run(authority, *asked, "-x", f"http://127.0.0.1:{proxy.port}")
    assert refused.exit_code == 7 and "it wants credentials" in refused.stderr
    assert "pw@" not in alone.stderr + refused.stderr


def test_a_load_tells_what_it_was(authority: Authority, server: Http2Origin) -> None:
    asked = ["bench", server.url + "/ok", "-n", "20", "-c", "2"]
    told = json.loads(run(authority, *asked, "--json").stdout)
    assert told["http_versions"] == {"HTTP/2": 20}
    assert "by HTTP/2" in run(authority, *asked).stdout
