"""Tries over HTTP/3 and TCP, as many as Retry allows; what can be sent once is not sent again."""

from __future__ import annotations

import inspect
import io
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry
from urllib3.exceptions import NewConnectionError

from quiver.adapters.policy import Policy
from quiver.adapters.requests import HTTP3Adapter
from quiver.testing import Answer, Authority, LocalOrigin, Reset
from tests.support.servers.http1_backend import backend
from tests.support.waiting import until

ANY = Retry(3, status_forcelist=[503], allowed_methods=None, backoff_factor=0)
Outcome = Any


class Flaky:
    """A server whose path /x has other outcomes for the first requests, and echoes those after."""

    def __init__(self, local: LocalOrigin) -> None:
        self.local = local
        self.url = local.url + "/x"
        self.bodies: list[bytes] = []
        self.outcomes: list[Outcome] = []
        local.route("/x")(self._answer)

    def _answer(self, asked: Any) -> Outcome:
        self.bodies.append(asked.body)
        return self.outcomes.pop(0) if self.outcomes else (200, {}, asked.body)


@pytest.fixture
def flaky(authority: Authority) -> Iterator[Flaky]:
    with LocalOrigin(authority=authority) as local:
        yield Flaky(local)


Open = Callable[..., requests.Session]


@pytest.fixture
def opened(authority: Authority) -> Iterator[Open]:
    """Opens a session over HTTP/3 with these retries."""
    sessions = []

    def open_session(retries: Retry | int = 0, **options: Any) -> requests.Session:
        session = requests.Session()
        session.trust_env, session.verify = False, authority.cafile
        session.mount("https://", HTTP3Adapter(max_retries=retries, **options))
        sessions.append(session)
        return session

    yield open_session
    for session in sessions:
        session.close()


def test_a_status_that_is_to_be_tried_again(opened: Open, flaky: Flaky) -> None:
    flaky.outcomes = [(503, {}, b""), (503, {}, b"x" * 100_000)]
    response = opened(ANY, fallback=False).get(flaky.url)
    assert (response.status_code, response.raw.version) == (200, 30)
    assert [each.status for each in response.raw.retries.history] == [503, 503]
    assert len(flaky.bodies) == 3


def test_too_many_of_them(opened: Open, flaky: Flaky) -> None:
    flaky.outcomes = [(503, {}, b"sorry")] * 9
    with pytest.raises(requests.exceptions.RetryError, match="too many 503"):
        opened(ANY, fallback=False).get(flaky.url)
    assert len(flaky.bodies) == 4
    calm = ANY.new(raise_on_status=False, total=1)
    assert opened(calm, fallback=False).get(flaky.url).content == b"sorry"


def test_without_retries_a_status_is_an_answer(opened: Open, flaky: Flaky) -> None:
    flaky.outcomes = [(503, {"retry-after": "1"}, b"sorry")]
    assert opened(fallback=False).get(flaky.url).content == b"sorry"


def test_retry_after(opened: Open, flaky: Flaky) -> None:
    flaky.outcomes = [(503, {"retry-after": "1"}, b"")]
    began = time.monotonic()
    assert opened(1, fallback=False).get(flaky.url).status_code == 200
    assert time.monotonic() - began >= 1.0


def test_methods_that_are_not_to_be_tried_again(opened: Open, flaky: Flaky) -> None:
    session = opened(Retry(3, status_forcelist=[503], backoff_factor=0), fallback=False)
    flaky.outcomes = [(503, {}, b"")]
    assert session.post(flaky.url, data=b"abc").status_code == 503
    flaky.outcomes = [Reset(0x102)]
    with pytest.raises(requests.ConnectionError):
        session.post(flaky.url, data=b"abc")
    flaky.outcomes = [Reset(0x102)]
    assert session.put(flaky.url, data=b"abc").content == b"abc"
    assert len(flaky.bodies) == 4


class Untold:
    """A file that can be read, and no more."""

    def __init__(self) -> None:
        self.read = io.BytesIO(b"abc").read


ONCE: list[Callable[[], Any]] = [lambda: iter([b"a", b"bc"]), lambda: (c for c in "abc"), Untold]
AGAIN: list[Callable[[], Any]] = [
    lambda: b"abc",
    lambda: io.BytesIO(b"abc"),
    lambda: io.StringIO("abc"),
]
FAILURES = [(503, {}, b""), Reset(0x102), Reset(0x10C)]


@pytest.mark.parametrize("failure", FAILURES, ids=["503", "reset", "cancelled"])
@pytest.mark.parametrize("body", ONCE, ids=["iterator", "generator", "file"])
def test_what_can_be_sent_once_is_sent_once(
    body: Callable[[], Any], failure: Outcome, opened: Open, flaky: Flaky
) -> None:
    flaky.outcomes = [failure]
    session = opened(ANY, fallback=False)
    if isinstance(failure, Reset):
        with pytest.raises(requests.ConnectionError):
            session.put(flaky.url, data=body())
    else:
        assert session.put(flaky.url, data=body()).status_code == 503
    until(lambda: flaky.bodies == [b"abc"])


@pytest.mark.parametrize("failure", FAILURES, ids=["503", "reset", "cancelled"])
@pytest.mark.parametrize("body", AGAIN, ids=["bytes", "file", "text"])
def test_what_can_be_sent_again_is_sent_whole(
    body: Callable[[], Any], failure: Outcome, opened: Open, flaky: Flaky
) -> None:
    flaky.outcomes = [failure, failure]
    assert opened(ANY, fallback=False).put(flaky.url, data=body()).content == b"abc"
    assert flaky.bodies == [b"abc"] * 3


def test_a_file_is_sent_again_from_where_it_stood(opened: Open, flaky: Flaky) -> None:
    file = io.BytesIO(b"skipped, abc")
    file.seek(9)
    flaky.outcomes = [(503, {}, b"")]
    assert opened(ANY, fallback=False).post(flaky.url, data=file).content == b"abc"


def test_no_connection_in_several_tries(opened: Open) -> None:
    session = opened(Retry(connect=2, backoff_factor=0), fallback=False)
    with pytest.raises(requests.ConnectionError) as caught:
        session.post("https://127.0.0.1:1/", data=iter([b"never read"]))
    reason: Any = caught.value.args[0].reason
    assert isinstance(reason, NewConnectionError)
    assert type(caught.value.__cause__).__name__ == "ConnectionRefused"


def test_silence_is_a_read_timeout(opened: Open, flaky: Flaky) -> None:
    flaky.outcomes = [Answer(delay=60.0)]
    with pytest.raises(requests.ReadTimeout, match="Read timed out"):
        opened(fallback=False).get(flaky.url, timeout=(10, 0.2))
    flaky.outcomes = [Answer(delay=60.0)]
    assert opened(1, fallback=False).get(flaky.url, timeout=(10, 1.0)).status_code == 200


# over both ------------------------------------------------------------------------------------

NOT_HERE = Reset(0x110)  # H3_VERSION_FALLBACK


@pytest.fixture
def both(authority: Authority) -> Iterator[Flaky]:
    """A server of HTTP/3 and one of HTTP/1.1 on one port; over TCP each path echoes."""
    with (
        backend(authority.issue()) as port,
        LocalOrigin(authority=authority, port=port) as local,
    ):
        server = Flaky(local)
        server.url = f"https://127.0.0.1:{port}/back/echo"
        local.route("/back/echo")(server._answer)
        yield server


def test_over_one_and_then_the_other(opened: Open, both: Flaky) -> None:
    both.outcomes = [(503, {}, b""), NOT_HERE]
    file = io.BytesIO(b"skipped, abc")
    file.seek(9)
    response = opened(ANY, policy=Policy(fallback_after=10.0)).put(both.url, data=file)
    assert (response.status_code, response.raw.version) == (200, 11)
    assert response.json()["body"] == "abc"
    assert both.bodies == [b"abc"] * 2


@pytest.mark.parametrize("body", [b"abc", iter([b"abc"])], ids=["bytes", "iterator"])
def test_the_rest_of_the_tries_is_for_tcp(body: Any, opened: Open, both: Flaky) -> None:
    """Where urllib3 goes on; what can be sent once it sends once."""
    both.local.route("/back/status/503")(lambda asked: NOT_HERE)
    url = both.url.replace("echo", "status/503")
    session = opened(ANY, policy=Policy("alt-svc"))
    if isinstance(body, bytes):
        with pytest.raises(requests.exceptions.RetryError) as caught:
            session.put(url, data=body)
        assert caught.value.__cause__ is None
    else:
        assert session.put(url, data=body).status_code == 503


def test_canary_what_requests_asks_of_a_pool() -> None:
    asked = re.findall(r"\bconn\b.*", inspect.getsource(HTTPAdapter.send))
    assert [each.split("(")[0].strip() for each in asked] == [
        "conn = self.get_connection_with_tls_context",
        "conn, request.url, verify, cert)",
        "conn.urlopen",
    ]
