"""Which protocols a client speaks, and by which stacks."""

from __future__ import annotations

import socket
from typing import Any

import pytest

import quiver
from quiver.origin import Origin
from quiver.pool import protocols
from quiver.pool.http3_stack import Http3Stack
from quiver.pool.protocols import ALL, Stacks, chosen, stacks_for
from quiver.pool.tcp_stack import Http1Stack, Http2Stack, TcpStack

SECURE, PLAIN = Origin.parse("https://a.example"), Origin.parse("http://a.example", plain=True)


def closed_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def test_all_that_are_installed_are_spoken() -> None:
    assert chosen(None) == ALL


def test_the_order_is_that_of_preference() -> None:
    assert chosen(["http/1.1", "h3", "h2"]) == ALL
    assert chosen(("http/1.1", "h2")) == ("h2", "http/1.1")


@pytest.mark.parametrize("given", [(), "h3", ("h3", "h4"), 3, ("HTTP/3",)])
def test_what_is_none(given: Any) -> None:
    with pytest.raises(quiver.InvalidOptions, match="protocols="):
        chosen(given)
    with pytest.raises(quiver.InvalidOptions, match=r"h3, h2, http/1\.1"):
        quiver.Client(protocols=given)


@pytest.mark.parametrize(
    ("given", "first", "behind"),
    [
        (("h3",), Http3Stack, None),
        (ALL, Http3Stack, TcpStack),
        (("h3", "h2"), Http3Stack, Http2Stack),
        (("h3", "http/1.1"), Http3Stack, Http1Stack),
        (("h2", "http/1.1"), TcpStack, None),
        (("h2",), Http2Stack, None),
        (("http/1.1",), Http1Stack, None),
    ],
)
def test_the_stacks(given: tuple[str, ...], first: object, behind: object) -> None:
    stacks = stacks_for(SECURE, given)
    assert stacks.first is first
    assert (stacks.over_tcp and stacks.over_tcp()) is behind
    if "http/1.1" in given:
        assert stacks_for(PLAIN, given) == Stacks(Http1Stack)
    else:
        said = {
            ("h3",): "HTTP/3 knows no other",
            ("h2",): "HTTP/2 knows no other",
            ("h3", "h2"): "HTTP/3 and HTTP/2 know no other",
        }[given]
        with pytest.raises(quiver.InvalidURL, match=f"the scheme must be https, {said}"):
            stacks_for(PLAIN, given)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "missing_for_tcp", lambda: "h11")
    assert chosen(None) == chosen(("h3",)) == ("h3",)
    with quiver.Client() as client:
        for url, error in (
            (f"https://127.0.0.1:{closed_port()}/", quiver.ConnectionRefused),
            ("http://localhost/", quiver.InvalidURL),
        ):
            with pytest.raises(error) as caught:
                client.get(url)
            assert "pip install 'quiver-http3[tcp]'" in caught.value.__notes__[-1]
        with pytest.raises(quiver.InvalidRequest) as told:
            client.get("https://localhost/", timeout=-1)
        assert not hasattr(told.value, "__notes__")
    with pytest.raises(
        ModuleNotFoundError, match=r"^h11 is not installed: pip install 'quiver-http3\[tcp\]'"
    ):
        chosen(ALL)
