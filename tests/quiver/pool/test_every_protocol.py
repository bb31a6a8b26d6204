"""What all pools promise, over HTTP/2 and HTTP/1.1: by a client of one, and by one that chooses.

There HTTP/3 is dialled beside, in vain. That HTTP/3 keeps it is shown elsewhere in this folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import quiver
from quiver import telemetry
from quiver.pool.ref import PoolRef
from quiver.testing import Authority
from tests.support.servers.over_tcp import SPOKEN, Served, each_client, serving_over_tcp
from tests.support.waiting import until

ONE = {"max_connections": 1, "max_connections_http1": 1}
MUCH = 30_000_000  # bytes: kernels hold some megabytes

pytestmark = each_client


@pytest.fixture
def served(protocol: str, authority: Authority) -> Iterator[Served]:
    with serving_over_tcp(protocol, authority) as made:
        yield made


def client_of(served: Served, knows: tuple[str, ...], **options: Any) -> quiver.Client:
    pools = {"default": {"cafile": served.cafile, **ONE, **options}}
    return quiver.Client(pools=pools, protocols=knows)


def get(path: str, **more: Any) -> quiver.Request:
    return quiver.Request("GET", path, **more)


def number_of(response: quiver.Response) -> int:
    assert response.connection is not None
    return response.connection.number


def numbers(pool: PoolRef) -> list[int]:
    """Of the connections that there are."""
    return [each.number for each in pool.ask(quiver.GetConnections())]


def test_interim_responses_and_trailers(protocol: str, knows: Any, served: Served) -> None:
    heard: list[Any] = []
    with client_of(served, knows) as client:
        pool = client.pool(served.url)
        hinted = pool.ask(get("/hints", on_informational=lambda *each: heard.append(each)))
        assert (hinted.body, hinted.http_version) == (b"ok", SPOKEN[protocol])
        assert heard == [(103, [("link", "</a>")])]
        told = pool.ask(get("/trailers"))
        assert (told.body, told.trailers) == (b"x", [("x-sum", "1")])


def test_an_upload_that_is_streamed(knows: Any, served: Served) -> None:
    large = b"0123456789" * 100_000
    with client_of(served, knows) as client:
        pieces = (large[at : at + 7_777] for at in range(0, len(large), 7_777))
        assert client.post(served.url + "/echo", body=pieces, timeout=30.0).body == large


def test_an_answer_before_the_upload_has_gone(knows: Any, served: Served) -> None:
    taken = 0

    def body() -> Iterator[bytes]:
        nonlocal taken
        yield b"first"
        until(lambda: served.seen["/early"], what="it is there")
        while taken < 10 * MUCH:
            taken += 10_000
            yield bytes(10_000)

    with client_of(served, knows) as client:
        pool = client.pool(served.url)
        request = quiver.Request("POST", "/early", body=body())
        assert pool.ask(request, timeout=30.0).status == 413
        assert taken < 5 * MUCH, "the rest is not asked for"
        assert pool.ask(get("/ok"), timeout=10.0).body == b"ok"


def test_a_server_that_reads_nothing_stops_the_iterator(knows: Any, served: Served) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 65_536
            yield bytes(65_536)

    with client_of(served, knows) as client:
        pool = client.pool(served.url)
        assert pool.ask(get("/ok")).body == b"ok"
        limits: dict[str, Any] = {"send_timeout": 0.7, "receive_timeout": 60.0, "timeout": 60.0}
        with served.deaf(), pytest.raises(quiver.SendTimeout):
            pool.ask(quiver.Request("POST", "/echo", body=endless(), **limits), timeout=20.0)
        assert taken < MUCH
        assert pool.ask(get("/ok"), timeout=10.0).body == b"ok"


def test_a_reader_that_stalls_stops_the_server_and_no_other(knows: Any, served: Served) -> None:
    sizes = {"max_connections_http1": 2, "receive_window": 65_536}
    with client_of(served, knows, **sizes) as client:
        pool = client.pool(served.url)
        with pool.ask(quiver.StreamRequest("GET", "/bytes/2000000", timeout=60.0)) as stalled:
            first = next(iter(stalled))
            for _ in range(5):
                assert pool.ask(get("/ok"), timeout=10.0).body == b"ok"
            assert len(first) + sum(map(len, stalled)) == 2_000_000


def test_a_cancel_frees_the_slot(knows: Any, served: Served) -> None:
    with client_of(served, knows, max_streams_per_connection=1) as client:
        pool = client.pool(served.url)
        for turn in range(3):
            held = pool.ask(get("/held"), block=False)
            until(lambda: served.seen["/held"] > turn, what="it is there")  # noqa: B023
            late = pool.ask(get("/ok"), block=False)
            held.cancel()
            assert late.get(timeout=10.0).body == b"ok"
        assert served.seen["/held"] == 3
        served.release()


def test_a_connection_is_kept(knows: Any, served: Served) -> None:
    with client_of(served, knows) as client:
        pool = client.pool(served.url)
        first = number_of(pool.ask(get("/ok")))
        assert {number_of(pool.ask(get("/ok"))) for _ in range(20)} == {first}
        assert served.open == 1


@pytest.mark.parametrize(
    "options",
    [{"idle_timeout": 0.3}, {"max_age": 0.3}, {"max_requests_per_connection": 2}],
    ids=str,
)
def test_options_of_a_connections_life(options: dict[str, Any], knows: Any, served: Served) -> None:
    with client_of(served, knows, **options) as client:
        pool = client.pool(served.url)
        first = number_of(pool.ask(get("/ok")))
        if "max_requests_per_connection" in options:
            counted = Counter(number_of(pool.ask(get("/ok"))) for _ in range(6))
            assert max(counted.values()) <= 2 and len(counted) >= 3
        else:
            until(lambda: first not in numbers(pool), what="it leaves")
        assert number_of(pool.ask(get("/ok"), timeout=10.0)) != first


def test_what_is_open_at_the_stop_finishes(knows: Any, served: Served) -> None:
    with client_of(served, knows) as client:
        pool = client.pool(served.url)
        held = pool.ask(get("/held"), block=False)
        until(lambda: served.held == 1, what="it is there")
        pool.stop(block=False)
        until(lambda: refuses(pool), what="it takes no more")
        served.release()
        assert held.get(timeout=10.0).body == b"released"
        until(lambda: served.open == 0, what="it is closed")


def refuses(pool: PoolRef) -> bool:
    try:
        pool.ask(get("/ok"), timeout=1.0)
    except quiver.PoolStopped:
        return True
    return False


def test_telemetry_tells_each_beginning_one_end(protocol: str, knows: Any, served: Served) -> None:
    heard: Counter[str] = Counter()
    versions: set[str | None] = set()

    def listen(name: str, _: Any, about: Any) -> None:
        heard[name] += 1
        if name == "connection.stop":
            versions.add(about["http_version"])

    telemetry.attach("promises", telemetry.EVENTS, listen)
    try:
        with client_of(served, knows) as client:
            pool = client.pool(served.url)
            for _ in range(3):
                pool.ask(get("/ok"))
            held = pool.ask(get("/held"), block=False)
            until(lambda: served.held == 1, what="it is there")
            held.cancel()
            pool.ask(get("/ok"))
    finally:
        telemetry.detach("promises")
        served.release()
    ends = heard["request.stop"], heard["request.exception"]
    assert heard["request.start"] == sum(ends) and ends == (4, 1)
    ended = heard["connection.stop"] + heard["connection.exception"]
    assert heard["connection.start"] == ended and versions == {SPOKEN[protocol]}
