"""What a transport takes from the environment: roots as httpx has them, and proxies."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quiver.adapters.httpx import AsyncHTTP3Transport, HTTP3Transport
from quiver.adapters.httpx.environment import Environment
from quiver.errors import InvalidOptions
from quiver.testing import Authority, Origin
from tests.support.servers.connect_proxy import ConnectProxy
from tests.support.servers.http1_backend import backend
from tests.support.servers.http2_origin import Http2Origin

Ask = Callable[..., str]


@pytest.fixture
def ask(library: Any) -> Ask:
    """Asks with the roots of the environment; returns what was spoken."""

    def asked(url: str, **options: Any) -> str:
        with library.Client(transport=HTTP3Transport(**options)) as client:
            version: str = client.get(url).http_version
            return version

    return asked


@pytest.fixture
def folder(authority: Authority, tmp_path: Path) -> str:
    """The authority's root, by the name that OpenSSL looks for."""
    told = ["openssl", "x509", "-noout", "-hash", "-in", authority.cafile]
    name = subprocess.run(told, capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / f"{name}.0").write_bytes(Path(authority.cafile).read_bytes())
    return str(tmp_path)


@pytest.fixture
def stranger(tmp_path: Path) -> str:
    """The root of somebody else."""
    with Authority("somebody else") as other:
        path = tmp_path / "other.pem"
        path.write_bytes(Path(other.cafile).read_bytes())
        return str(path)


@pytest.mark.parametrize("fallback", ["quiver", False, None])
def test_roots_of_a_file(
    fallback: Any, ask: Ask, library: Any, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", origin.cafile)
    assert ask(origin.url + "/ok", fallback=fallback) == "HTTP/3"
    with pytest.raises(library.ConnectError):
        ask(origin.url + "/ok", fallback=fallback, trust_env=False)


def test_roots_of_a_folder(
    ask: Ask, library: Any, folder: str, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    for named in (folder, f"/nowhere:{folder}"):
        monkeypatch.setenv("SSL_CERT_DIR", named)
        assert ask(origin.url + "/ok", fallback=False) == "HTTP/3"
    with pytest.raises(library.ConnectError):
        ask(origin.url + "/ok", fallback=False, trust_env=False)


def test_a_file_goes_before_a_folder(
    *, ask: Ask, library: Any, folder: str, stranger: str, origin: Origin, monkeypatch: Any
) -> None:
    """And in the place of all other roots."""
    monkeypatch.setenv("SSL_CERT_DIR", folder)
    monkeypatch.setenv("SSL_CERT_FILE", stranger)
    with pytest.raises(library.ConnectError, match="certificate"):
        ask(origin.url + "/ok", fallback=False)
    monkeypatch.setenv("SSL_CERT_FILE", "")  # as good as none
    assert ask(origin.url + "/ok", fallback=False) == "HTTP/3"


def test_they_hold_over_our_own_tcp(
    ask: Ask, library: Any, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.cafile)
    with Http2Origin(authority) as server:
        assert ask(server.url + "/ok", fallback="quiver") == "HTTP/2"
        with pytest.raises(library.ConnectError, match="certificate"):
            ask(server.url + "/ok", fallback="quiver", trust_env=False)


def test_roots_that_are_given_go_before(
    ask: Ask, stranger: str, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", stranger)
    pools = {origin.url: {"cafile": origin.cafile}}
    assert ask(origin.url + "/ok", fallback=False, pools=pools) == "HTTP/3"
    assert ask(origin.url + "/ok", fallback=False, verify=origin.cafile) == "HTTP/3"


@pytest.mark.parametrize("make", [HTTP3Transport, AsyncHTTP3Transport])
def test_a_file_that_is_not_there(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/roots.pem")
    with pytest.raises(OSError, match=r"invalid path: /nowhere/roots\.pem"):
        make()
    make(trust_env=False)
    make(verify=False)


# proxies --------------------------------------------------------------------------------------


def test_each_place_is_looked_up_once(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment("mine", trust_env=True, tcp=True)
    url = library.URL("https://a.example/x")
    assert environment.proxy(url) is None
    monkeypatch.setenv("https_proxy", "p.example:1")
    assert environment.proxy(url) is None
    assert environment.proxy(library.URL("https://b.example/")) == "http://p.example:1"
    assert environment.proxy(library.URL("http://b.example/")) is None
    assert Environment("mine", trust_env=False, tcp=True).proxy(url) is None


def test_one_that_is_not_spoken_to_is_refused_each_time(
    library: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("all_proxy", "socks5://p.example:1")
    environment = Environment("mine", trust_env=True, tcp=True)
    for _ in range(2):
        with pytest.raises(InvalidOptions, match="socks5:// proxies are not spoken to"):
            environment.proxy(library.URL("https://a.example/x"))


def test_the_librarys_own_transport_trusts_a_proxy_with_tls_alike(
    ask: Ask, library: Any, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.cafile)
    with backend(authority.issue()) as port, ConnectProxy(authority.issue()) as proxy:
        monkeypatch.setenv("https_proxy", f"https://localhost:{proxy.port}")
        url = f"https://localhost:{port}/back/status/200"
        assert ask(url) == "HTTP/1.1"
        assert proxy.heads[0].startswith(f"CONNECT localhost:{port} ")
        with pytest.raises(library.TransportError):
            ask(url, verify=False, trust_env=False, fallback=False)  # nobody listens over UDP
        assert len(proxy.heads) == 1


def test_a_transport_of_the_programs_own_is_not_sent_through_one(
    library: Any, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its proxy is its own; that HTTP/3 goes directly is said."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    transport = HTTP3Transport(verify=origin.cafile, fallback=library.HTTPTransport())
    told = pytest.warns(UserWarning, match="HTTP3Transport: .* directly")
    with library.Client(transport=transport) as client, told:
        assert client.get(origin.url + "/ok").http_version == "HTTP/3"
