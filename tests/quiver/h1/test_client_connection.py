"""HTTP/1.1 without sockets: bytes of a server's in, the events of HTTP/3 out."""

from __future__ import annotations

from typing import Any

import pytest

from quiver.errors import ConnectionLost, HandshakeFailed
from quiver.h1.client_connection import ClientConnection
from quiver.h3 import events
from quiver.h3.headers import Fields
from quiver.origin import Origin
from quiver.quic.engine import Cause, ConnectionClosed
from quiver.tcp.byte_stream import ByteStreamFault, PlainStream

GET: Fields = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"example.com:4443"),
    (b":path", b"/a?b"),
    (b"x-a", b"b"),
]
POST: Fields = [(b":method", b"POST"), *GET[1:4]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
MOST = 1 << 62


class Wire:
    """A connection and what it says."""

    def __init__(self, stream: PlainStream | None = None, **options: Any) -> None:
        options = {"max_header_size": 65_536, **options}
        origin = Origin("https", "example.com", 4443)
        stream = PlainStream("http/1.1") if stream is None else stream
        self.client = ClientConnection(stream, origin, **options)
        self.client.connect(1.0)
        self.seen = self.client.events()

    def sent(self) -> bytes:
        """What it sends now."""
        return b"".join(iter(lambda: b"".join(self.client.datagrams(1.0)), b""))

    def give(self, *chunks: bytes) -> list[events.Event]:
        """Give it bytes. Returns what it reports."""
        self.client.receive_all(chunks, 1.0)
        return self._look()

    def lose(self, why: str | None = None) -> list[events.Event]:
        self.client.lost(why, 1.0)
        return self._look()

    def _look(self) -> list[events.Event]:
        happened = self.client.events()
        self.seen += happened
        return happened

    def ask(self, fields: Fields = GET, body: bytes | None = None, **more: Any) -> int:
        return self.client.open_request(fields, body, **more)


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_a_request_and_its_answer_one_after_the_other(wire: Wire) -> None:
    assert wire.seen == [events.Ready(MOST, False, concurrent=1), events.Settings(False, False)]
    for number in range(3):
        assert not wire.client.is_full and wire.ask() == number
        assert wire.client.is_full and wire.client.next_stream_id == number + 1
        with pytest.raises(ValueError, match="no room"):
            wire.ask()
        assert wire.sent() == b"GET /a?b HTTP/1.1\r\nhost: example.com:4443\r\nx-a: b\r\n\r\n"
        assert wire.give(OK) == [
            events.Headers(number, 200, [("content-length", "2")], False),
            events.Body(number, b"ok", False),
            events.Body(number, b"", True),
        ]


def test_byte_by_byte(wire: Wire) -> None:
    wire.ask()
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    chunks = b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n"
    chunks += b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n"
    told = wire.give(*[bytes([each]) for each in interim + chunks])
    assert told[0] == events.Informational(0, 103, [("link", "</a>")])
    assert told[1] == events.Headers(0, 200, [("transfer-encoding", "chunked")], False)
    assert b"".join(each.content for each in told if isinstance(each, events.Body)) == b"abcde"
    assert told[-1] == events.TrailersReceived(0, [("x-sum", "1")])
    assert not wire.client.is_full


@pytest.mark.parametrize(
    ("answer", "ends"),
    [
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", False),
        (b"HTTP/1.1 200 OK\r\n\r\nok", True),  # until the end
        (OK + b"HTTP/1.1 200 OK\r\n\r\n", False),  # an answer to what was not asked
    ],
)
def test_a_connection_that_takes_no_other(wire: Wire, answer: bytes, ends: bool) -> None:
    wire.ask()
    told = wire.give(answer) + (wire.lose() if ends else [])
    assert events.GoAwayReceived(1) in told and wire.client.is_full
    assert b"".join(each.content for each in told if isinstance(each, events.Body)) == b"ok"
    assert events.Body(0, b"", True) in told


def test_an_answer_without_content(wire: Wire) -> None:
    wire.ask([(b":method", b"HEAD"), *GET[1:]])
    told = wire.give(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")
    assert told[-1] == events.Body(0, b"", True)
    wire.ask()
    assert wire.give(b"HTTP/1.1 204 No Content\r\n\r\n")[-1] == events.Body(1, b"", True)


def test_what_http_1_1_says_otherwise(wire: Wire) -> None:
    """Cookies in one field (RFC 9113 8.2.3), and that `te` is of this hop (RFC 9110 10.1.4)."""
    wire.ask([*GET[:4], (b"cookie", b"a=1"), (b"te", b"trailers"), (b"cookie", b"b=2")])
    sent = wire.sent().split(b"\r\n")
    assert [line for line in sent if line.startswith(b"cookie")] == [b"cookie: a=1; b=2"]
    assert b"te: trailers" in sent and b"connection: te" in sent


# bodies -----------------------------------------------------------------------------------------


def test_a_body_of_a_known_length(wire: Wire) -> None:
    wire.ask([*POST, (b"content-length", b"500000")], b"x" * 500_000)
    assert wire.client.unacknowledged(0) == 500_000
    sent = wire.sent()
    assert sent.endswith(b"\r\n\r\n" + b"x" * 500_000) and b"chunked" not in sent
    assert wire.client.unacknowledged(0) == 0
    assert wire.give(OK)[-1] == events.Body(0, b"", True) and not wire.client.is_full


def test_a_body_in_chunks_with_trailers(wire: Wire) -> None:
    fields = wire.client.announce_trailers([*POST, (b"content-length", b"5")])
    wire.ask(fields, b"abc", ended=False)
    wire.client.send_body(0, b"de", False)
    wire.client.send_trailers(0, [(b"x-sum", b"1")])
    wire.client.send_body(0, b"late", True)
    sent = wire.sent()
    assert sent.endswith(b"3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 1\r\n\r\n")
    assert b"content-length" not in sent.lower()


def test_an_answer_before_the_body_is_through(wire: Wire) -> None:
    wire.ask(POST, b"some", ended=False)
    wire.sent()
    told = wire.give(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
    assert told[-2:] == [events.Body(0, b"", True), events.GoAwayReceived(1)]
    wire.client.send_body(0, b"more", True)
    assert wire.sent() == b"" and wire.client.is_full


def test_a_reader_that_stalls_is_waited_for(wire: Wire) -> None:
    wire.ask(window=10)
    wire.give(b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\n", b"x" * 10)
    assert not wire.client.reads
    taken = iter([b"y" * 10, b"z" * 10])
    wire.client.consumed(0, 5)
    assert wire.client.reads
    wire.client.receive_all(taken, 1.0)
    assert next(taken) == b"z" * 10, "it was not taken"
    wire.client.consumed(0, 15)
    assert wire.give(b"z" * 10)[-1] == events.Body(0, b"", True) and wire.client.reads


# ends -------------------------------------------------------------------------------------------


def test_to_give_up_a_request_is_to_give_up_the_connection(wire: Wire) -> None:
    wire.ask()
    wire.client.cancel(0, 0x10C)
    assert wire.client.events() == [events.GoAwayReceived(1)] and wire.client.is_full
    assert wire.give(OK) == []


@pytest.mark.parametrize(
    ("method", "reused", "again"),
    [(b"GET", True, True), (b"GET", False, False), (b"POST", True, False), (b"PUT", True, True)],
)
def test_what_got_no_byte_on_a_used_connection_may_go_again(
    wire: Wire, method: bytes, reused: bool, again: bool
) -> None:
    """Once, and if its method is idempotent (RFC 9112 9.3.1)."""
    if reused:
        wire.ask()
        wire.give(OK)
    number = wire.ask([(b":method", method), *GET[1:]])
    *aborted, ended = wire.lose()
    said = "connection lost: the server closed it before it answered"
    assert aborted == ([events.StreamAborted(number, None, said, True, False)] if again else [])
    assert isinstance(ended, events.ConnectionEnded) and isinstance(ended.error, ConnectionLost)
    assert ended.error.message == said


def test_one_byte_of_an_answer_is_too_many(wire: Wire) -> None:
    wire.ask()
    wire.give(OK)
    wire.ask()
    wire.give(b"H")
    (ended,) = wire.lose()
    assert isinstance(ended, events.ConnectionEnded) and isinstance(ended.error, ConnectionLost)
    assert "in the midst of its answer" in str(ended.error)


def test_an_idle_one_that_the_server_closes(wire: Wire) -> None:
    wire.ask()
    wire.give(OK)
    assert wire.lose()[0] == events.GoAwayReceived(1)


def test_an_end_before_it_began() -> None:
    class Silent(PlainStream):
        ready = False

    client = ClientConnection(Silent("http/1.1"), Origin("https", "a"), max_header_size=100)
    client.connect(1.0)
    client.lost("Connection reset by peer", 1.0)
    (ended,) = client.events()
    assert isinstance(ended, events.ConnectionEnded)
    assert isinstance(ended.error, HandshakeFailed) and not ended.error.lasting


# what is no answer ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18),
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nname without colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\x00b\r\n\r\n",
    ],
)
def test_a_malformed_answer_ends_its_request_and_the_connection(wire: Wire, answer: bytes) -> None:
    wire.ask()
    told = wire.give(answer)
    assert isinstance(told[-2], events.StreamMalformed) and told[-1] == events.GoAwayReceived(1)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\n" + b"x: " + b"a" * 5_000,
        b"HTTP/1.1 103 Early\r\nx: " + b"a" * 300 + b"\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 10,
    ],
)
def test_a_section_without_end(answer: bytes) -> None:
    wire = Wire(max_header_size=1_000)
    wire.ask()
    for _ in range(10):
        wire.give(answer)
    large, away = wire.seen[-2:]
    assert isinstance(large, events.HeadersTooLarge) and large.limit == 1_000
    assert away == events.GoAwayReceived(1)


class Secured(PlainStream):
    """As TLS, whose end is said."""

    says_its_end = True


@pytest.mark.parametrize("said", [True, False])
def test_over_tls_an_end_that_nobody_has_said_is_a_cut(said: bool) -> None:
    """Else anybody on the path could shorten content whose length was not told (RFC 9112 9.8)."""
    stream = Secured("http/1.1")
    wire = Wire(stream)
    wire.ask()
    wire.sent()
    wire.give(b"HTTP/1.1 200 OK\r\n\r\nhello")
    stream.ended = said
    happened = wire.lose()
    if said:
        assert happened[0] == events.Body(0, b"", True)
    else:
        (ended,) = happened
        assert isinstance(ended, events.ConnectionEnded)
        assert "in the midst of its answer" in str(ended.error)


def test_a_fault_behind_an_answer_leaves_it_whole() -> None:
    stream = Secured("http/1.1")
    wire = Wire(stream)
    wire.ask()
    wire.sent()
    closed = ConnectionClosed(Cause.VIOLATION, 0x128, reason="bad record mac")
    stream.fault = ByteStreamFault(closed)
    happened = wire.give(OK)
    assert [type(each) for each in happened][-2:] == [events.Body, events.ConnectionEnded]
    ended: Any = happened[-1]
    assert "bad record mac" in str(ended.error)
