"""fallback="quiver": what HTTP/3 does not take goes by Quiver's own HTTP/2 and HTTP/1.1.

The way back itself, over one library after the other, is in tests/interop/test_fallback.py.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import inspect
import pickle
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import httpx
import pytest
import requests
import trio
from urllib3 import Retry

import quiver
from quiver import telemetry
from quiver.adapters.httpx import AsyncHTTP3Transport, HTTP3Transport
from quiver.adapters.policy import Policy
from quiver.adapters.requests import HTTP3Adapter
from quiver.origin import Origin
from quiver.testing import Asked, Authority, LocalOrigin
from tests.support.programs.runner import run_script
from tests.support.servers.http1_backend import TEXT, backend
from tests.support.servers.http1_server import Http1Handler, serving
from tests.support.servers.http2_origin import Http2Origin
from tests.support.waiting import until

LIMIT: Final = 30.0  # seconds, on a loaded machine


@pytest.fixture
def server(authority: Authority) -> Iterator[Http2Origin]:
    with Http2Origin(authority) as made:
        yield made


@pytest.fixture
def plain() -> Iterator[str]:
    with backend() as port:
        yield f"http://localhost:{port}/back"


@pytest.fixture
def session(authority: Authority) -> Iterator[requests.Session]:
    with requests.Session() as made:
        # What hangs is to fail by its own name: requests has no limit by itself.
        made.request = partial(made.request, timeout=LIMIT)  # type: ignore[method-assign]
        made.trust_env, made.verify = False, authority.cafile
        for scheme in ("https://", "http://"):
            made.mount(scheme, HTTP3Adapter(fallback="quiver"))
        yield made


@pytest.fixture(params=["httpx", "httpx2"])
def library(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param)


@pytest.fixture
def client(library: Any, authority: Authority) -> Iterator[Any]:
    transport = HTTP3Transport(verify=authority.cafile, fallback="quiver")
    with library.Client(transport=transport, timeout=LIMIT) as made:
        yield made


# requests -------------------------------------------------------------------------------------


def test_http_2_under_requests(session: requests.Session, server: Http2Origin) -> None:
    response = session.get(server.url + "/ok")
    assert (response.content, response.raw.version) == (b"ok", 20)
    assert response.raw.version_string == "HTTP/2"
    pieces = (b"%d," % number for number in range(10_000))
    assert session.post(server.url + "/echo", data=pieces).content.endswith(b"9999,")
    with session.get(server.url + "/bytes/3000000", stream=True) as streamed:
        assert sum(map(len, streamed.iter_content(65_536))) == 3_000_000
    trailing = session.get(server.url + "/trailers")
    assert trailing.content == b"x" and trailing.raw.trailers["x-sum"] == "1"
    assert len(server.peers) <= 2, "as many connections as the pool has"


@pytest.fixture
def third(authority: Authority) -> Iterator[LocalOrigin]:
    """HTTP/3 at another port, which does not answer for the origin, and says so."""
    with LocalOrigin(authority=authority) as made:

        @made.route("/*")
        def answer(_: Asked) -> Any:
            return 421, [("alt-svc", f'h3=":{made.port}"; ma=600')], b"not here"

        yield made


@pytest.mark.parametrize("fallback", ["quiver", None])
def test_an_alternative_that_does_not_answer_for_the_origin(
    authority: Authority, third: LocalOrigin, fallback: Any
) -> None:
    """Its 421 is nobody's, and what it says of places counts for nothing (RFC 7838 6)."""
    policy = Policy("alt-svc")
    with backend(authority.issue()) as port, requests.Session() as session:
        url, field = f"https://localhost:{port}/back/echo", f'h3=":{third.port}"; ma=600'
        session.trust_env, session.verify = False, authority.cafile
        session.mount("https://", HTTP3Adapter(fallback=fallback, policy=policy))
        for _ in range(2):  # the origin goes on to say so
            policy.heard(Origin.parse(url), field)
            for _ in range(3):
                response = session.post(url, data=b"body", timeout=LIMIT)
                assert response.json()["body"] == "body"
    assert third.requests_served() == 1


def test_what_cannot_be_sent_again_has_the_421(authority: Authority, third: LocalOrigin) -> None:
    policy = Policy("alt-svc")
    with backend(authority.issue()) as port, requests.Session() as session:
        url = f"https://localhost:{port}/back/echo"
        session.trust_env, session.verify = False, authority.cafile
        session.mount("https://", HTTP3Adapter(policy=policy))
        policy.heard(Origin.parse(url), f'h3=":{third.port}"; ma=600')
        codes = [
            session.post(url, data=iter([b"bo", b"dy"]), timeout=LIMIT).status_code
            for _ in range(2)
        ]
    assert codes == [421, 200]


def test_without_tcp_the_421_is_told(authority: Authority, third: LocalOrigin) -> None:
    policy, url = Policy("alt-svc"), "https://localhost:1/ok"
    transport = HTTP3Transport(verify=authority.cafile, fallback=False, policy=policy)
    with httpx.Client(transport=transport) as client:
        policy.heard(Origin.parse(url), f'h3=":{third.port}"; ma=600')
        assert client.get(url, timeout=LIMIT).status_code == 421


@pytest.mark.parametrize("fallback", ["quiver", None])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_such_an_alternative_under_httpx(
    authority: Authority, third: LocalOrigin, fallback: Any, asynchronous: bool
) -> None:
    policy = Policy("alt-svc")
    options: Any = {"verify": authority.cafile, "fallback": fallback, "policy": policy}
    with backend(authority.issue()) as port:
        url = f"https://localhost:{port}/back/echo"
        policy.heard(Origin.parse(url), f'h3=":{third.port}"; ma=600')

        async def post() -> Any:
            async with httpx.AsyncClient(transport=AsyncHTTP3Transport(**options)) as client:
                return await client.post(url, content=b"body", timeout=LIMIT)

        if asynchronous:
            response = asyncio.run(post())
        else:
            with httpx.Client(transport=HTTP3Transport(**options)) as client:
                response = client.post(url, content=b"body", timeout=LIMIT)
    assert (response.json()["body"], response.http_version) == ("body", "HTTP/1.1")
    assert third.requests_served() == 1


def test_http_under_requests(session: requests.Session, plain: str) -> None:
    response = session.post(plain + "/echo", data=iter([b"one ", b"two"]))
    assert response.raw.version == 11 and response.json()["body"] == "one two"
    assert session.get(plain + "/status/404").status_code == 404
    assert session.get(plain + "/auth", auth=("user", "pass")).status_code == 200
    session.get(plain + "/cookie?name=value")
    assert session.cookies["name"] == "value"


def test_a_redirect_from_one_to_the_other(
    session: requests.Session, server: Http2Origin, plain: str
) -> None:
    response = session.get(f"{plain}/to?url={server.url}/ok")
    assert [each.raw.version for each in (*response.history, response)] == [11, 20]


def test_errors_are_those_of_requests(session: requests.Session, plain: str) -> None:
    with pytest.raises(requests.ReadTimeout) as late:
        session.get(plain + "/delay/5", timeout=(5, 0.2))
    assert isinstance(late.value.__cause__, quiver.ReceiveTimeout)
    with pytest.raises(requests.ConnectionError) as refused:
        session.get("http://127.0.0.1:1/")
    assert isinstance(refused.value.__cause__, quiver.ConnectionRefused)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        assert session.get(plain + "/short").content
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://localhost:{mute.getsockname()[1]}/"
        with pytest.raises(requests.ConnectTimeout) as unanswered:
            session.get(url, timeout=(0.3, 5))
    assert "HTTP/3 had failed before" in unanswered.value.__notes__[0]


def test_whom_to_trust(session: requests.Session, server: Http2Origin) -> None:
    refused = pytest.raises(requests.exceptions.SSLError, match="CERTIFICATE_VERIFY_FAILED")
    with Authority("somebody else") as other, refused:
        session.get(server.url + "/ok", verify=other.cafile)
    assert not server.seen
    with pytest.warns(Warning, match="Unverified HTTPS .* over HTTP/2"):
        assert session.get(server.url + "/ok", verify=False).raw.version == 20


class Counting(Http1Handler):
    """Reads each request, and closes the connection instead of an answer."""

    bodies: list[bytes]

    def answer(self) -> None:
        self.bodies.append(self.read())
        self.close_connection = True


ONCE: list[tuple[Callable[[], Any], int]] = [
    (lambda: iter([b"a", b"bc"]), 1),
    (lambda: b"abc", 4),
]


@pytest.mark.parametrize(("body", "times"), ONCE, ids=["iterator", "bytes"])
def test_what_can_be_sent_once_is_sent_once(body: Callable[[], Any], times: int) -> None:
    Counting.bodies = []
    retries = Retry(3, allowed_methods=None, backoff_factor=0)
    with serving(Counting) as port, requests.Session() as session:
        session.trust_env = False
        session.mount("http://", HTTP3Adapter(max_retries=retries, fallback="quiver"))
        with pytest.raises(requests.ConnectionError):
            session.post(f"http://localhost:{port}/", data=body(), timeout=LIMIT)
    assert Counting.bodies == [b"abc"] * times


def test_retries_after_a_status(plain: str) -> None:
    retries = Retry(2, status_forcelist=[503], backoff_factor=0)
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", HTTP3Adapter(max_retries=retries, fallback="quiver"))
        with pytest.raises(requests.exceptions.RetryError, match="too many 503"):
            session.get(plain + "/status/503", timeout=LIMIT)
        assert session.get(plain + "/status/200", timeout=LIMIT).raw.retries.total == 2


COPIES: list[Callable[[Any], Any]] = [
    lambda each: pickle.loads(pickle.dumps(each)),
    copy.deepcopy,
]


@pytest.mark.parametrize("copied", COPIES, ids=["pickle", "deepcopy"])
def test_a_copy_of_a_session_falls_back_alike(
    copied: Callable[[Any], Any], session: requests.Session, server: Http2Origin
) -> None:
    assert session.get(server.url + "/ok").raw.version == 20
    with copied(session) as other:
        session.close()
        assert other.get(server.url + "/ok").raw.version == 20
    assert session.get(server.url + "/ok").raw.version == 20, "closed, and begun anew"


def test_closed_while_it_is_read(session: requests.Session, server: Http2Origin) -> None:
    """What is read stays readable, and then the connections end."""
    response = session.get(server.url + "/bytes/3000000", stream=True)
    closing = threading.Thread(target=session.close, daemon=True)
    closing.start()
    closing.join(10.0)
    assert not closing.is_alive()
    assert len(response.content) == 3_000_000
    until(lambda: all(peer.over.is_set() for peer in server.peers))


def test_a_session_that_is_dropped(server: Http2Origin) -> None:
    def drop() -> None:
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", HTTP3Adapter(fallback="quiver"))
        assert session.get(server.url + "/ok", verify=server.cafile).raw.version == 20
        del session
        gc.collect()

    with pytest.warns(ResourceWarning, match="without close"):
        drop()
    until(lambda: all(peer.over.is_set() for peer in server.peers))


def test_what_none_of_ours_takes_goes_by_urllib3(
    authority: Authority, session: requests.Session
) -> None:
    """A Host that is none, say, or a certificate that is pinned. The body is all there."""
    with backend(authority.issue()) as port:
        url = f"https://localhost:{port}/back/echo"
        odd = session.post(url, data=iter([b"all ", b"of it"]), headers={"Host": "-odd-"}).json()
        assert ["host", "-odd-"] in odd["headers"] and odd["body"] == "all of it"
        adapter: Any = session.get_adapter(url)
        adapter.init_poolmanager(1, 1, assert_fingerprint="0" * 64)
        with pytest.raises(requests.exceptions.SSLError, match="Fingerprints did not match"):
            session.get(url)


# httpx ----------------------------------------------------------------------------------------


def test_http_2_under_httpx(client: Any, server: Http2Origin) -> None:
    response = client.get(server.url + "/ok")
    assert (response.content, response.http_version) == (b"ok", "HTTP/2")
    pieces = (b"%d," % number for number in range(10_000))
    assert client.post(server.url + "/echo", content=pieces).content.endswith(b"9999,")
    with client.stream("GET", server.url + "/bytes/3000000") as streamed:
        assert sum(map(len, streamed.iter_raw())) == 3_000_000
    trailing = client.get(server.url + "/trailers")
    assert trailing.extensions["trailers"] == [(b"x-sum", b"1")]


def test_http_under_httpx(library: Any, client: Any, plain: str) -> None:
    response = client.post(plain + "/echo", content=iter([b"one ", b"two"]))
    assert response.http_version == "HTTP/1.1" and response.json()["body"] == "one two"
    with pytest.raises(library.ReadTimeout):
        client.get(plain + "/delay/5", timeout=library.Timeout(5, read=0.2))
    with pytest.raises(library.ConnectError):
        client.get("http://127.0.0.1:1/")
    with pytest.raises(library.ReadError):
        client.get(plain + "/short")


def test_in_asyncio(library: Any, authority: Authority, server: Http2Origin, plain: str) -> None:
    async def pieces() -> Any:
        for number in range(1_000):
            yield b"%d," % number

    async def run() -> None:
        pools = {"default": {"max_connections": 1}}  # the server has a thread for each
        transport = AsyncHTTP3Transport(verify=authority.cafile, fallback="quiver", pools=pools)
        async with library.AsyncClient(transport=transport, timeout=LIMIT) as client:
            await client.get(server.url + "/ok")
            before = threading.active_count()
            asked = [client.get(server.url + "/ok") for _ in range(20)]
            answered = await asyncio.gather(*asked)
            assert {each.http_version for each in answered} == {"HTTP/2"}
            assert threading.active_count() - before <= 0, "no thread for a call"
            response = await client.post(server.url + "/echo", content=pieces())
            assert response.content.endswith(b"999,")
            response = await client.post(plain + "/echo", content=pieces())
            assert response.http_version == "HTTP/1.1"
            async with client.stream("GET", server.url + "/bytes/300000") as streamed:
                assert sum([len(piece) async for piece in streamed.aiter_raw()]) == 300_000
            with pytest.raises(library.ReadTimeout):
                await client.get(plain + "/delay/5", timeout=library.Timeout(5, read=0.2))

    asyncio.run(run())


def test_a_loop_that_is_not_asyncios(plain: str) -> None:
    """Neither of ours can be had there, and so it goes by httpx's own."""

    async def run() -> str:
        async with httpx.AsyncClient(transport=AsyncHTTP3Transport(fallback="quiver")) as client:
            return (await client.get(plain + "/plain")).text

    assert trio.run(run) == TEXT.decode()


def test_a_mock_is_asked_in_place_of_it() -> None:
    respx = pytest.importorskip("respx")
    with httpx.Client(transport=HTTP3Transport(fallback="quiver")) as client, respx.mock as mock:
        mock.get("http://nowhere.invalid/").mock(return_value=httpx.Response(418))
        assert client.get("http://nowhere.invalid/").status_code == 418


# what it takes --------------------------------------------------------------------------------


MAKERS: list[Callable[..., Any]] = [HTTP3Adapter, HTTP3Transport, AsyncHTTP3Transport]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("quivr", "fallback='quivr': did you mean 'quiver'?"),
        ("Quiver", "fallback='Quiver': did you mean 'quiver'?"),
        ("stock", "fallback='stock': must be 'quiver', None for"),
    ],
)
def test_another_name(make: Callable[..., Any], given: str, said: str) -> None:
    with pytest.raises(quiver.InvalidOptions) as told:
        make(fallback=given)
    assert said in str(told.value)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"fallback": True}, quiver.InvalidOptions, "fallback=True: must be 'quiver', None for"),
        ({"falback": None}, TypeError, "falback is no keyword: did you mean fallback?"),
        ({"polcy": None}, TypeError, "polcy is no keyword: did you mean policy?"),
        (
            {"max_connections": 3},
            TypeError,
            "give it as pools={'default': {'max_connections': ...}}",
        ),
    ],
)
def test_what_is_misspelt(
    make: Callable[..., Any], given: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as told:
        make(**given)
    assert said in str(told.value)


def test_what_is_misspelt_of_a_policy() -> None:
    policy: Any = Policy
    with pytest.raises(TypeError, match=r"hint is no keyword: did you mean hints\?"):
        policy(hint=[])
    assert list(inspect.signature(HTTP3Transport).parameters)[-1] == "trust_env", "as it is written"


def test_what_is_no_adapter() -> None:
    wrong: Any = httpx.HTTPTransport()
    with pytest.raises(TypeError, match="is no adapter of requests"):
        HTTP3Adapter(fallback=wrong)


@pytest.mark.parametrize(
    "made",
    [
        "quiver.adapters.requests.HTTP3Adapter",
        "quiver.adapters.httpx.HTTP3Transport",
        "quiver.adapters.httpx.AsyncHTTP3Transport",
    ],
)
@pytest.mark.one_in(3)
def test_without_the_extra(made: str) -> None:
    module, _, name = made.rpartition(".")
    said = run_script(f"""
        import sys
        sys.modules["h2"] = None
        from {module} import {name}
        {name}()
        try:
            {name}(fallback="quiver")
        except ModuleNotFoundError as error:
            print(error)
    """)
    assert said.strip() == "h2 is not installed: pip install 'quiver-http3[tcp]'"


def test_telemetry_tells_what_is_spoken(client: Any, server: Http2Origin) -> None:
    spoken: Counter[object] = Counter()
    telemetry.attach(
        "spoken", ["connection.ready"], lambda *told: spoken.update([told[2]["http_version"]])
    )
    try:
        client.get(server.url + "/ok")
    finally:
        telemetry.detach("spoken")
    assert set(spoken) == {"HTTP/2"}
