"""The way back to TCP: UDP that is blocked, Alt-Svc that is learned, and who answered."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from quiver.adapters.httpx import AsyncHTTP3Transport, HTTP3Transport
from quiver.adapters.policy import Policy
from quiver.adapters.requests import HTTP3Adapter
from quiver.origin import Origin as OriginName
from quiver.testing import Authority, LocalOrigin, Origin
from tests.support.cases.refused_uploads import CONTENT, KINDS, PROOFS, WHENS, Kind, Refusing
from tests.support.servers.blackhole import mute
from tests.support.servers.http1_backend import backend
from tests.support.servers.independent import Caddy

Asked = tuple[str, bytes]  # the protocol that answered, and the body
Way = Callable[..., Iterator[Callable[..., Asked]]]


def by_requests(
    policy: Policy, cafile: str, fallback: Any = None
) -> Iterator[Callable[..., Asked]]:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = cafile
        session.mount("https://", HTTP3Adapter(policy=policy, fallback=fallback))

        def ask(url: str, body: Any = None) -> Asked:
            method = "GET" if body is None else "POST"
            response = session.request(method, url, data=body)
            spoken = {30: "HTTP/3", 20: "HTTP/2", 11: "HTTP/1.1"}[response.raw.version]
            return spoken, response.content

        yield ask


def by_httpx(policy: Policy, cafile: str, fallback: Any = None) -> Iterator[Callable[..., Asked]]:
    transport = HTTP3Transport(verify=cafile, policy=policy, fallback=fallback)
    with httpx.Client(transport=transport) as client:

        def ask(url: str, body: Any = None) -> Asked:
            method = "GET" if body is None else "POST"
            response = client.request(method, url, content=body)
            return response.http_version, response.content

        yield ask


def by_asyncio(policy: Policy, cafile: str, fallback: Any = None) -> Iterator[Callable[..., Asked]]:
    async def asked(url: str, body: Any) -> Asked:
        transport = AsyncHTTP3Transport(verify=cafile, policy=policy, fallback=fallback)
        async with httpx.AsyncClient(transport=transport) as client:
            content = body if body is None or isinstance(body, bytes) else _in_asyncio(body)
            method = "GET" if body is None else "POST"
            response = await client.request(method, url, content=content)
            return response.http_version, response.content

    def ask(url: str, body: Any = None) -> Asked:
        return asyncio.run(asked(url, body))

    yield ask


async def _in_asyncio(pieces: Iterator[bytes]) -> Any:
    for piece in pieces:
        yield piece


def over_quivers(way: Way) -> Way:
    """The same, where Quiver's own HTTP/2 and HTTP/1.1 are the way back."""

    def opens(policy: Policy, cafile: str) -> Iterator[Callable[..., Asked]]:
        return way(policy, cafile, "quiver")

    opens.__name__ = f"{way.__name__}_over_quivers"
    return opens


STOCK: list[Way] = [by_requests, by_httpx, by_asyncio]
QUIVERS = [over_quivers(way) for way in STOCK]
WAYS = [*STOCK, *QUIVERS]
Open = Callable[[Policy], AbstractContextManager[Callable[..., Asked]]]


@pytest.fixture(params=WAYS, ids=lambda way: str(way.__name__))
def opened(request: pytest.FixtureRequest, authority: Authority) -> Open:
    """Opens one of the three clients with a policy."""
    way = contextlib.contextmanager(request.param)
    return lambda policy: way(policy, authority.cafile)


@pytest.fixture
def over_tcp(authority: Authority) -> Iterator[int]:
    """The port of a server that speaks HTTPS, and no HTTP/3."""
    with backend(authority.issue()) as port:
        yield port


@pytest.fixture(scope="module")
def caddy(authority: Authority) -> Iterator[Caddy]:
    with Caddy(authority) as started:
        yield started


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    began = time.monotonic()
    return call(), time.monotonic() - began


def test_no_connection_is_no_full_pool(over_tcp: int, authority: Authority) -> None:
    """HTTP/3 has failed, also if it is httpx's limit for a slot that ends the wait."""
    policy = Policy(fallback_after=5.0)
    transport = HTTP3Transport(verify=authority.cafile, policy=policy)
    limits = httpx.Timeout(10.0, pool=0.1)
    with mute(over_tcp), httpx.Client(transport=transport, timeout=limits) as client:
        url = f"https://localhost:{over_tcp}/back/status/200"
        assert client.get(url).http_version == "HTTP/1.1"
        assert policy.route(OriginName.parse(url)) is None


def test_no_time_left_for_tcp(over_tcp: int, authority: Authority) -> None:
    """The time of the whole request goes by without a connection: the next one goes over TCP."""
    policy, pools = Policy(fallback_after=5.0), {"default": {"timeout": 0.2}}
    url = f"https://localhost:{over_tcp}/back/status/200"
    with requests.Session() as session, mute(over_tcp):
        session.trust_env, session.verify = False, authority.cafile
        session.mount("https://", HTTP3Adapter(policy=policy, pools=pools))
        with pytest.raises(requests.ConnectTimeout, match=r"no connection within .* timeout=0\.2"):
            session.get(url)
        assert session.get(url).raw.version == 11
    transport = HTTP3Transport(verify=authority.cafile, fallback=False, pools=pools)
    told = pytest.raises(httpx.ConnectTimeout, match="answered nothing")
    with httpx.Client(transport=transport) as client, mute(over_tcp), told:
        client.get(url)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("silent", [False, True], ids=["nobody listens", "nobody answers"])
def test_udp_is_blocked(silent: bool, opened: Open, over_tcp: int) -> None:
    hole = mute(over_tcp) if silent else contextlib.nullcontext()
    url = f"https://localhost:{over_tcp}/back/status/200"
    policy = Policy(fallback_after=0.5 if silent else 30.0)
    with hole, opened(policy) as ask:
        first, seconds = timed(lambda: ask(url))
        assert first == ("HTTP/1.1", b"200")
        assert not silent or seconds >= policy.fallback_after
        assert seconds < (4.5 if silent else 15.0), "the connection itself may take five"
        assert policy.route(OriginName.parse(url)) is None, "it is left alone"
        assert ask(url) == ("HTTP/1.1", b"200")


def test_a_body_goes_out_whole_and_once(opened: Open, over_tcp: int) -> None:
    with mute(over_tcp), opened(Policy(fallback_after=0.1)) as ask:
        protocol, body = ask(f"https://localhost:{over_tcp}/back/echo", iter([b"one ", b"two"]))
    assert protocol == "HTTP/1.1" and b'"body": "one two"' in body


def test_what_was_sent_is_not_sent_again(opened: Open, origin: Origin) -> None:
    """The origin has no TCP: a second try there would say so."""
    with opened(Policy()) as ask, pytest.raises((requests.ConnectionError, httpx.TransportError)):
        ask(origin.url + "/reset/0x102?id=once")
    assert origin.seen("once") == 1


FILE = Kind(lambda _: io.BytesIO(CONTENT), again=True)
SENT: dict[str, Kind] = {
    "bytes": KINDS["bytes"],
    "file": FILE,
    "generator": KINDS["generator"],
    "progress": KINDS["progress"],
}
BODIES = [
    body
    for requests_, httpx_, asyncio_ in (STOCK, QUIVERS)
    for body in (
        *((requests_, kind, kind in ("bytes", "file")) for kind in SENT),
        *((httpx_, kind, kind == "bytes") for kind in SENT if kind != "file"),
        *((asyncio_, kind, kind == "bytes") for kind in ("bytes", "generator")),
    )
]  # and whether all of it can go out after some was read


REFUSED = [
    pytest.param(
        *(way, kind, again, proof, when),
        id=f"{way.__name__} {kind}-{proof}-{when}",
        marks=[] if (body + refusal) % 4 == 0 else pytest.mark.long,
    )
    for body, (way, kind, again) in enumerate(BODIES)
    for refusal, (proof, when) in enumerate(itertools.product(PROOFS, WHENS))
]


@pytest.mark.one_in(4)
@pytest.mark.parametrize(("way", "kind", "again", "proof", "when"), REFUSED)
def test_what_is_refused_goes_out_whole_over_tcp_or_not_at_all(
    way: Any, kind: str, again: bool, proof: str, when: str, authority: Authority, over_tcp: int
) -> None:
    """HTTP/3 refuses it there whenever it is tried; HTTP/1.1 takes it, whatever has come."""
    with (
        LocalOrigin(authority=authority, port=over_tcp) as origin,
        contextlib.contextmanager(way)(Policy(fallback_after=10.0), authority.cafile) as ask,
    ):
        upload = Refusing(origin, "/back/echo").refuse(*[(proof, WHENS[when])] * 5)
        try:
            protocol, answer = ask(upload.url, body=SENT[kind].make(lambda _: None))
        except (requests.ConnectionError, httpx.TransportError):
            assert not again
        else:
            assert protocol == "HTTP/1.1"
            assert json.loads(answer)["body"].encode("latin-1") == CONTENT
            assert again or when == "before a byte"
        assert upload.tries >= 1


def test_http3_first(opened: Open, caddy: Caddy) -> None:
    with opened(Policy(fallback_after=10.0)) as ask:
        assert ask(caddy.url + "/small") == ("HTTP/3", b"ok")


def test_alt_svc_is_learned_and_kept(opened: Open, caddy: Caddy, tmp_path: Path) -> None:
    file = tmp_path / "alternatives"
    with opened(Policy("alt-svc", fallback_after=10.0, file=file)) as ask:
        first, *others = [ask(caddy.url + "/small")[0] for _ in range(3)]
        assert first in ("HTTP/1.1", "HTTP/2") and others == ["HTTP/3", "HTTP/3"]
    with opened(Policy("alt-svc", fallback_after=10.0, file=file)) as ask:
        assert ask(caddy.url + "/small") == ("HTTP/3", b"ok")


def test_a_hint(opened: Open, caddy: Caddy) -> None:
    with opened(Policy("alt-svc", fallback_after=10.0, hints=[caddy.url])) as ask:
        assert ask(caddy.url + "/small") == ("HTTP/3", b"ok")


def test_an_alternative_elsewhere(opened: Open, over_tcp: int, origin: Origin) -> None:
    """The origin on TCP names another host and port, which answers for it."""
    url = f"https://localhost:{over_tcp}"
    field = f'h3="127.0.0.1:{origin.port}"'
    with opened(Policy("alt-svc", fallback_after=10.0)) as ask:
        assert ask(url + "/back/status/200") == ("HTTP/1.1", b"200")
        ask(f"{url}/back/announce?field={field}")
        protocol, body = ask(url + "/headers")
        assert protocol == "HTTP/3"
        assert f"localhost:{over_tcp}".encode() in body
        assert f"127.0.0.1:{origin.port}".encode() in body, "no alt-used"


def test_an_alternative_that_is_cleared(opened: Open, over_tcp: int, authority: Authority) -> None:
    """It says so itself, over HTTP/3, for the origin that it answers for."""
    url, policy = (
        f"https://localhost:{over_tcp}/back/status/200",
        Policy("alt-svc", fallback_after=9),
    )
    with LocalOrigin(authority=authority) as other, opened(policy) as ask:
        other.route("/back/status/200")(lambda asked: (200, {"alt-svc": "clear"}, b"gone"))
        ask(f'https://localhost:{over_tcp}/back/announce?field=h3="127.0.0.1:{other.port}"')
        assert ask(url) == ("HTTP/3", b"gone")
        assert ask(url) == ("HTTP/1.1", b"200")


def test_both_ways_fail(opened: Open) -> None:
    """What is raised is what TCP came to, as it would have been without us; a note has the rest."""
    with opened(Policy()) as ask:
        for _ in range(2):  # in the pause, too
            with pytest.raises((requests.ConnectionError, httpx.ConnectError)) as caught:
                ask("https://127.0.0.1:1/")
            assert "HTTP/3 had failed before: https://127.0.0.1:1: conn" in notes(caught.value)


def test_a_certificate_that_nobody_trusts_is_told_of(opened: Open) -> None:
    with (
        Origin() as stranger,
        opened(Policy("always", fallback_after=10.0)) as ask,  # in which it is judged
        pytest.raises((requests.ConnectionError, httpx.ConnectError)) as caught,
    ):
        ask(stranger.url + "/ok")
    assert "its issuer is unknown" in notes(caught.value)


@pytest.mark.parametrize("way", WAYS)
def test_a_certificate_that_one_refuses_is_another_ones_to_accept(
    way: Any, caddy: Caddy, authority: Authority
) -> None:
    way, policy = contextlib.contextmanager(way), Policy(fallback_after=10.0)
    with (
        Authority("somebody else") as other,
        way(policy, other.cafile) as ask,
        pytest.raises((requests.ConnectionError, httpx.ConnectError)),
    ):
        ask(caddy.url + "/small")
    with way(policy, authority.cafile) as ask:
        assert ask(caddy.url + "/small") == ("HTTP/3", b"ok")


def notes(error: BaseException) -> str:
    return "\n".join(getattr(error, "__notes__", ()))
