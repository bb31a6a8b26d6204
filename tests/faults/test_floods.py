"""Servers that send too much, too often or too slowly: all of it has a bound, and a name."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

import quiver
from quiver.h3.codes import ErrorCode
from quiver.testing import Authority
from tests.support.memory import MIB, bounded
from tests.support.servers.floods import (
    BOMBS,
    ENDLESS_CONTENT,
    ENDLESS_FRAME,
    ENDLESS_INTERIM,
    PASSING_FLOODS,
    SILENT_FLOODS,
    drop_by_drop,
    falling_goaways,
)
from tests.support.servers.frames import RESPONSE, data, goaway, response
from tests.support.servers.hostile import (
    BODY_LIMIT,
    CONTROL,
    HEADER_LIMIT,
    Attack,
    HostileOrigin,
    limited_client,
)

# Ends what hangs. A flood is judged after so many turns of the loop, which may take a second of the
# processor's time: of that, a machine with much other work gives less than a tenth.
TIMEOUT: Final = 60.0
MOST: Final = 8 * MIB
"""Both sides together; what was seen is below 1 MiB. A flood is up to some 10 MiB."""


@pytest.fixture
def hostile(authority: Authority) -> Iterator[HostileOrigin]:
    with HostileOrigin(authority) as origin:
        yield origin


@pytest.fixture
def client(authority: Authority) -> Iterator[quiver.Client]:
    with limited_client(authority) as made:
        yield made


def asked(
    client: quiver.Client, origin: HostileOrigin, path: str = "/held", timeout: float = TIMEOUT
) -> Any:
    request = quiver.Request("GET", path, timeout=timeout, receive_timeout=timeout)
    return client.pool(origin.url).ask(request, block=False)


def told(origin: HostileOrigin) -> set[int]:
    """The codes with which streams were given up."""
    return {
        code for seen in origin.clients for codes in (seen.resets, seen.stops)
        for code in codes.values()
    }  # fmt: skip


def assert_refused(
    client: quiver.Client, hostile: HostileOrigin, error: type[Exception], code: int, **options: Any
) -> str:
    """The attack costs its stream, in bounds, and nobody else; what its caller was told."""
    client.get(hostile.url + "/ok", timeout=TIMEOUT)
    pending = asked(client, hostile)
    hostile.wait_held()
    with bounded(MOST), pytest.raises(error) as raised:
        client.get(hostile.url + "/attack", **{"timeout": TIMEOUT, **options})
    hostile.wait(lambda: told(hostile) == {code})
    hostile.release()
    assert pending.get(timeout=TIMEOUT).body == b"ok"
    assert client.get(hostile.url + "/ok", timeout=TIMEOUT).body == b"ok"
    assert len(hostile.clients) == 1
    assert hostile.clients[0].closed is None
    return str(raised.value)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_a_large_header_section_is_refused(
    client: quiver.Client, hostile: HostileOrigin, bomb: bytes
) -> None:
    hostile.attack = lambda peer, stream_id: peer.write(stream_id, bomb)
    code = ErrorCode.H3_EXCESSIVE_LOAD
    said = assert_refused(client, hostile, quiver.ResponseTooLarge, code)
    assert f"max_header_size={HEADER_LIMIT}" in said


def test_interim_responses_without_end_are_refused(
    client: quiver.Client, hostile: HostileOrigin
) -> None:
    hostile.attack = ENDLESS_INTERIM
    code = ErrorCode.H3_EXCESSIVE_LOAD
    said = assert_refused(client, hostile, quiver.ResponseTooLarge, code)
    assert f"max_header_size={HEADER_LIMIT}" in said


@pytest.mark.parametrize("attack", [ENDLESS_CONTENT, ENDLESS_FRAME], ids=["frames", "one frame"])
def test_a_body_without_end_is_refused(
    client: quiver.Client, hostile: HostileOrigin, attack: Attack
) -> None:
    hostile.attack = attack
    code = ErrorCode.H3_REQUEST_CANCELLED
    said = assert_refused(client, hostile, quiver.ResponseTooLarge, code)
    assert f"max_body_size={BODY_LIMIT}" in said


@pytest.mark.parametrize("length", [b"100001", b"9" * 3000])
def test_a_body_is_refused_by_its_announced_length(
    client: quiver.Client, hostile: HostileOrigin, length: bytes
) -> None:
    head = response((b"content-length", length))
    hostile.attack = lambda peer, stream_id: peer.write(stream_id, head)
    assert_refused(client, hostile, quiver.ResponseTooLarge, ErrorCode.H3_REQUEST_CANCELLED)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("attack", SILENT_FLOODS.values(), ids=SILENT_FLOODS)
def test_what_means_nothing_is_silence(
    client: quiver.Client, hostile: HostileOrigin, attack: Attack
) -> None:
    hostile.attack = attack
    code = ErrorCode.H3_REQUEST_CANCELLED
    assert_refused(client, hostile, quiver.ReceiveTimeout, code, receive_timeout=0.5)


@pytest.mark.one_in(4)
@pytest.mark.parametrize("attack", PASSING_FLOODS.values(), ids=PASSING_FLOODS)
def test_a_flood_beside_the_requests_passes(
    client: quiver.Client, hostile: HostileOrigin, attack: Attack
) -> None:
    """It takes its share of time and no memory; the requests on the connection go on."""
    hostile.attack = attack
    limits: dict[str, Any] = {"timeout": TIMEOUT, "receive_timeout": TIMEOUT}
    client.get(hostile.url + "/ok", timeout=TIMEOUT)
    with bounded(MOST):
        flooded = asked(client, hostile, "/attack", TIMEOUT)
        for _ in range(5):
            assert client.get(hostile.url + "/ok", **limits).body == b"ok"
        assert flooded.get(timeout=TIMEOUT).body == b"ok"
    assert len(hostile.clients) == 1
    assert hostile.clients[0].closed is None


@pytest.mark.parametrize(
    "attack",
    [PASSING_FLOODS["datagrams"], SILENT_FLOODS["empty DATA frames"], ENDLESS_INTERIM],
    ids=["datagrams", "empty DATA frames", "interim responses"],
)
def test_another_origin_is_served_meanwhile(
    client: quiver.Client, hostile: HostileOrigin, authority: Authority, attack: Attack
) -> None:
    hostile.attack = attack
    with HostileOrigin(authority) as neighbour:
        assert client.get(neighbour.url + "/ok", timeout=TIMEOUT).body == b"ok"
        flooded = asked(client, hostile, "/attack", TIMEOUT)
        for _ in range(20):
            assert client.get(neighbour.url + "/ok", timeout=TIMEOUT).body == b"ok"
        assert len(neighbour.clients) == 1
        flooded.cancel()


def test_goaways_without_end_let_the_last_request_finish(
    client: quiver.Client, hostile: HostileOrigin
) -> None:
    hostile.attack = falling_goaways(20_000)
    with bounded(MOST):
        flooded = asked(client, hostile, "/attack")
        assert flooded.get(timeout=TIMEOUT).body == b"ok"
    assert client.get(hostile.url + "/ok", timeout=TIMEOUT).body == b"ok"
    assert [len(seen.asked) for seen in hostile.clients] == [1, 1]


# retries have an end ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "attempts"),
    [(ErrorCode.H3_REQUEST_REJECTED, 2), (ErrorCode.H3_INTERNAL_ERROR, 1), (1 << 60, 1)],
)
def test_a_server_that_resets_everything_is_not_asked_for_ever(
    client: quiver.Client, hostile: HostileOrigin, code: int, attempts: int
) -> None:
    hostile.attack = lambda peer, stream_id: peer.reset(stream_id, code)
    replies = [asked(client, hostile, "/attack") for _ in range(200)]
    for reply in replies:
        with pytest.raises(quiver.StreamReset) as raised:
            reply.get(timeout=TIMEOUT)
        assert raised.value.code == code
    assert client.get(hostile.url + "/ok", timeout=TIMEOUT).body == b"ok"
    [seen] = hostile.clients
    assert len(seen.asked) == attempts * len(replies) + 1


def test_a_server_that_refuses_all_by_goaway_is_not_asked_for_ever(
    client: quiver.Client, hostile: HostileOrigin
) -> None:
    hostile.attack = lambda peer, _: peer.write(CONTROL, goaway(0))
    with pytest.raises(quiver.GoAway):
        client.get(hostile.url + "/attack", timeout=TIMEOUT)
    assert len(hostile.clients) == 2  # max_connections, and once more
    assert client.get(hostile.url + "/ok", timeout=TIMEOUT).body == b"ok"


# too slow -----------------------------------------------------------------------------------

DROP: Final = 0.05  # seconds


def test_a_byte_now_and_then_is_no_silence(client: quiver.Client, hostile: HostileOrigin) -> None:
    hostile.attack = drop_by_drop(b"x" * 20, DROP, RESPONSE + data(b"x" * 20)[:2])
    began = time.monotonic()
    answer = client.get(hostile.url + "/attack", receive_timeout=0.5, timeout=TIMEOUT)
    assert answer.body == b"x" * 20
    assert time.monotonic() - began > 0.5


def test_the_timeout_holds_however_often_a_byte_comes(
    client: quiver.Client, hostile: HostileOrigin
) -> None:
    hostile.attack = drop_by_drop(b"x" * 1000, DROP, RESPONSE + data(b"x" * 1000)[:3])
    began = time.monotonic()
    code = ErrorCode.H3_REQUEST_CANCELLED
    assert_refused(client, hostile, quiver.RequestTimeout, code, receive_timeout=0.5, timeout=1.0)
    assert 1.0 <= time.monotonic() - began < 20.0  # all of it takes 50


@pytest.mark.slow
def test_a_byte_every_ten_seconds(client: quiver.Client, hostile: HostileOrigin) -> None:
    """The default limit of silence bears it; what ends it is the request's own `timeout`."""
    hostile.attack = drop_by_drop(b"x" * 10, 10.0, RESPONSE + data(b"x" * 10)[:2])
    began = time.monotonic()
    with pytest.raises(quiver.RequestTimeout, match=r"timeout=25\.0"):
        client.get(hostile.url + "/attack", timeout=25.0)
    assert 25.0 <= time.monotonic() - began < 50.0  # all of it takes 100
    hostile.wait(lambda: told(hostile) == {ErrorCode.H3_REQUEST_CANCELLED})
    assert client.get(hostile.url + "/ok", timeout=TIMEOUT).body == b"ok"


def test_bytes_that_complete_nothing_are_silence(
    client: quiver.Client, hostile: HostileOrigin
) -> None:
    """A header section that trickles in keeps no caller waiting beyond `receive_timeout`."""
    hostile.attack = drop_by_drop(response((b"x", b"v" * 1000)), DROP)
    code = ErrorCode.H3_REQUEST_CANCELLED
    assert_refused(client, hostile, quiver.ReceiveTimeout, code, receive_timeout=0.5)
