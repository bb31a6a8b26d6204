"""Request bodies over real sockets: what they may be, who reads them, how they end early."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

import pytest

import quiver
from quiver.testing import Origin, pattern
from tests.support.stream_account import CANCELLED, Account
from tests.support.waiting import until

PIECE = 65_536
WHO: Final[ContextVar[str]] = ContextVar("WHO", default="nobody")
RESET = {("reset", CANCELLED)}


def digest_of(body: bytes) -> dict[str, Any]:
    return {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def headers_sent(client: quiver.Client, origin: Origin, **given: Any) -> dict[str, str]:
    pairs = client.post(origin.url + "/headers", **given).json()
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


class Counted:
    """Pieces without end, and how many of them were taken."""

    def __init__(self, limit: int = 100_000) -> None:
        self.taken = 0
        self.closed = False
        self.thread = 0
        self._limit = limit

    def __iter__(self) -> Iterator[bytes]:
        try:
            while self.taken < self._limit:
                self.taken += 1
                self.thread = threading.get_ident()
                yield b"x" * PIECE
        finally:
            self.closed = True


# what a body may be -----------------------------------------------------------------------------

SIZES = [0, 1, 5000, 262_144, 3_000_000]


@pytest.mark.one_in(4)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["bytes", "memoryview", "file", "BytesIO", "list", "generator"])
def test_bodies(
    client: quiver.Client, origin: Origin, tmp_path: Path, kind: str, size: int
) -> None:
    body = pattern(size)
    path = tmp_path / "body"
    path.write_bytes(body)
    pieces = [body[start : start + 7000] for start in range(0, size, 7000)]
    with path.open("rb") as file:
        given: dict[str, Any] = {
            "bytes": body,
            "memoryview": memoryview(body),
            "file": file,
            "BytesIO": io.BytesIO(body),
            "list": pieces,
            "generator": (piece for piece in pieces),
        }
        answer = client.post(origin.url + "/digest", body=given[kind])
    assert answer.json() == digest_of(body)


def test_many_small_pieces(client: quiver.Client, origin: Origin) -> None:
    """Those that are there together go out together."""
    rows = [b"row %d\n" % number for number in range(20_000)]
    answer = client.post(origin.url + "/digest", body=iter(rows), timeout=20.0)
    assert answer.json() == digest_of(b"".join(rows))


def test_a_file_is_sent_from_where_it_stands(client: quiver.Client, origin: Origin) -> None:
    file = io.BytesIO(b"skipped, sent")
    file.seek(9)
    assert client.post(origin.url + "/echo", body=file).body == b"sent"


def test_content_length_when_known(client: quiver.Client, origin: Origin) -> None:
    sent = [
        headers_sent(client, origin, body=body).get("content-length")
        for body in (b"1234", io.BytesIO(b"12345"), [b"123", b"456"], iter([b"1"]))
    ]
    assert sent == ["4", "5", "6", None]


def test_content_length_when_given(client: quiver.Client, origin: Origin) -> None:
    pieces = iter([b"123", b"456"])
    sent = headers_sent(client, origin, body=pieces, headers={"content-length": "6"})
    assert sent["content-length"] == "6"


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("declared", "said"), [("5", "6 bytes or more"), ("7", "6 bytes")])
@pytest.mark.parametrize("ask", ["post", "stream"])
def test_content_length_that_is_wrong(
    client: quiver.Client, origin: Origin, account: Account, declared: str, said: str, ask: str
) -> None:
    given: dict[str, Any] = {
        "body": iter([b"123", b"456"]),
        "headers": {"content-length": declared},
    }
    with pytest.raises(quiver.InvalidRequest, match=f"{said}.*content-length is {declared}"):
        if ask == "post":
            client.post(origin.url + "/digest", **given)
        else:
            client.stream("POST", origin.url + "/digest", **given)
    assert account.settled() <= RESET | {("stop_sending", CANCELLED)}
    assert ("reset", CANCELLED) in {(e["kind"], e["code"]) for e in origin.resets()}


def test_piece_that_is_no_bytes(client: quiver.Client, origin: Origin, account: Account) -> None:
    pieces: Any = iter([b"1", "2"])
    with pytest.raises(quiver.InvalidRequest, match="a piece is a str"):
        client.post(origin.url + "/digest", body=pieces)
    account.settled()


def test_iterator_cannot_be_sent_twice(client: quiver.Client, origin: Origin) -> None:
    request = quiver.Request("POST", "/digest", body=iter([b"once"]))
    pool = client.pool(origin.url)
    assert pool.ask(request).json() == digest_of(b"once")
    with pytest.raises(quiver.InvalidRequest, match="sent already"):
        pool.ask(request)


@pytest.mark.parametrize("body", [b"body", [b"bo", b"dy"], None])
def test_trailers(client: quiver.Client, origin: Origin, body: Any) -> None:
    pairs = [("x-sum", "1"), ("x-more", "2"), ("x-more", "3")]
    answer = client.post(origin.url + "/request-trailers", body=body, trailers=pairs)
    assert answer.json() == [list(pair) for pair in pairs]


def test_trailers_that_are_known_at_the_end(client: quiver.Client, origin: Origin) -> None:
    digest = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for number in range(100):
            piece = pattern(number)
            digest.update(piece)
            yield piece

    def trailers() -> dict[str, str]:
        return {"x-sha256": digest.hexdigest()}

    answer = client.post(origin.url + "/request-trailers", body=pieces(), trailers=trailers)
    assert answer.json() == [["x-sha256", digest.hexdigest()]]


@pytest.mark.parametrize("body", [b"body", [b"bo", b"dy"], None])
def test_trailers_are_computed_with_the_context_variables_of_the_caller(
    client: quiver.Client, origin: Origin, body: Any
) -> None:
    url, token = origin.url + "/request-trailers", WHO.set("me")
    try:
        options = {"body": body, "trailers": lambda: {"x-who": WHO.get()}}
        with client.stream("POST", url, **options) as response:
            assert json.loads(response.read()) == [["x-who", "me"]]
    finally:
        WHO.reset(token)


def test_trailers_that_are_wrong(client: quiver.Client, origin: Origin, account: Account) -> None:
    with pytest.raises(quiver.InvalidRequest, match="content-length"):
        client.post(origin.url + "/digest", body=[b"1"], trailers=lambda: {"content-length": "1"})
    account.settled()


# both ways at once ------------------------------------------------------------------------------


def test_response_while_the_request_goes_on(client: quiver.Client, origin: Origin) -> None:
    """The next piece is sent when the one before has come back."""
    echoed = threading.Semaphore(0)

    def pieces() -> Iterator[bytes]:
        for number in range(5):
            yield b"piece %d" % number
            assert echoed.acquire(timeout=10)

    answer = client.stream(
        "POST", origin.url + "/echo-stream", body=pieces(), trailers={"x-end": "1"}
    )
    with answer as response:
        for number in range(5):
            assert response.read(7) == b"piece %d" % number
            echoed.release()
        assert response.read() == b""
        assert response.trailers == [("x-end", "1")]


@pytest.mark.long
def test_much_both_ways(client: quiver.Client, origin: Origin) -> None:
    """More than all buffers hold: it gets through only while somebody reads."""
    body = pattern(12_000_000)
    with client.stream("POST", origin.url + "/echo-stream", body=io.BytesIO(body)) as response:
        assert response.read() == body


# who reads it -----------------------------------------------------------------------------------


def test_buffered_is_read_in_the_callers_thread(client: quiver.Client, origin: Origin) -> None:
    body = Counted(40)
    client.post(origin.url + "/digest", body=body)
    assert (body.taken, body.thread, body.closed) == (40, threading.get_ident(), True)


def test_streamed_is_read_in_another(client: quiver.Client, origin: Origin) -> None:
    body = Counted(40)
    client.stream("POST", origin.url + "/digest", body=body).read()
    assert (body.taken, body.closed) == (40, True)
    assert body.thread not in (0, threading.get_ident())


def test_asked_without_waiting(client: quiver.Client, origin: Origin) -> None:
    body = Counted(40)
    request = quiver.Request("POST", "/digest", body=body)
    future = client.pool(origin.url).ask(request, block=False)
    until(lambda: future.done)
    assert future.get().json()["size"] == 40 * PIECE


@pytest.mark.parametrize("ask", ["request", "stream"])
def test_iterator_that_blocks_holds_nobody_up(
    client: quiver.Client, origin: Origin, ask: str
) -> None:
    go = threading.Event()
    answers: list[int] = []

    def pieces() -> Iterator[bytes]:
        yield b"first"
        assert go.wait(20)
        yield b"second"

    def upload() -> None:
        answers.append(getattr(client, ask)("POST", origin.url + "/digest", body=pieces()).status)

    uploader = threading.Thread(target=upload)
    uploader.start()
    for number in range(50):
        assert client.get(f"{origin.url}/items/{number}", timeout=5.0).status == 200
    assert answers == []
    go.set()
    uploader.join(10)
    assert answers == [200]


def test_iterator_that_asks_the_same_pool(client: quiver.Client, origin: Origin) -> None:
    def pieces() -> Iterator[bytes]:
        for number in range(3):
            yield client.get(f"{origin.url}/items/{number}").body

    assert client.post(origin.url + "/echo", body=pieces()).body == b'{"id": 0}{"id": 1}{"id": 2}'


def test_informational_responses_meanwhile(client: quiver.Client, origin: Origin) -> None:
    """In the thread that waits for the head, although the body is read in another."""
    threads: list[int] = []
    body = Counted(5)
    with client.stream(
        "POST",
        origin.url + "/informational/3",
        body=body,
        on_informational=lambda status, _: threads.append(threading.get_ident()),
    ) as response:
        assert response.status == 200
    assert threads == [threading.get_ident()] * 3
    assert body.thread not in (0, threading.get_ident())


@pytest.mark.parametrize("pieces", [0, 40])
def test_callback_that_raises_where_nobody_waits(
    client: quiver.Client, origin: Origin, pieces: int
) -> None:
    """It ends its request, also when the answer came at once; no other on the connection."""

    def refuse(status: int, headers: list[tuple[str, str]]) -> None:
        raise LookupError(status)

    pool = client.pool(origin.url)
    beside = [pool.ask(quiver.Request("GET", "/delay/0.2"), block=False) for _ in range(3)]
    body = Counted(pieces) if pieces else None
    request = quiver.Request("POST", "/informational/3", body=body, on_informational=refuse)
    future = pool.ask(request, block=False)
    until(lambda: future.done)
    with pytest.raises(LookupError, match="103"):
        future.get()
    assert not future.cancelled
    assert [each.get(timeout=10.0).status for each in beside] == [200] * 3
    assert client.stats(origin.url).connections == 1


# the send buffer is bounded ---------------------------------------------------------------------


@pytest.mark.one_in(2)
@pytest.mark.parametrize("ask", ["request", "stream"])
def test_not_read_ahead_of_a_server_that_stops(
    client: quiver.Client, origin: Origin, ask: str
) -> None:
    """The origin is suspended: what is taken from the iterator is bounded by the send buffer."""
    body = Counted(400)
    done: list[dict[str, Any]] = []
    started = threading.Event()

    def pieces() -> Iterable[bytes]:
        for number, piece in enumerate(body):
            if number == 3:
                started.set()
                assert resumed.wait(20)
            yield piece

    def upload() -> None:
        answer = getattr(client, ask)("POST", origin.url + "/digest", body=pieces(), timeout=120.0)
        done.append(answer.json() if ask == "request" else json.loads(answer.read()))

    resumed = threading.Event()
    uploader = threading.Thread(target=upload)
    uploader.start()
    assert started.wait(10)
    origin.suspend()
    try:
        resumed.set()
        taken = settled_count(body)
        # send_buffer is 1 MiB, and 256 KiB lie before it; one piece is in hand.
        assert taken * PIECE <= 1024 * 1024 + 262_144 + 6 * PIECE
    finally:
        origin.resume()
    uploader.join(120)
    assert [each["size"] for each in done] == [400 * PIECE]


def test_server_that_takes_nothing_for_send_timeout(client: quiver.Client, origin: Origin) -> None:
    body = Counted(400)
    assert client.get(origin.url + "/ok").status == 200
    origin.suspend()
    try:
        with pytest.raises(quiver.SendTimeout, match=r"send_timeout=0\.3"):
            client.post(origin.url + "/digest", body=body, send_timeout=0.3, timeout=20.0)
    finally:
        origin.resume()
    assert body.taken < 400
    until(lambda: body.closed)


def settled_count(body: Counted) -> int:
    """What was taken once no more is for half a second."""
    while True:
        before = body.taken
        threading.Event().wait(0.5)
        if body.taken == before:
            return before


# ended early ------------------------------------------------------------------------------------


@pytest.mark.one_in(2)
@pytest.mark.parametrize("after", [1, 2_000_000])
@pytest.mark.parametrize("ask", ["request", "stream"])
def test_early_response(
    client: quiver.Client, origin: Origin, account: Account, ask: str, after: int
) -> None:
    body = Counted()
    url = f"{origin.url}/early/413?after={after}"
    answer = getattr(client, ask)("POST", url, body=body, timeout=20.0)
    assert answer.status == 413
    assert (answer.body if ask == "request" else answer.read()) == b"early\n"
    account.settled()
    until(lambda: body.closed)
    assert body.taken * PIECE <= after + 6_000_000
    assert client.get(origin.url + "/ok").status == 200


@pytest.mark.parametrize("ask", ["request", "stream"])
def test_an_early_response_counts_whatever_the_body_raises_at_its_end(
    client: quiver.Client, origin: Origin, account: Account, ask: str
) -> None:
    closed = threading.Event()

    def body() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * PIECE
        finally:
            closed.set()
            raise LookupError("at its end")

    answer = getattr(client, ask)("POST", f"{origin.url}/early/413?after=1", body=body())
    assert answer.status == 413
    assert (answer.body if ask == "request" else answer.read()) == b"early\n"
    account.settled()
    assert closed.wait(10)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("ask", ["request", "stream"])
@pytest.mark.parametrize("pieces", [0, 1, 100])
def test_iterator_that_raises(
    client: quiver.Client, origin: Origin, account: Account, ask: str, pieces: int
) -> None:
    def failing() -> Iterator[bytes]:
        yield from [b"x" * PIECE] * pieces
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        getattr(client, ask)("POST", origin.url + "/digest", body=failing())
    assert ("reset", CANCELLED) in account.settled()
    assert client.get(origin.url + "/ok").status == 200


def test_iterator_that_raises_behind_a_response(
    client: quiver.Client, origin: Origin, account: Account
) -> None:
    go = threading.Event()

    def failing() -> Iterator[bytes]:
        yield b"piece"
        assert go.wait(10)
        raise LookupError("no more")

    with client.stream("POST", origin.url + "/echo-stream", body=failing()) as response:
        assert response.read(5) == b"piece"
        go.set()
        with pytest.raises(LookupError, match="no more"):
            response.read()
    assert ("reset", CANCELLED) in account.settled()


def test_left_while_the_body_is_sent(
    client: quiver.Client, origin: Origin, account: Account
) -> None:
    body = Counted()
    with client.stream("POST", origin.url + "/echo-stream", body=body) as response:
        assert response.read(1) == b"x"
    assert ("reset", CANCELLED) in account.settled()
    until(lambda: body.closed)


def test_timeout_while_the_body_is_sent(
    client: quiver.Client, origin: Origin, account: Account
) -> None:
    body = Counted()
    with pytest.raises(quiver.RequestTimeout):
        client.post(origin.url + "/digest", body=body, timeout=0.4)
    assert ("reset", CANCELLED) in account.settled()
    assert body.closed
