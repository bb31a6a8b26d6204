"""HTTP3Adapter is requests' own adapter: what programs do to that one they do to this."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from quiver.adapters.policy import Policy
from quiver.adapters.requests import HTTP3Adapter
from quiver.testing import Answer, Authority, LocalOrigin, Origin
from tests.support.waiting import until

COPIES: list[Callable[[Any], Any]] = [
    lambda each: pickle.loads(pickle.dumps(each)),
    copy.deepcopy,
]


@pytest.mark.parametrize("copied", COPIES, ids=["pickle", "deepcopy"])
def test_a_copy_of_a_session_has_the_same_options_and_connections_of_its_own(
    copied: Callable[[Any], Any], session: requests.Session, origin: Origin, tmp_path: Path
) -> None:
    policy = Policy("alt-svc", fallback_after=2.0, hints=[origin.url], file=tmp_path / "file")
    pools = {"default": {"max_connections": 1}}
    given = HTTP3Adapter(7, 9, Retry(3), fallback=False, policy=policy, pools=pools)
    session.mount("https://", given)
    assert session.get(origin.url + "/ok").raw.version == 30
    with copied(session) as other:
        session.close()
        adapter = other.get_adapter(origin.url)
        assert type(adapter) is HTTP3Adapter
        assert adapter.max_retries.total == 3
        assert adapter.poolmanager.connection_pool_kw["maxsize"] == 9
        assert other.get(origin.url + "/ok").raw.version == 30
        with pytest.raises(requests.exceptions.InvalidURL):  # fallback=False
            adapter.send(requests.Request("GET", "http://localhost/").prepare())


def test_a_policy_that_is_copied_has_its_options(tmp_path: Path) -> None:
    policy = Policy("alt-svc", fallback_after=2.0, hints=["https://a"], file=tmp_path / "file")
    twice = pickle.loads(pickle.dumps([policy, policy]))
    assert twice[0] is twice[1], "adapters that share one share it still"
    assert twice[0].fallback_after == 2.0
    assert options_of(twice[0]) == options_of(policy)
    assert options_of(policy)["file"] == tmp_path / "file"


def options_of(policy: Policy) -> dict[str, object]:
    """What it is made of again. Bytes of pickles differ by which strings are one object."""
    made, _ = policy.__reduce__()
    assert isinstance(made, partial)
    return made.keywords


class Noting(HTTP3Adapter):
    """One of the subclasses that are made of HTTPAdapter."""

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        response = super().build_response(req, resp)
        response.headers["x-built"] = type(self).__name__
        return response

    def add_headers(self, request: requests.PreparedRequest, **_: Any) -> None:
        request.headers["x-added"] = "yes"

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        return super().request_url(request, proxies) + "?asked=elsewhere"


def test_what_a_subclass_overrides_is_called(session: requests.Session, origin: Origin) -> None:
    session.mount("https://", Noting(fallback=False))
    assert isinstance(session.get_adapter(origin.url), HTTPAdapter)
    response = session.get(origin.url + "/headers")
    assert response.headers["x-built"] == "Noting"
    assert ["x-added", "yes"] in response.json()
    assert response.connection is session.get_adapter(origin.url)


def test_the_errors_tell_quivers_own(session: requests.Session) -> None:
    with pytest.raises(requests.ConnectionError) as caught:
        session.get("https://127.0.0.1:1/")
    assert type(caught.value.__cause__).__name__ == "ConnectionRefused"
    assert "https://127.0.0.1:1" in str(caught.value)


@pytest.mark.parametrize("fallback", [None, "quiver"])
def test_urls_that_are_none_for_either(fallback: str | None) -> None:
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTP3Adapter(fallback=fallback))
            prepared = requests.Request("GET", "https://localhost/").prepare()
            prepared.url = scheme + ":1/"
            with pytest.raises(requests.exceptions.InvalidURL):
                session.send(prepared)


def test_closed_while_it_is_read(session: requests.Session, origin: Origin) -> None:
    """As `requests.get(url, stream=True)` does it, which closes its session before it returns."""
    response = session.get(origin.url + "/drip/50/0.01?size=1000", stream=True)
    session.close()
    assert len(response.content) == 50_000


def test_a_reader_that_pauses_is_cut_off_if_that_is_asked_for(
    session: requests.Session, origin: Origin
) -> None:
    pools = {"default": {"stream_idle_timeout": 0.3}}
    session.mount("https://", HTTP3Adapter(fallback=False, pools=pools))
    response = session.get(origin.url + "/bytes/5000000", stream=True)
    until(lambda: origin.streams_open() == 0)
    with pytest.raises(requests.ConnectionError):
        assert response.content


@pytest.mark.long
def test_a_reader_that_pauses_is_not_cut_off(session: requests.Session, origin: Origin) -> None:
    """Though it does so for longer than a pool lets it by itself, and than its own limit is."""
    response = session.get(origin.url + "/bytes/5000000", stream=True, timeout=(5, 5))
    threading.Event().wait(33.0)
    assert len(response.content) == 5_000_000


def test_closed_though_nobody_reads(session: requests.Session, origin: Origin) -> None:
    """And though a dial is under way: it waits for neither."""
    response = session.get(origin.url + "/bytes/5000000", stream=True)
    closing = threading.Thread(target=session.close, daemon=True)
    closing.start()
    closing.join(4.0)  # below the five seconds of a `shutdown_timeout`
    assert not closing.is_alive()
    response.close()


# other libraries ------------------------------------------------------------------------------


def test_responses_mocks_it(session: requests.Session) -> None:
    responses = pytest.importorskip("responses")
    url = "https://nowhere.invalid/x"
    with responses.RequestsMock() as mock:
        mock.add(responses.GET, url, body="mocked")
        assert session.get(url).text == "mocked"
        assert mock.calls[0].request.url == url


def test_responses_lets_pass(session: requests.Session, origin: Origin) -> None:
    responses = pytest.importorskip("responses")
    with responses.RequestsMock() as mock:
        mock.add_passthru(origin.url)
        assert session.get(origin.url + "/ok").raw.version == 30


@pytest.mark.parametrize("length", [True, False])
def test_cachecontrol_caches_what_comes(length: bool, authority: Authority) -> None:
    """Also without a content-length, where pieces are given on as they come."""
    cachecontrol: Any = pytest.importorskip("cachecontrol.adapter")
    cached = type("Cached", (cachecontrol.CacheControlAdapter, HTTP3Adapter), {})
    fields = {"cache-control": "max-age=100", "date": formatdate(usegmt=True)}
    body = b"x" * 10_000
    with LocalOrigin(authority=authority) as local, requests.Session() as session:
        answer = (200, fields, body) if length else Answer(headers=fields, body=[body])
        local.route("/cached")(lambda asked: answer)
        session.trust_env, session.verify = False, local.cafile
        session.mount("https://", cached(fallback=False))
        got = [session.get(local.url + "/cached") for _ in range(3)]
        assert [each.content for each in got] == [body] * 3
        assert [getattr(each, "from_cache", None) for each in got] == [False, True, True]
        assert local.requests_served("/cached") == 1
