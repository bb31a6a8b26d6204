"""The lines of a connection's story, event by event."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography import x509

import quiver
from quiver.cli.verbose_log import certificate_lines, lines_of
from quiver.models import Handshake
from quiver.testing import Authority
from tests.support.certificate_chains import LEAF, chain_of, changed, der, key_of

HANDSHAKE = Handshake("1", "h3", "AES_128_GCM_SHA256", None, 30.0, 100, 0)
READY = {"address": ("::1", 443), "local": ("::1", 5000), "alternative": None, "behind": ()}


def lines(event: str, measured: dict[str, Any], **about: Any) -> list[str]:
    return list(lines_of(f"connection.{event}", measured, {"origin": "https://a", **about}))


def test_addresses_of_both_families() -> None:
    told = lines("attempt", {}, address=("127.0.0.1", 443), lane="http/3", why="", proxy=None)
    assert told == ["https://a: trying 127.0.0.1:443 over QUIC"]
    told = lines("attempt", {}, address=("::1", 443), lane="tcp", why="it is so", proxy=None)
    assert told == ["https://a: trying [::1]:443 over TCP: it is so"]
    told = lines("attempt", {}, address=("::1", 8080), lane="tcp", why="", proxy="http://p:8080")
    assert told == ["https://a: trying [::1]:8080, the proxy http://p:8080, over TCP"]


def test_what_was_chosen() -> None:
    about = {**READY, "behind": (("tcp", ""), ("http/3", "it was silent")), "alternative": "b:1"}
    told = lines("ready", {"duration": 0.0, "max_streams": 100}, handshake=HANDSHAKE, **about)
    assert told[1:4] == [
        "which is the origin's alternative service b:1",
        "TCP was not there first: it had just begun",
        "HTTP/3 was not there first: it was silent",
    ]


def test_a_handshake_over_tcp() -> None:
    over_tcp = attrs.evolve(HANDSHAKE, version="TLSv1.3", alpn="h2")
    told = lines("ready", {"duration": 0.0, "max_streams": 100}, handshake=over_tcp, **READY)
    assert told[2:] == ["TLSv1.3, ALPN h2, AES_128_GCM_SHA256"]
    plain = attrs.evolve(HANDSHAKE, version="", alpn="http/1.1", cipher="")
    told = lines("ready", {"duration": 0.0, "max_streams": 1}, handshake=plain, **READY)
    assert told[2:] == ["no TLS, HTTP/1.1"]


def test_a_handshake_without_certificate_and_datagrams() -> None:
    told = lines("ready", {"duration": 0.0123, "max_streams": 100}, handshake=HANDSHAKE, **READY)
    assert told == [
        "connected from [::1]:5000 to [::1]:443",
        "handshake took 12.3 ms, with name resolution",
        "QUIC version 1, ALPN h3, AES_128_GCM_SHA256",
        "100 streams to begin with, datagrams off, idle timeout 30 s",
    ]
    offered = attrs.evolve(HANDSHAKE, max_datagram_frame_size=1200, resumed=True)
    told = lines("ready", {"duration": 1.0, "max_streams": 1}, handshake=offered, **READY)
    assert "datagrams of up to 1200 bytes" in told[-1]
    assert told[3].startswith("session resumed by a ticket")
    early = attrs.evolve(offered, early=True)
    told = lines("ready", {"duration": 1.0, "max_streams": 1}, handshake=early, **READY)
    assert told[3].startswith("early data accepted") and told[4].startswith("session resumed")


@pytest.mark.parametrize(("allowed", "said"), [(True, "with"), (False, "without")])
def test_a_ticket(allowed: bool, said: str) -> None:
    told = lines("ticket", {"lifetime": 86_400.0}, early_data=allowed)
    assert told == [f"a ticket to resume the session by, for 86400 s, {said} early data"]


@pytest.mark.parametrize("settings", [{}, {"H3_DATAGRAM": 1, "0x4242": 7}])
def test_settings(settings: dict[str, int]) -> None:
    shown = ", ".join(f"{name}={value}" for name, value in settings.items()) or "none"
    assert lines("settings", {}, settings=settings, http_version="HTTP/3") == [
        f"the server's settings: {shown}"
    ]


def test_ends() -> None:
    measured = {"duration": 1.5, "requests": 3}
    over = "connection over after 1.50 s, 3 streams"
    assert lines("draining", {"active": 0}, reason="it was idle")[0].endswith(": it was idle")
    assert lines("stop", measured) == [over]
    error = quiver.ConnectionLost("lost")
    assert lines("exception", measured, error=error) == [over, "it ended with ConnectionLost: lost"]


def test_a_start_is_no_news() -> None:
    assert lines("start", {}) == []
    assert lines("settings", {}, settings={}, http_version="HTTP/1.1") == [], "it has none"


def test_certificates(authority: Authority) -> None:
    issued, _ = authority.issue(["a.example", "192.0.2.1"])
    leaf = x509.load_pem_x509_certificate(Path(issued).read_bytes())
    told = list(certificate_lines(der(leaf)))
    assert told[0] == "certificate of CN=a.example"
    assert told[1] == "  issued by CN=Quiver throw-away CA"
    assert told[2].count(" UTC") == 2
    assert told[3] == "  for a.example, 192.0.2.1"
    root = x509.load_pem_x509_certificate(authority.cadata)
    assert list(certificate_lines(der(root)))[3] == "  for no host"


def test_of_an_odd_certificate_the_rest_is_told() -> None:
    """A name that is no name, and a certificate that is none: the log goes on."""
    (leaf,) = chain_of(attrs.evolve(LEAF, key="rsa2048", common_name="a"))
    odd = changed(leaf, key_of("rsa2048"), b"a.example.test", b"\xff.example.test"[:14])
    *told, names = certificate_lines(odd)
    assert told[0] == "certificate of CN=a" and "from" in told[2]
    assert names.startswith("  for (cannot be read: ")
    assert all("(cannot be read: " in line for line in certificate_lines(b"none"))
