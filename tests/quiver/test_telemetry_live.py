"""Telemetry of real requests: what begins ends once, and a listener harms nobody."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography import x509

import quiver
from quiver import telemetry
from quiver.actors import log
from quiver.testing import Authority, Origin
from tests.support.network.host_names import Names
from tests.support.waiting import until

ENDS = {"stop", "exception"}


@attrs.frozen
class Event:
    """One event as a listener got it."""

    name: str
    measurements: dict[str, Any]
    metadata: dict[str, Any]


class Journal(list[Event]):
    """All that was heard, in order."""

    def note(self, name: str, measurements: dict[str, Any], metadata: dict[str, Any]) -> None:
        self.append(Event(name, measurements, metadata))

    def of(self, name: str) -> list[Event]:
        return [event for event in self if event.name == name]

    def count(self, name: str) -> int:  # type: ignore[override] # of events, not of equal items
        return len(self.of(name))


@pytest.fixture
def journal() -> Iterator[Journal]:
    heard = Journal()
    telemetry.attach("journal", telemetry.EVENTS, heard.note)
    yield heard
    telemetry.detach("journal")


def client_of(origin: Origin, **options: Any) -> quiver.Client:
    rule = {"cafile": origin.cafile, "max_connections": 1, **options}
    return quiver.Client(pools={"default": rule})


def test_a_request_that_is_answered(origin: Origin, journal: Journal) -> None:
    with client_of(origin) as client:
        client.get(origin.url + "/status/404?x=1")
        until(lambda: journal.count("request.stop") == 1)
    (start,), (stop,) = journal.of("request.start"), journal.of("request.stop")
    about = {"origin": origin.url, "method": "GET", "target": "/status/404?x=1"}
    assert (start.measurements, start.metadata) == ({}, about)
    assert stop.metadata == {**about, "status": 404}
    assert 0 < stop.measurements["duration"] < 5
    assert journal.count("request.exception") == 0


def test_a_request_that_fails(origin: Origin, journal: Journal) -> None:
    with client_of(origin) as client:
        with pytest.raises(quiver.RequestTimeout) as caught:
            client.get(origin.url + "/hang", timeout=0.2)
        until(lambda: journal.count("request.exception") == 1)
    (failed,) = journal.of("request.exception")
    assert failed.metadata["kind"] == "transient"
    assert failed.metadata["error"] is caught.value
    assert failed.measurements["duration"] >= 0.2 - 0.001  # a timer may be that early
    assert journal.count("request.stop") == 0


def test_the_life_of_a_connection(origin: Origin, journal: Journal) -> None:
    with client_of(origin) as client:
        for _ in range(3):
            client.get(origin.url + "/ok")
    until(lambda: journal.count("connection.stop") == 1)
    life = [event for event in journal if event.name.startswith("connection.")]
    names = ["start", "attempt", "ready", "settings", "draining", "stop"]
    assert [event.name for event in life] == [f"connection.{name}" for name in names]
    number = life[0].metadata["connection"]
    for event in life:
        assert (event.metadata["origin"], event.metadata["connection"]) == (origin.url, number)
    assert life[2].measurements["max_streams"] == 128
    assert 0 < life[2].measurements["duration"] < 5
    assert life[4].measurements == {"active": 0}
    assert "stop" in life[4].metadata["reason"]
    assert life[5].measurements["requests"] == 3
    assert life[5].metadata["established"]


def test_what_a_connection_has_agreed_on(origin: Origin, journal: Journal) -> None:
    with client_of(origin, idle_timeout=7.0) as client:
        client.get(origin.url + "/ok")
        until(lambda: journal.count("connection.settings") == 1)
    (attempt,), (ready,) = journal.of("connection.attempt"), journal.of("connection.ready")
    host, port = ready.metadata["address"]
    assert attempt.metadata["address"] == (host, port)
    assert host in ("127.0.0.1", "::1") and port == origin.port
    assert ready.metadata["local"][0] == host and ready.metadata["local"][1] not in (0, port)
    handshake = ready.metadata["handshake"]
    assert (handshake.version, handshake.alpn, handshake.max_streams) == ("1", "h3", 128)
    assert handshake.idle_timeout <= 60.0
    assert handshake.max_datagram_frame_size == 65_536
    assert re.fullmatch(r"AES_\d+_GCM_SHA\d+|CHACHA20_POLY1305_SHA256", handshake.cipher)
    shown = x509.load_der_x509_certificate(handshake.certificate)
    served = Path(origin.options.certfile).read_bytes()
    assert shown == x509.load_pem_x509_certificate(served)
    settings = journal.of("connection.settings")[0].metadata["settings"]
    assert settings["ENABLE_CONNECT_PROTOCOL"] == settings["H3_DATAGRAM"] == 1
    assert not any(name.startswith("0x") for name in settings)


def test_every_address_is_told_of(origin: Origin, journal: Journal, names: Names) -> None:
    free = "127.0.0.2"  # nobody listens there
    names["two.test"] = f"{free} 127.0.0.1"
    with client_of(origin, server_name="localhost") as client:
        client.get(f"https://two.test:{origin.port}/ok")
    tried = [event.metadata["address"][0] for event in journal.of("connection.attempt")]
    assert tried == [free, "127.0.0.1"]
    assert journal.of("connection.ready")[0].metadata["address"] == ("127.0.0.1", origin.port)


def test_a_connection_that_is_lost(origin: Origin, journal: Journal) -> None:
    with client_of(origin) as client:
        client.get(origin.url + "/ok")
        origin.disconnect(0x102, "fault")
        until(lambda: journal.count("connection.exception") == 1)
    (lost,) = journal.of("connection.exception")
    assert isinstance(lost.metadata["error"], quiver.ConnectionLost)
    assert lost.metadata["kind"] == "transient"
    assert journal.count("connection.stop") == 0


def test_a_connection_that_never_was(journal: Journal, authority: Authority) -> None:
    with Origin(authority=authority) as gone:
        refuses = client_of(gone)
    with refuses, pytest.raises(quiver.ConnectionRefused):
        refuses.get(gone.url + "/ok")
    assert journal.count("connection.ready") == 0
    assert [event.metadata["established"] for event in journal.of("connection.exception")] == [
        False
    ]


def test_the_depth_of_the_queue(origin: Origin, journal: Journal) -> None:
    options = {"max_streams_per_connection": 1}
    with client_of(origin, **options) as client, ThreadPoolExecutor(4) as executor:
        asked = [executor.submit(client.get, origin.url + "/delay/0.1") for _ in range(4)]
        assert [one.result().status for one in asked] == [200] * 4
        until(lambda: journal.of("queue.depth")[-1].measurements["queued"] == 0)
    depths = [event.measurements["queued"] for event in journal.of("queue.depth")]
    assert max(depths) >= 3
    assert all(one != other for one, other in pairwise(depths))
    assert {event.metadata["origin"] for event in journal.of("queue.depth")} == {origin.url}


def test_whatever_begins_ends_once(origin: Origin, journal: Journal) -> None:
    """Answers, timeouts, resets, cancelled and stopped requests, lost connections."""
    with client_of(origin, max_connections=2, shutdown_timeout=0.3) as client:
        pool: Any = client.pool(origin.url)
        paths = ["/ok", "/reset/0x102", "/hang", "/malformed", "/delay/0.05", "/reject"]
        futures = [
            pool.ask(quiver.Request("GET", f"{paths[n % 6]}?id={n}", timeout=0.5), block=False)
            for n in range(60)
        ]
        futures[2].cancel()
        origin.disconnect(0x102)
        until(lambda: all(future.done for future in futures))
        futures += [pool.ask(quiver.Request("GET", "/hang"), block=False) for _ in range(5)]
        until(lambda: journal.count("request.start") == 65)
    for future in futures:
        try:
            future.get(timeout=5.0)
        except quiver.QuiverError:
            pass
    for kind, key in (("request", "target"), ("connection", "connection")):
        begun: Counter[Any] = Counter()
        ended: Counter[Any] = Counter()
        until(lambda: starts(journal, kind) == stops(journal, kind))  # noqa: B023
        for event in journal:
            family, _, what = event.name.partition(".")
            if family == kind and what == "start":
                begun[event.metadata[key]] += 1
            elif family == kind and what in ENDS:
                ended[event.metadata[key]] += 1
        assert begun == ended


def starts(journal: Journal, kind: str) -> int:
    return journal.count(f"{kind}.start")


def stops(journal: Journal, kind: str) -> int:
    return sum(journal.count(f"{kind}.{end}") for end in ENDS)


def test_a_refused_request_begins_nothing(journal: Journal) -> None:
    with quiver.Client() as client, pytest.raises(quiver.InvalidRequest):
        client.get("https://localhost/", headers={"connection": "close"})
    assert journal == []


def test_a_failing_listener_harms_no_request(
    origin: Origin, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[str] = []

    def fails(event: str, *_: object) -> None:
        calls.append(event)
        raise RuntimeError("its own fault")

    for event in telemetry.EVENTS:
        telemetry.attach(f"fails on {event}", [event], fails)
    with client_of(origin, max_streams_per_connection=1) as client:
        with ThreadPoolExecutor(4) as executor:
            urls = [origin.url + "/ok"] * 20
            assert [response.status for response in executor.map(client.get, urls)] == [200] * 20
        with pytest.raises(quiver.StreamReset):
            client.get(origin.url + "/reset/0x102")
    assert len(calls) == len(set(calls)) >= 6
    assert not any(telemetry.detach(f"fails on {event}") for event in calls)
    log.flush(10.0)
    told = [record for record in caplog.records if record.name == "quiver.telemetry"]
    assert len(told) == len(calls)
    assert journal.count("request.stop") == 20
    for event in telemetry.EVENTS:
        telemetry.detach(f"fails on {event}")


def test_listeners_come_and_go_under_load(origin: Origin) -> None:
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            telemetry.attach("passing", telemetry.EVENTS, lambda *_: None)
            telemetry.detach("passing")

    with client_of(origin) as client, ThreadPoolExecutor(5) as executor:
        passing = executor.submit(come_and_go)
        urls = [origin.url + "/ok"] * 200
        try:
            assert {response.status for response in executor.map(client.get, urls)} == {200}
        finally:
            ended.set()
        passing.result(timeout=5.0)
    assert not telemetry.listening


def test_state_changes_are_told_at_debug(origin: Origin, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "quiver"), client_of(origin) as client:
        client.get(origin.url + "/ok")
    log.flush(10.0)
    said = [record.getMessage() for record in caplog.records if record.name == "quiver.pool"]
    for state in ("resolving", "connecting", "connected", "draining"):
        assert any(state in line and origin.url in line for line in said), said
    ours = [record for record in caplog.records if record.name.startswith("quiver")]
    assert {record.levelname for record in ours} == {"DEBUG"}


@pytest.mark.long
def test_quiet_by_default(origin: Origin) -> None:
    """A program that has set up no logging hears nothing, also when something fails."""
    program = f"""
import quiver
def fails(*heard):
    raise RuntimeError("its own fault")

quiver.telemetry.attach("fails", ["request.stop"], fails)
for options in ({{"cafile": {origin.cafile!r}}}, {{}}):
    with quiver.Client(pools={{"default": options}}) as client:
        for path in ("/ok", "/reset/0x102", "/malformed", "/close/0x101"):
            try:
                client.get({origin.url!r} + path)
            except quiver.QuiverError:
                pass
print("done")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.stdout, done.stderr) == ("done\n", "")


@pytest.mark.parametrize("event", ["request.start", "connection.ready", "request.stop"])
def test_a_listener_that_asks_is_refused_at_once(
    event: str, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    with client_of(origin) as client:
        telemetry.attach("asks", [event], lambda *_: client.get(origin.url + "/ok"))
        assert client.get(origin.url + "/ok", timeout=5.0).status == 200
        until(lambda: any(record.exc_info for record in caplog.records))
        assert "hand it to a thread" in caplog.text
        assert not telemetry.detach("asks")  # as every listener that fails
        assert client.get(origin.url + "/ok", timeout=5.0).status == 200
        assert client.stats(origin.url).active == 0
