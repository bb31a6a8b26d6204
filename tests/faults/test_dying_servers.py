"""Servers that die or misbehave in the middle: who gets which error, and that the pool goes on.

`test_faults` kills and suspends servers under load; here are the kinds of end that have a name.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import pytest

import quiver
from quiver.testing import Authority, Origin
from quiver.testing.options import OriginKeywords
from tests.support.chaos.background_load import Load, asking, recovers, run_callers
from tests.support.network.conditions import a_seed
from tests.support.network.relay import Relay

TIMEOUT = 3.0
LATE = 2.0  # seconds that a machine with few cores and many threads may add

H3_ID_ERROR = 0x108

# Of each class of error, whether it is QUIC's own, its name in the message, and its code.
CLOSES = [
    (False, "H3_NO_ERROR", 0x100),
    (False, "H3_INTERNAL_ERROR", 0x102),
    (False, "H3_REQUEST_REJECTED", 0x10B),
    (False, "QPACK_DECOMPRESSION_FAILED", 0x200),
    (False, "code 0x7777", 0x7777),
    (True, "NO_ERROR", 0x00),
    (True, "CONNECTION_REFUSED", 0x02),
    (True, "PROTOCOL_VIOLATION", 0x0A),
    (True, "TLS handshake_failure", 0x128),
    (True, "transport code 0x9999", 0x9999),
]


def client_of(origin: Origin, **options: object) -> quiver.Client:
    return quiver.Client(pools={"default": {"cafile": origin.cafile, **options}})


def account(load: Load, origin: Origin, *errors: type[Exception]) -> None:
    """One outcome for each ask, in time and of an allowed kind; nothing was done twice."""
    load.check(within=TIMEOUT + LATE)
    assert all(isinstance(each.error, errors) for each in load.failed), load.summary()
    assert set(origin.seen_ids().values()) <= {1}


@pytest.mark.one_in(3)
@pytest.mark.parametrize(("transport", "name", "code"), CLOSES)
def test_connection_close(origin: Origin, transport: bool, name: str, code: int) -> None:
    """Whatever the code: those who were out are told it, and the next are answered."""
    with client_of(origin) as client:
        with Load(client, asking(origin.url, TIMEOUT)) as load:
            load.wait_answered(50)
            origin.disconnect(code, "as asked", transport=transport)
            load.wait_failed()
            load.wait_answered(50)
        account(load, origin, quiver.ConnectionLost)
        for outcome in load.failed:
            assert isinstance(outcome.error, quiver.ConnectionLost)
            assert (outcome.error.code, outcome.error.reason) == (code, "as asked")
            assert f"closed it with {name}" in str(outcome.error)


@pytest.mark.parametrize(
    "ids",
    [(5,), (2,), (400, 404), (400, 200, 204)],
    ids=["odd", "push", "growing", "growing later"],
)
def test_goaway_with_a_bad_id(origin: Origin, ids: tuple[int, ...]) -> None:
    """RFC 9114 5.2 and 7.2.6: the connection is closed with H3_ID_ERROR, and another dialled."""
    with client_of(origin, max_connections=1) as client:
        open_request = threading.Thread(target=hang, args=(client, origin.url))
        assert client.get(origin.url + "/ok").status == 200
        open_request.start()
        wait_for(lambda: origin.requests_served("/hang") == 1)
        for each in ids:
            origin.goaway(each)
        wait_for(lambda: origin.closes().get(H3_ID_ERROR) == 1)
        open_request.join(10)
        assert not open_request.is_alive()
        recovers(client, origin.url + "/ok")


def hang(client: quiver.Client, url: str) -> None:
    """A request that is not answered; a GOAWAY that spares it leaves the fault to end it."""
    with pytest.raises((quiver.ProtocolViolation, quiver.GoAway, quiver.RequestTimeout)):
        client.get(url + "/hang", timeout=5.0)


def wait_for(met: Callable[[], bool], within: float = 10.0) -> None:
    due = time.monotonic() + within
    while not met():
        assert time.monotonic() < due, f"not within {within} s"
        threading.Event().wait(0.02)


def test_goaway_at_random_times(origin: Origin) -> None:
    """Whenever it comes, what it refuses is carried on, and nobody notices."""
    dice = random.Random(a_seed())
    with client_of(origin) as client:
        with Load(client, asking(origin.url, TIMEOUT)) as load:
            for _ in range(15):
                load.wait_answered(dice.randrange(1, 60))
                origin.goaway()
                # Two connections bear to be refused by both, not a third time: none meets the next
                # one that was out, nor that was asked before the client heard of it.
                load.wait_ended()
                load.wait_ended()
            load.wait_answered(50)
        account(load, origin)
        assert origin.seen_ids().keys() == {str(outcome.id) for outcome in load.outcomes}


def test_no_streams_at_first(authority: Authority) -> None:
    """Callers wait for a stream, up to `checkout_timeout`; they go as soon as there are any."""
    with (
        Origin(authority=authority, max_streams=0, raise_streams=False) as origin,
        client_of(origin, checkout_timeout=0.5) as client,
    ):
        with Load(client, asking(origin.url, TIMEOUT)) as load:
            load.wait_failed(10)
            assert client.stats(origin.url).connections == 2
            origin.allow_streams(1_000)
            load.wait_answered(100)
        account(load, origin, quiver.CheckoutTimeout)
        assert max(outcome.seconds for outcome in load.failed) < 0.5 + LATE


def test_streams_are_never_raised(authority: Authority) -> None:
    """A connection that is used up makes room for another; nobody waits in vain."""
    with (
        Origin(authority=authority, max_streams=20, raise_streams=False) as origin,
        client_of(origin) as client,
    ):
        with Load(client, asking(origin.url, TIMEOUT)) as load:
            load.wait_answered(100)
        account(load, origin)
        assert load.failed == []
        assert origin.connections_accepted() >= 5


def test_idle_timeout_of_the_server_with_an_open_request(authority: Authority) -> None:
    """PINGs keep alive what is awaited."""
    with Origin(authority=authority, idle_timeout=3.0) as origin, client_of(origin) as client:
        assert client.get(origin.url + "/delay/4.5", timeout=30.0).status == 200
        assert origin.connections_accepted() == 1


def test_idle_timeout_of_a_second_between_requests(authority: Authority) -> None:
    """Each pause ends about when the connection is left, or when the server would forget it."""
    with Origin(authority=authority, idle_timeout=1.0) as origin, client_of(origin) as client:

        def caller(number: int) -> None:
            pauses = [0.65 + 0.02 * number, 0.9 + 0.02 * number, 1.5]
            for turn, pause in enumerate(pauses):
                threading.Event().wait(pause)
                url = f"{origin.url}/ok?id={number}-{turn}"
                assert client.get(url, timeout=TIMEOUT).status == 200

        run_callers("threads", 10, caller)
        assert len(origin.seen_ids()) == 30
        assert set(origin.seen_ids().values()) == {1}


def test_closes_after_every_hundredth_request(authority: Authority) -> None:
    """No GOAWAY, so no proof for those who were out: they are told, the others go on."""
    options: OriginKeywords = {"requests_per_connection": 100, "at_limit": "close"}
    with Origin(authority=authority, **options) as origin, client_of(origin) as client:
        with Load(client, asking(origin.url, TIMEOUT)) as load:
            load.wait_answered(1_000)
        account(load, origin, quiver.ConnectionLost)
        assert origin.connections_accepted() >= 10
        assert len(load.answered) > 0.8 * load.asked


def test_closes_after_every_hundredth_request_but_is_left_before(authority: Authority) -> None:
    options: OriginKeywords = {"requests_per_connection": 100, "at_limit": "close"}
    with (
        Origin(authority=authority, **options) as origin,
        client_of(origin, max_requests_per_connection=80) as client,
    ):
        with Load(client, asking(origin.url, TIMEOUT)) as load:
            load.wait_answered(1_000)
        account(load, origin)
        assert load.failed == []


def test_killed_while_the_pool_is_idle(origin: Origin) -> None:
    """Nobody was told anything; the first who asks after the restart is answered."""
    with client_of(origin) as client:
        assert client.get(origin.url + "/ok").status == 200
        origin.restart()
        started = time.monotonic()
        recovers(client, origin.url + "/ok")
        assert time.monotonic() - started < TIMEOUT + LATE


def test_restarted_server_that_sends_stateless_resets(authority: Authority) -> None:
    """The new one says at once what silence would say after a time limit (RFC 9000 10.3).

    The relay keeps it from the client that the port was closed meanwhile.
    """
    with (
        Origin(authority=authority, stateless_reset=True) as origin,
        Relay(origin.port) as relay,
        client_of(origin, max_connections=1) as client,
    ):
        assert client.get(relay.url + "/ok").status == 200
        origin.restart()
        started = time.monotonic()
        with pytest.raises(quiver.ConnectionLost, match="stateless reset"):
            client.get(relay.url + "/ok", timeout=TIMEOUT)
        assert time.monotonic() - started < TIMEOUT
        assert client.get(relay.url + "/ok", timeout=TIMEOUT).status == 200
        assert origin.requests_served() == 1


def test_suspended_again_and_again(origin: Origin) -> None:
    """SIGSTOP for less than the callers' limit, again and again: late answers, no errors."""
    with client_of(origin) as client:
        with Load(client, asking(origin.url, TIMEOUT)) as load:
            for _ in range(3):
                load.wait_answered(30)
                origin.suspend()
                threading.Event().wait(0.5)
                origin.resume()
            load.wait_answered(30)
        account(load, origin)
        assert load.failed == []
