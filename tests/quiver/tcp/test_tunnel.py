"""Tunnel: bytes in, bytes out; the answer of the proxy in any pieces."""

from __future__ import annotations

import pytest

from quiver.errors import HandshakeFailed
from quiver.proxies import Proxy
from quiver.tcp.byte_stream import ByteStreamFault, PlainStream
from quiver.tcp.tunnel import Tunnel


def tunnel(url: str = "http://p:1") -> Tunnel:
    within = PlainStream("http/1.1")
    made = Tunnel(within, "http://a:80", "a:80", Proxy.parse(url))
    made.begin()
    return made


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.0 204 \r\nx: y\r\n\r\n",
        b"HTTP/1.1 200\n\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103\r\nx: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_it_opens_byte_by_byte_and_hands_on_what_follows(answer: bytes) -> None:
    made = tunnel()
    assert made.take() == b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"
    made.begin()
    assert made.take() == b"", "it is asked once"
    got = b""
    for byte in answer + b"first":
        got += made.receive(bytes([byte]))
    assert made.ready and got == b"first" and not made.ended
    made.write(b"content")
    assert made.take() == b"content"
    assert made.handshake(1).alpn == made.protocol == "http/1.1"
    made.end()


def test_what_is_written_waits_until_it_is_open() -> None:
    made = tunnel("http://u:p@p:1")
    made.write(b"content")
    assert made.take().endswith(b"\r\nProxy-Authorization: Basic dTpw\r\n\r\n")
    assert made.receive(b"HTTP/1.1 200 OK\r\n") == b"" and not made.ready and made.take() == b""
    assert made.receive(b"\r\nx") == b"x"
    assert made.take() == b"content"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 407 Who\r\n\r\n", "it answered 407 Who: it wants credentials"),
        (b"HTTP/1.1 500\r\n\r\n", "it answered 500"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "it answered 101"),
        (b"\x16\x03\x01\r\n\r\n", "does not speak HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 11_000, "its answer has no end"),
        (b"HTTP/1.1 102 Wait\r\n\r\n" * 4_000, "its answer has no end"),
    ],
)
def test_what_opens_nothing(answer: bytes, said: str) -> None:
    made = tunnel()
    with pytest.raises(ByteStreamFault) as caught:
        made.receive(answer)
    error = caught.value.closed.error
    assert isinstance(error, HandshakeFailed) and said in error.message
    assert error.message.startswith("the proxy http://p:1: ") and error.origin == "http://a:80"
    assert not made.ready
