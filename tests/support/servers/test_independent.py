"""The independent servers, and what they can, seen by the bare client."""

from __future__ import annotations

import contextlib
import socket

import pytest

from quiver.testing import Authority
from tests.support.clients.bare import BareClient
from tests.support.servers.independent import LARGE, SERVERS, Gtls, StaticServer, _found, free_port


@pytest.mark.parametrize("kind", SERVERS)
def test_serves(kind: type[StaticServer], authority: Authority) -> None:
    with kind(authority) as server, BareClient(server.port, server.cafile) as client:
        assert client.get("/small").body == b"ok"
        assert client.get("/large").body == LARGE
        assert client.request("HEAD", "/large").body == b""
        assert client.get("/missing").status == 404
        if server.can_echo:
            assert client.request("POST", "/echo", body=b"back").body == b"back"


@pytest.mark.parametrize("kind", SERVERS)
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
