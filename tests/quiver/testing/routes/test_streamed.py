"""Routes taken up at the request's headers, and the channels, over real QUIC."""

from __future__ import annotations

import hashlib
import json

import pytest

from quiver.testing import Origin, pattern
from tests.support.clients.bare_streams import StreamClient

TRAILERS = [(b"x-sum", b"1"), (b"x-more", b"2")]


def all_closed(origin: Origin, client: StreamClient) -> None:
    client.until(lambda: origin.streams_open() == 0)


def test_echo_comes_while_the_request_goes_on(client: StreamClient) -> None:
    stream_id = client.begin("/echo-stream")
    response = client.response(stream_id)
    client.until(lambda: response.status == 200)
    for piece in (b"one", b"two"):
        client.send(stream_id, piece)
        client.until(lambda piece=piece: response.body.endswith(piece))  # type: ignore[misc]
    assert not response.ended
    client.send_trailers(stream_id, TRAILERS)
    client.wait(stream_id)
    assert (bytes(response.body), response.trailers) == (b"onetwo", TRAILERS)


def test_echo_without_trailers(client: StreamClient) -> None:
    stream_id = client.begin("/echo-stream")
    client.send(stream_id, pattern(300_000), ended=True)
    assert client.wait(stream_id).body == pattern(300_000)


@pytest.mark.parametrize(("after", "least"), [("", 1), ("?after=5000", 5000)])
def test_early_answer(origin: Origin, after: str, least: int) -> None:
    with StreamClient(origin.port, origin.cafile) as client:
        stream_id = client.begin("/early/413" + after)
        client.send(stream_id, b"x" * 5000)
        response = client.wait(stream_id)
        assert (response.status, bytes(response.body)) == (413, b"early\n")
        client.until(lambda: response.stopped == 0x100)
        # Without a number it answers the first piece, and packets are the network's to cut.
        assert least <= origin.bytes_received("/early/413") <= 5000
        all_closed(origin, client)


def test_early_answer_of_a_short_request(client: StreamClient) -> None:
    assert client.request("POST", "/early/403?after=9", body=b"short").status == 403


def test_digest(client: StreamClient) -> None:
    body = pattern(2_000_000)
    answer = json.loads(client.request("POST", "/digest", body=body).body)
    assert answer == {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}


def test_request_trailers(client: StreamClient) -> None:
    stream_id = client.begin("/request-trailers")
    client.send(stream_id, b"body")
    client.send_trailers(stream_id, TRAILERS)
    assert json.loads(client.wait(stream_id).body) == [["x-sum", "1"], ["x-more", "2"]]
    assert client.get("/request-trailers").body == b"[]"


def test_request_trailers_before_a_late_end(client: StreamClient) -> None:
    stream_id = client.begin("/request-trailers")
    client.send_trailers(stream_id, TRAILERS, ended=False)
    client.get("/ok")
    client.finish(stream_id)
    assert json.loads(client.wait(stream_id).body) == [["x-sum", "1"], ["x-more", "2"]]


@pytest.mark.parametrize("path", ["/early/soon", "/session", "/datagrams?greet=x"])
def test_bad_arguments(client: StreamClient, path: str) -> None:
    assert client.get(path).status == 400


def test_session_echoes_both_ways(client: StreamClient) -> None:
    session = client.connect("/session?greet=2")
    response = client.response(session)
    client.until(lambda: response.status == 200 and len(response.datagrams) == 2)
    assert response.datagrams == [b"greet-0", b"greet-1"]
    client.send_datagram(session, b"ping")
    client.until(lambda: response.datagrams[-1] == b"ping")
    client.send(session, b"bytes")
    client.until(lambda: response.body == b"bytes")
    assert not response.ended
    client.send(session, b"", ended=True)
    client.wait(session)


def test_session_refused(client: StreamClient) -> None:
    session = client.connect("/session?status=403")
    assert client.wait(session).status == 403


def test_session_reset_by_a_datagram(client: StreamClient) -> None:
    session = client.connect("/session?reset=0x10c")
    client.until(lambda: client.response(session).status == 200)
    client.send_datagram(session, b"now")
    assert client.wait(session).reset == 0x10C


def test_session_floods(client: StreamClient) -> None:
    response = client.response(client.connect("/session?flood=300"))
    client.until(lambda: len(response.datagrams) == 300)
    assert {len(payload) for payload in response.datagrams} == {100}
    assert response.datagrams[7].startswith(b"flood-7.")


def test_datagrams_without_connect(client: StreamClient) -> None:
    stream_id = client.ask("/datagrams")
    response = client.response(stream_id)
    client.until(lambda: response.status == 200)
    client.send_datagram(stream_id, b"x" * 1000)
    client.until(lambda: response.datagrams == [b"x" * 1000])


def test_what_was_abandoned(origin: Origin) -> None:
    with StreamClient(origin.port, origin.cafile) as client:
        upload = client.begin("/digest")
        client.send(upload, b"some")
        download = client.ask("/stall-after/10")
        client.until(lambda: len(client.response(download).body) == 10)
        assert origin.streams_open() == 2
        client.reset(upload, 0x10C)
        client.stop(download, 0x10D)
        all_closed(origin, client)
        assert client.wait(upload).reset == 0x10C
        assert client.wait(download).reset == 0x10D
    assert sorted(origin.resets(), key=lambda each: int(each["code"])) == [
        {"path": "/digest", "kind": "reset", "code": 0x10C},
        {"path": "/stall-after/10", "kind": "stop_sending", "code": 0x10D},
    ]
