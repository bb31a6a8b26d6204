"""How connections come about, or do not: in time, and each caller hears why."""

from __future__ import annotations

import gc
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import quiver
from quiver.pool import look_up_table
from quiver.pool.lane_race import LaneRace
from quiver.testing import Authority, Origin
from tests.support.network.host_names import Names
from tests.support.waiting import until


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes datagrams and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def closed() -> int:
    """A port where nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def client_of(**options: Any) -> quiver.Client:
    return quiver.Client(pools={"default": options})


def races() -> list[LaneRace]:
    gc.collect()
    # By its type: isinstance() asks a weak proxy for its class, and the thing may be gone.
    return [each for each in gc.get_objects() if type(each) is LaneRace]


def test_nothing_is_kept_of_a_dial_that_is_over() -> None:
    of_others = races()
    with Origin() as origin, client_of(cafile=origin.cafile) as client:
        assert client.get(f"{origin.url}/ok").status == 200
        assert [each for each in races() if each not in of_others] == []


def test_a_refused_port_is_told_at_once(closed: int) -> None:
    started = time.monotonic()
    with client_of(connect_timeout=10.0, checkout_timeout=None) as client:
        with pytest.raises(quiver.ConnectionRefused) as caught:
            client.get(f"https://127.0.0.1:{closed}/ok")
        assert time.monotonic() - started < 5.0
    expected = f"https://127.0.0.1:{closed}: connection refused: nobody listens there"
    assert str(caught.value) == expected
    assert isinstance(caught.value, ConnectionRefusedError)


def test_a_silent_port_is_given_up_after_connect_timeout(silent: int) -> None:
    started = time.monotonic()
    with client_of(connect_timeout=0.3, checkout_timeout=None) as client:
        with pytest.raises(quiver.ConnectTimeout) as caught:
            client.get(f"https://127.0.0.1:{silent}/ok")
        assert time.monotonic() - started >= 0.3
    assert str(caught.value) == (
        f"https://127.0.0.1:{silent}: no connection within connect_timeout=0.3 seconds: "
        f"127.0.0.1:{silent} answered nothing"
    )
    assert isinstance(caught.value, TimeoutError)


def test_one_callers_deadline_does_not_end_the_dial(origin: Origin) -> None:
    origin.suspend()
    rule = {"cafile": origin.cafile, "max_connections": 1}
    with client_of(**rule) as client, ThreadPoolExecutor(1) as executor:
        patient = executor.submit(client.get, origin.url + "/ok")
        until(lambda: client.stats(origin.url).queued == 1)
        with pytest.raises(quiver.RequestTimeout):
            client.get(origin.url + "/ok", timeout=0.2)
        origin.resume()
        assert patient.result(timeout=5.0).status == 200
    assert origin.requests_served() == 1


def test_a_name_without_an_address() -> None:
    with client_of() as client, pytest.raises(quiver.NameResolutionFailed) as caught:
        client.get("https://absent.invalid/ok")
    assert "host 'absent.invalid' cannot be resolved" in str(caught.value)
    assert str(caught.value).count("https://absent.invalid") == 1
    assert isinstance(caught.value, ConnectionError)


def test_a_slow_name_holds_up_nobody_else(origin: Origin, names: Names) -> None:
    names.slow.add("slow.invalid")
    with client_of(cafile=origin.cafile) as client, ThreadPoolExecutor(1) as executor:
        slow = executor.submit(client.get, "https://slow.invalid/ok")
        until(lambda: "slow.invalid" in names.asked)
        for _ in range(20):
            assert client.get(origin.url + "/ok", timeout=4.0).status == 200
        assert not slow.done()
        names.released.set()
        with pytest.raises(quiver.NameResolutionFailed):
            slow.result(timeout=5.0)


def test_names_that_hang_starve_nobody(
    origin: Origin, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_up_table, "STALE", 60.0)
    dead = [f"dead{n}.invalid" for n in range(15)]
    names.slow.update(dead)
    names["healthy.test"] = "127.0.0.1"
    rules = {"cafile": origin.cafile, "server_name": "localhost"}
    with client_of(**rules) as client, ThreadPoolExecutor(30) as executor:
        asking = [executor.submit(client.get, f"https://{host}/ok") for host in dead * 2]
        until(lambda: set(dead) <= set(names.asked))
        assert client.get(f"https://healthy.test:{origin.port}/ok", timeout=10.0).status == 200
        assert sorted(names.asked) == sorted([*dead, "healthy.test"]), "one for both dials"
        names.released.set()
        for each in asking:
            with pytest.raises(quiver.NameResolutionFailed):
                each.result(timeout=10.0)


def test_connect_timeout_holds_for_the_name_too(names: Names) -> None:
    names.slow.add("slow.invalid")
    started = time.monotonic()
    with client_of(connect_timeout=0.3) as client:
        with pytest.raises(
            quiver.NameResolutionFailed, match=r"connect_timeout=0\.3 sec"
        ) as caught:
            client.get("https://slow.invalid/ok")
        assert time.monotonic() - started < 4.0  # before checkout_timeout
    assert isinstance(caught.value, quiver.ConnectTimeout), "it is both, and a TimeoutError"
    assert "the name was still being resolved" in str(caught.value)


@pytest.mark.parametrize("first", ["127.0.0.2", "127.0.0.3"])
def test_the_next_address_is_tried(authority: Authority, names: Names, first: str) -> None:
    """The first one refuses, or takes datagrams and is silent."""
    names["two.example.test"] = f"{first} 127.0.0.1"
    certfile, keyfile = authority.issue(["two.example.test"])
    with (
        Origin(
            authority=authority, listen=("127.0.0.1",), certfile=certfile, keyfile=keyfile
        ) as origin,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound,
        client_of(cafile=origin.cafile, connect_timeout=60.0) as client,
    ):
        bound.bind(("127.0.0.3", origin.port))
        started = time.monotonic()
        assert client.get(f"https://two.example.test:{origin.port}/ok").status == 200
        assert time.monotonic() - started < 25.0, "it has no share of the time"


def test_a_stranger_on_the_port_is_no_server() -> None:
    """Datagrams that are no QUIC change nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with client_of(connect_timeout=0.5) as client, ThreadPoolExecutor(1) as executor:
            asked = executor.submit(client.get, f"https://127.0.0.1:{port}/ok")
            _, address = bound.recvfrom(65_536)
            for noise in (b"", b"\0", b"hello", bytes(1200), b"\xff" * 1400):
                bound.sendto(noise, address)
            with pytest.raises(quiver.ConnectTimeout):
                asked.result(timeout=5.0)


def test_an_idle_timeout_that_is_shorter_ends_it_as_well(
    silent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quiver.quic.aioquic.configuration._IDLE_MARGIN", 0.0)
    told = pytest.raises(quiver.ConnectTimeout, match=r"the idle timeout: .* answered nothing")
    options = {"connect_timeout": 20.0, "checkout_timeout": None, "idle_timeout": 0.3}
    with client_of(**options) as client, told:
        client.get(f"https://127.0.0.1:{silent}/ok")
