"""The independent servers, and what they can, seen by the bare client."""

from __future__ import annotations

import contextlib
import importlib.util
import socket
import sysconfig
from pathlib import Path

import pytest

from quiver.testing import Authority
from tests.support.clients.bare import BareClient
from tests.support.servers.independent import LARGE, SERVERS, Gtls, StaticServer, _found, free_port
from tests.support.servers.packaged import PACKAGED, CurrentCaddy

ALL = (*SERVERS, *PACKAGED)


@pytest.mark.parametrize("kind", ALL)
def test_serves(kind: type[StaticServer], authority: Authority) -> None:
    with kind(authority) as server, BareClient(server.port, server.cafile) as client:
        assert client.get("/small").body == b"ok"
        assert client.get("/large").body == LARGE
        assert client.request("HEAD", "/large").body == b""
        assert client.get("/missing").status == 404
        if server.can_echo:
            assert client.request("POST", "/echo", body=b"back").body == b"back"


@pytest.mark.parametrize("kind", ALL)
def test_killed_restarted_suspended(kind: type[StaticServer], authority: Authority) -> None:
    with kind(authority) as server:
        port = server.port
        server.kill()
        with pytest.raises(ConnectionRefusedError):
            BareClient(port, server.cafile)
        server.restart()
        with BareClient(port, server.cafile) as client:
            server.suspend()
            stream_id = client.ask("/small")
            with pytest.raises(TimeoutError):
                client.wait(stream_id, timeout=0.2)
            server.resume()
            assert client.wait(stream_id).body == b"ok"


def test_flags_reach_the_server(authority: Authority) -> None:
    flagged = Gtls(authority, "-V", "--tx-loss=0.02")
    with flagged as server, BareClient(server.port, server.cafile) as client:
        assert client.get("/small").body == b"ok"


@pytest.mark.parametrize("kind", PACKAGED)
def test_one_of_a_package_is_skipped_where_there_is_no_wheel(
    kind: type[StaticServer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.delenv("QUIVER_REQUIRE_SERVERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="is not installed"):
        kind.locate()
    monkeypatch.setenv("QUIVER_REQUIRE_SERVERS", "1")
    with pytest.raises(pytest.fail.Exception):
        kind.locate()


def test_the_system_s_is_not_the_package_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also where the environment is on the path, as in tox."""
    for place in (tmp_path / "ours", tmp_path / "system"):
        place.mkdir()
        (place / "caddy").write_text("")
        (place / "caddy").chmod(0o755)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path / "ours"))
    monkeypatch.setenv("PATH", f"{tmp_path}/ours:{tmp_path}/system")
    assert _found("caddy") == f"{tmp_path}/system/caddy"
    assert CurrentCaddy.locate() == f"{tmp_path}/ours/caddy"


def test_a_missing_server_skips_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUIVER_REQUIRE_SERVERS", raising=False)
    with pytest.raises(pytest.skip.Exception):
        _found("no-such-server")
    monkeypatch.setenv("QUIVER_REQUIRE_SERVERS", "1")
    with pytest.raises(pytest.fail.Exception):
        _found("no-such-server")


def test_a_free_port_is_found_among_many_that_udp_has() -> None:
    with contextlib.ExitStack() as stack:
        taken = set()
        for _ in range(500):
            made = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            made.bind(("127.0.0.1", 0))
            taken.add(made.getsockname()[1])
        for _ in range(1_000):
            assert free_port() not in taken
