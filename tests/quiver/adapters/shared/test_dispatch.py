"""What all adapters decide alike: where a request goes, and what becomes of it at the end."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import quiver
from quiver.adapters.policy import Policy
from quiver.adapters.shared.clients_by_trust import Trust
from quiver.adapters.shared.dispatch import Dispatch, FellBack
from quiver.origin import Origin as Place
from quiver.pool.fallback_table import Route
from quiver.testing import Origin
from tests.support.waiting import until

A = Place.parse("https://localhost:1")
ODD = ["https://localhost.:1/", "https://[fe80::1%25eth0]/", "http://localhost/", "https:///"]


@pytest.mark.parametrize("url", ODD)
def test_urls_that_http_3_refuses_are_left_to_tcp(url: str) -> None:
    both, alone = (Dispatch(None, None, falls_back=falls_back) for falls_back in (True, False))
    assert both.route(url, Trust()) == (None, "")
    assert not both.takes(url)
    both.answered_over_tcp(url, 'h3=":1"')
    with pytest.raises(quiver.InvalidURL):
        alone.route(url, Trust())


def test_the_name_of_a_policy_is_none() -> None:
    named: Any = "alt-svc"
    with pytest.raises(TypeError, match=r"write Policy\('alt-svc'\)"):
        Dispatch(named, None, falls_back=True)


def asked(dispatch: Dispatch, *headers: tuple[str | bytes, str | bytes]) -> quiver.StreamRequest:
    route, target = dispatch.route("https://localhost:1/", Trust())
    assert route is not None
    return dispatch.asked(route, "GET", target, headers, body=b"abc")


@pytest.mark.parametrize("host", ["", "-odd-", "a/b"])
def test_a_host_that_http_3_refuses_is_left_to_tcp(host: str) -> None:
    with pytest.raises(FellBack):
        asked(Dispatch(None, None, falls_back=True), ("Host", host))
    with pytest.raises(quiver.InvalidRequest, match="host"):
        asked(Dispatch(None, None, falls_back=False), ("Host", host))


def test_what_is_too_long_for_http_3_is_left_to_tcp() -> None:
    long, route = "x" * 66_000, Route(A, A)
    both, alone = (Dispatch(None, None, falls_back=falls_back) for falls_back in (True, False))
    with pytest.raises(FellBack):
        both.asked(route, "GET", f"/?{long}", [])
    with pytest.raises(FellBack):
        asked(both, ("X-Long", long))
    with pytest.raises(quiver.InvalidRequest, match="the limit is"):
        alone.asked(route, "GET", f"/?{long}", [])
    with pytest.raises(quiver.InvalidRequest, match="the limit is"):
        asked(alone, (b"X-Long", long.encode()))


def test_a_wrong_length_is_no_better_over_tcp() -> None:
    with pytest.raises(quiver.InvalidRequest, match="content-length"):
        asked(Dispatch(None, None, falls_back=True), ("Content-Length", "5"))


def test_closed_while_a_response_is_read_and_another_is_awaited(origin: Origin) -> None:
    """Both are read to their end; the next request has other connections."""
    dispatch, trust = Dispatch(None, None, falls_back=False), Trust(cafile=origin.cafile)
    route, target = dispatch.route(origin.url + "/drip/100/0.005?size=1000", Trust())
    assert route is not None
    pool = dispatch.pool(trust, route)
    streamed = pool.ask(dispatch.asked(route, "GET", target, []))
    awaited = pool.ask(dispatch.asked(route, "GET", "/delay/0.5", []), block=False)
    dispatch.close()
    assert len(streamed.read()) == 100_000
    assert awaited.get().status == 200
    assert dispatch.pool(trust, route) != pool
    dispatch.close()


def test_closed_while_many_ask(origin: Origin) -> None:
    """Who has found the clients in the moment of their end gets the next ones."""
    dispatch, trust = Dispatch(Policy(), None, falls_back=False), Trust(cafile=origin.cafile)
    route, target = dispatch.route(origin.url + "/ok", Trust())
    assert route is not None
    statuses: list[int] = []

    def ask() -> None:
        for _ in range(20):
            streamed = dispatch.pool(trust, route).ask(dispatch.asked(route, "GET", target, []))
            statuses.append(streamed.status)
            assert streamed.read() == b"ok"

    asking = [threading.Thread(target=ask) for _ in range(4)]
    for each in asking:
        each.start()
    while any(each.is_alive() for each in asking):
        dispatch.close()
        asking[0].join(0.01)
        asking = [each for each in asking if each.is_alive()] or asking
    assert statuses == [200] * 80
    dispatch.close()
    until(lambda: origin.connections_open() == 0)
