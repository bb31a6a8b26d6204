"""A certificate of our own, shown to a server that asks for one: `certfile`, `cert=`."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import requests
from click.testing import CliRunner

import quiver
from quiver import telemetry
from quiver.adapters.httpx import HTTP3Transport
from quiver.adapters.policy import Policy
from quiver.adapters.requests import HTTP3Adapter
from quiver.cli.main import main
from quiver.testing import Authority
from tests.support.servers.independent import Caddy, Gtls

_ASKS = "{\n    client_auth {\n      mode require\n    }\n  }"
# Over HTTP/3 this Caddy does not know the name that TLS was asked for, and would answer 421.
_ANY_HOST = "servers {\n    strict_sni_host insecure_off\n  }"


class Asking(Caddy):
    """Answers nobody who has no certificate."""

    def __init__(self, authority: Authority) -> None:
        super().__init__(authority, tls=_ASKS, options=_ANY_HOST)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[Asking]:
    with Asking(authority) as started:
        yield started


@pytest.fixture(scope="module")
def own(authority: Authority) -> tuple[str, str]:
    return authority.issue()


def get(server: Asking, protocol: str = "h3", **options: str) -> quiver.Response:
    pools = {"default": {"cafile": server.cafile, **options}}
    with quiver.Client(pools=pools, protocols=(protocol,)) as client:
        return client.get(server.url + "/small", timeout=10.0)


PROTOCOLS = {"h3": "HTTP/3", "h2": "HTTP/2", "http/1.1": "HTTP/1.1"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_in_two_files_or_in_one(
    protocol: str, server: Asking, own: tuple[str, str], tmp_path: Path
) -> None:
    answer = get(server, protocol, certfile=own[0], keyfile=own[1])
    assert (answer.body, answer.http_version) == (b"ok", PROTOCOLS[protocol])
    both = tmp_path / "both.pem"
    both.write_bytes(Path(own[0]).read_bytes() + Path(own[1]).read_bytes())
    assert get(server, protocol, certfile=str(both)).body == b"ok"


def test_on_the_command_line(server: Asking, own: tuple[str, str]) -> None:
    asked = ["get", server.url + "/small", "--cafile", server.cafile, "--timeout", "10"]
    done = CliRunner().invoke(main, [*asked, "--cert", own[0], "--key", own[1]])
    assert (done.exit_code, done.stdout) == (0, "ok")
    assert CliRunner().invoke(main, asked).exit_code == 7


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_none(server: Asking, protocol: str) -> None:
    with pytest.raises(quiver.QuiverError) as caught:
        get(server, protocol)
    assert isinstance(caught.value, ConnectionError), repr(caught.value)


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
def test_none_over_tcp_says_what_to_set(server: Asking, protocol: str) -> None:
    with pytest.raises(quiver.HandshakeFailed, match="set certfile"):
        get(server, protocol)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["keyfile"], "keyfile without certfile"),
        (["certfile"], "it holds no key"),
        (["certfile", "keyfile"], "must be PEM"),
    ],
)
def test_what_is_no_certificate(
    options: list[str], said: str, server: Asking, own: tuple[str, str], tmp_path: Path
) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    given = dict.fromkeys(options, own[0] if len(options) == 1 else str(empty))
    with pytest.raises(quiver.InvalidOptions, match=said):
        get(server, **given)


def test_by_the_adapters(server: Asking, own: tuple[str, str]) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", HTTP3Adapter(fallback=False))
        session.verify = server.cafile
        response = session.get(server.url + "/small", cert=own, timeout=10)
        assert (response.content, response.raw.version) == (b"ok", 30)
        with pytest.raises(requests.ConnectionError):
            session.get(server.url + "/small", timeout=10)
    transport = HTTP3Transport(verify=server.cafile, cert=own, fallback=False)
    with httpx.Client(transport=transport) as client:
        assert client.get(server.url + "/small").http_version == "HTTP/3"


class Requiring(Gtls):
    """Takes any certificate of ours, but wants one, and says so as TLS has it."""

    def __init__(self, authority: Authority) -> None:
        super().__init__(authority, "--verify-client")

    def _answers(self) -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.1)
            try:
                probe.connect(("127.0.0.1", self.port))
                probe.send(b"?")
                probe.recv(1)
            except TimeoutError:  # somebody is there, who does not answer to that
                return True
            except OSError:
                return False
        return True


@pytest.fixture(scope="module")
def gtls(authority: Authority) -> Iterator[Requiring]:
    with Requiring(authority) as started:
        yield started


def test_one_that_is_required_is_named(gtls: Requiring, own: tuple[str, str]) -> None:
    dials: list[str] = []
    rule = {"cafile": gtls.cafile, "max_connections": 1}
    telemetry.attach(__name__, ("connection.start",), lambda event, *_: dials.append(event))
    try:
        with quiver.Client(pools={"default": rule}) as client:
            for _ in range(20):
                with pytest.raises(quiver.HandshakeFailed, match="certificate_required") as caught:
                    client.get(gtls.url + "/small", timeout=10.0)
                assert caught.value.unprocessed and "set certfile" in str(caught.value)
            assert len(dials) < 10
    finally:
        telemetry.detach(__name__)
    shown = {"certfile": own[0], "keyfile": own[1], "cafile": gtls.cafile}
    with quiver.Client(pools={"default": shown}) as client:
        assert client.get(gtls.url + "/small", timeout=10.0).body == b"ok"


def test_the_adapters_tell_it_as_tls_would(gtls: Requiring) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", HTTP3Adapter(fallback=False))
        session.verify = gtls.cafile
        with pytest.raises(requests.exceptions.SSLError, match="set certfile"):
            session.get(gtls.url + "/small", timeout=10)


def test_the_adapters_show_it_over_our_own_tcp(server: Asking, own: tuple[str, str]) -> None:
    """By the same option; nothing has said that HTTP/3 is spoken there."""
    url, policy = server.url + "/small", Policy("alt-svc")
    with requests.Session() as session:
        session.trust_env, session.verify = False, server.cafile
        session.mount("https://", HTTP3Adapter(policy=policy, fallback="quiver"))
        with pytest.raises(requests.ConnectionError):
            session.get(url)
        assert session.get(url, cert=own).raw.version == 20
    policy = Policy("alt-svc")
    transport = HTTP3Transport(verify=server.cafile, cert=own, policy=policy, fallback="quiver")
    with httpx.Client(transport=transport) as client:
        assert client.get(url).http_version == "HTTP/2"
