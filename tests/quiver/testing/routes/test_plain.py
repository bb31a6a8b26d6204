"""Every route of the origin, over real QUIC, asked by the bare client."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from quiver.testing import Origin, pattern
from tests.support.clients.bare import BareClient, BareResponse, Closed


@pytest.fixture
def client(shared: Origin) -> Iterator[BareClient]:
    with BareClient(shared.port, shared.cafile) as connected:
        yield connected


def content_length(response: BareResponse) -> int:
    return int(dict(response.headers)[b"content-length"])


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/ok", 200, b"ok"),
        ("/items/42", 200, b'{"id": 42}'),
        ("/items/many", 400, None),
        ("/bytes/0", 200, b""),
        ("/bytes/1000", 200, pattern(1000)),
        ("/bytes/3000000", 200, pattern(3_000_000)),
        ("/bytes/-1", 400, None),
        ("/status/204", 204, b""),
        ("/status/503", 503, b"503\n"),
        ("/status/103", 400, None),
        ("/delay/0.02", 200, b"ok"),
        ("/delay/soon", 400, None),
        ("/malformed/unheard-of", 400, None),
        ("/nowhere", 404, b"no such path\n"),
        ("/", 404, b"no such path\n"),
    ],
)
def test_plain_answers(client: BareClient, path: str, status: int, body: bytes | None) -> None:
    response = client.get(path)
    assert response.status == status
    if body is not None:
        assert response.body == body
    if status != 204:
        assert content_length(response) == len(response.body)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_echo(client: BareClient, method: str) -> None:
    body = pattern(200_000)
    response = client.request(method, "/echo", [(b"content-type", b"image/png")], body)
    assert response.status == 200
    assert response.body == body
    assert dict(response.headers)[b"content-type"] == b"image/png"


def test_echo_of_nothing(client: BareClient) -> None:
    assert client.request("POST", "/echo", body=b"").body == b""
    assert client.get("/echo").status == 405


@pytest.mark.parametrize("path", ["/ok", "/bytes/5000", "/trailers"])
def test_head_has_the_length_and_no_body(client: BareClient, path: str) -> None:
    got, head = client.get(path), client.request("HEAD", path)
    assert head.status == 200
    assert head.body == b""
    assert content_length(head) == len(got.body) > 0


def test_request_headers(client: BareClient) -> None:
    response = client.request("GET", "/headers?x=1", [(b"x-one", b"1"), (b"x-one", b"2")])
    pairs = json.loads(response.body)
    assert [":path", "/headers?x=1"] in pairs
    assert pairs[-2:] == [["x-one", "1"], ["x-one", "2"]]


def test_trailers(client: BareClient) -> None:
    response = client.get("/trailers")
    assert response.body == b"ok"
    assert response.trailers == [(b"x-checksum", b"abc"), (b"x-count", b"2")]


def test_informational(client: BareClient) -> None:
    response = client.get("/informational")
    assert response.informational == [103]
    assert response.status == 200
    assert response.body == b"ok"


@pytest.mark.parametrize("size", [10, 16_384, 100_000, 1_000_000])
def test_big_headers(client: BareClient, size: int) -> None:
    headers = client.get(f"/bigheaders/{size}").headers
    assert sum(len(value) for name, value in headers if name == b"x-big") == size


@pytest.mark.parametrize("path", ["/reset/0x10c", "/reset/268"])
def test_reset(client: BareClient, path: str) -> None:
    assert client.get(path).reset == 0x10C
    assert client.get("/ok").status == 200


def test_reject_the_first_time_only(client: BareClient, shared: Origin) -> None:
    assert client.get("/reject?id=a").reset == 0x10B
    assert shared.seen("a") == 0
    assert client.get("/reject?id=a").body == b"ok"
    assert shared.seen("a") == 1
    assert client.get("/reject?id=b").reset == 0x10B


@pytest.mark.parametrize("path", ["/hang", "/stall"])
def test_never_ends(client: BareClient, path: str) -> None:
    stream_id = client.ask(path)
    with pytest.raises(TimeoutError):
        client.wait(stream_id, timeout=0.1)
    assert client.get("/ok").status == 200


def test_close(client: BareClient) -> None:
    client.ask("/close/0x102")
    assert client.wait_closed().code == 0x102


@pytest.mark.parametrize("path", ["/lie", "/lie?declared=3&actual=9"])
def test_lie_is_noticed(client: BareClient, path: str) -> None:
    """aioquic's client closes the connection over a wrong content-length."""
    with pytest.raises(Closed) as caught:
        client.get(path)
    assert caught.value.code == 0x10E


KINDS = ["", "/upper", "/status", "/twice", "/pseudo", "/order", "/connection", "/value"]


@pytest.mark.parametrize("kind", KINDS)
def test_malformed_is_noticed(client: BareClient, kind: str) -> None:
    with pytest.raises(Closed) as caught:
        client.get("/malformed" + kind)
    assert caught.value.code == 0x10E


def test_goaway_finishes_what_is_open(client: BareClient) -> None:
    slow = client.ask("/delay/0.1")
    asked = client.ask("/goaway")
    assert client.wait(asked).body == b"ok"
    assert client.wait_goaway() == asked + 4
    assert client.wait(slow).body == b"ok"
    assert client.wait_closed().code == 0x100


def test_goaway_with_any_id(client: BareClient) -> None:
    assert client.get("/goaway/3").body == b"ok"
    assert client.wait_goaway() == 3
    assert client.get("/goaway/400").body == b"ok"
    assert client.wait_goaway(2) == 400
    assert client.get("/ok").status == 200
