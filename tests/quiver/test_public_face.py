"""The names in `quiver`: a pool is an actor, and what is wrong is refused at the call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pykka
import pytest

import quiver
from quiver.testing import Authority, Origin
from tests.support.waiting import until


@pytest.fixture(scope="module")
def origin(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


@pytest.fixture
def pool(origin: Origin) -> Iterator[Any]:
    ref = quiver.HTTP3Pool.start(origin.url, max_connections=2, cafile=origin.cafile)
    yield ref
    ref.stop()


# a pool is an actor ---------------------------------------------------------------------------


def test_ask(pool: Any, origin: Origin) -> None:
    response = pool.ask(quiver.Request("GET", "/items/42"))
    assert isinstance(response, quiver.Response)
    assert response.json() == {"id": 42}
    posted = quiver.Request("POST", "/echo", headers=[("content-type", "text/plain")], body=b"x")
    response = pool.ask(posted, timeout=5.0)
    assert (response.body, response.header("content-type")) == (b"x", "text/plain")


def test_an_absolute_url_of_the_pools_origin(pool: Any, origin: Origin) -> None:
    assert pool.ask(quiver.Request("GET", origin.url + "/ok")).body == b"ok"
    with pytest.raises(quiver.InvalidRequest, match=r"https://else\.where is not the origin"):
        pool.ask(quiver.Request("GET", "https://else.where/ok"))


def test_ask_in_time_or_not(pool: Any) -> None:
    with pytest.raises(quiver.RequestTimeout) as caught:
        pool.ask(quiver.Request("GET", "/hang"), timeout=0.2)
    assert isinstance(caught.value, pykka.Timeout)
    until(lambda: pool.ask(quiver.GetStats()).active == 0)


def test_a_future_is_waited_for_or_cancelled(pool: Any, origin: Origin) -> None:
    future = pool.ask(quiver.Request("GET", "/delay/0.1"), block=False)
    assert isinstance(future, pykka.Future)
    assert future.get(timeout=5.0).status == 200
    future = pool.ask(quiver.Request("GET", "/hang?id=cancelled"), block=False)
    until(lambda: origin.seen("cancelled"))
    assert pool.ask(quiver.GetStats()).active == 1
    assert future.cancel()
    with pytest.raises(quiver.RequestCancelled):
        future.get(timeout=5.0)
    until(lambda: pool.ask(quiver.GetStats()).active == 0)


def test_a_future_is_awaited(pool: Any) -> None:
    async def three() -> list[quiver.Response]:
        futures = [pool.ask(quiver.Request("GET", f"/items/{n}"), block=False) for n in range(3)]
        return [await future for future in futures]

    assert [response.json()["id"] for response in asyncio.run(three())] == [0, 1, 2]


def test_stats_of_a_pool(pool: Any) -> None:
    pool.ask(quiver.Request("GET", "/ok"))
    until(lambda: pool.ask(quiver.GetStats()).active == 0)
    stats = pool.ask(quiver.GetStats())
    assert (stats.active, stats.queued, stats.connections) == (0, 0, 1)
    assert stats.idle == 100


def test_stop_answers_everybody(origin: Origin) -> None:
    options: dict[str, Any] = {
        "cafile": origin.cafile,
        "shutdown_timeout": 4.0,
        "max_connections": 1,
    }
    pool: Any = quiver.HTTP3Pool.start(origin.url, max_streams_per_connection=2, **options)
    paths = ["/delay/2?id=opened", "/hang", "/ok"]
    quick, hangs, waits = [pool.ask(quiver.Request("GET", p), block=False) for p in paths]
    until(lambda: origin.seen("opened"))
    pool.stop()
    assert quick.get(timeout=30.0).status == 200
    for future in (hangs, waits):
        with pytest.raises(quiver.PoolStopped):
            future.get(timeout=5.0)
    with pytest.raises(pykka.ActorDeadError):
        pool.ask(quiver.Request("GET", "/ok"))


def test_one_pool_for_an_origin(pool: Any, origin: Origin) -> None:
    assert quiver.HTTP3Pool.start(origin.url + "/") is pool


def test_a_pool_that_runs_takes_no_other_options(pool: Any, origin: Origin) -> None:
    same: dict[str, Any] = {"max_connections": 2, "cafile": origin.cafile}
    assert quiver.HTTP3Pool.start(origin.url, **same) is pool
    assert quiver.HTTP3Pool.start(origin.url, config=pool.config) is pool
    said = "its pool runs already, with another max_connections: stop it first, or leave that out"
    with pytest.raises(quiver.InvalidOptions, match=said) as caught:
        quiver.HTTP3Pool.start(origin.url, **{**same, "max_connections": 7})
    assert caught.value.origin == origin.url
    with pytest.raises(quiver.InvalidOptions, match="another max_connections, cafile"):
        quiver.HTTP3Pool.start(origin.url, config=quiver.PoolConfig(max_connections=3))
    assert pool.ask(quiver.Request("GET", "/ok")).body == b"ok"


def test_what_is_shown_of_each(pool: Any, origin: Origin) -> None:
    assert repr(pool) == f"<PoolRef of {origin.url} ({pool.actor_urn})>"
    message = quiver.OpenChannel("CONNECT", "/session", protocol="echo")
    with pool.ask(message) as channel:
        assert repr(channel) == f"<Channel of {origin.url}, open>"
    assert repr(channel) == f"<Channel of {origin.url}, closed>"
    with quiver.Client(name="billing") as client:
        assert repr(client) == "<Client billing>"


def test_what_is_listed_can_be_used() -> None:
    shown = {name for name in dir(quiver) if not name.startswith("__")}
    assert shown == {*quiver.__all__, "errors"} - {"__version__"}
    assert all(hasattr(quiver, name) for name in dir(quiver))


def test_protocol_of(pool: Any) -> None:
    class Other(pykka.ThreadingActor):
        """No pool."""

    other = Other.start()
    assert quiver.protocol_of(pool) == "http/3"
    assert quiver.protocol_of(other) is None
    other.stop()


def test_a_message_that_is_none(pool: Any) -> None:
    with pytest.raises(quiver.InvalidRequest, match=r"a str is neither a quiver\.Request"):
        pool.ask("hello")
    assert pool.is_alive()


def test_all_that_is_promised_is_there() -> None:
    assert all(hasattr(quiver, name) for name in quiver.__all__)


# what is wrong is refused at the call ---------------------------------------------------------


Call = Callable[[quiver.Client, str], object]

REQUESTS: list[tuple[str, type[Exception], str, Call]] = [
    ("no host", quiver.InvalidURL, "''", lambda c, u: c.get("https:///ok")),
    ("ftp", quiver.InvalidURL, "https", lambda c, u: c.get(u.replace("https", "ftp") + "/ok")),
    ("no scheme", quiver.InvalidURL, "url='localhost/ok'", lambda c, u: c.get("localhost/ok")),
    ("a path", quiver.InvalidURL, "url='/ok' is not absolute", lambda c, u: c.get("/ok")),
    ("no text", quiver.InvalidURL, "url is a int, not a str", lambda c, u: c.get(7)),  # type: ignore[arg-type]
    (
        "port",
        quiver.InvalidURL,
        "localhost:65536.*port",
        lambda c, u: c.get("https://localhost:65536/"),
    ),
    ("space", quiver.InvalidURL, "a b.*space", lambda c, u: c.get(u + "/a b")),
    ("newline", quiver.InvalidURL, r"\\n", lambda c, u: c.get(u + "/a\nb")),
    ("no ascii", quiver.InvalidURL, "ü", lambda c, u: c.get(u + "/ü")),
    ("method", quiver.InvalidRequest, "method='G T'", lambda c, u: c.request("G T", u + "/")),
    ("no method", quiver.InvalidRequest, "method=''", lambda c, u: c.request("", u + "/")),
    ("method line", quiver.InvalidRequest, "method=", lambda c, u: c.request("GET\r\n", u + "/")),
    ("bytes", quiver.InvalidRequest, "method=b'GET'", lambda c, u: c.request(b"GET", u + "/")),  # type: ignore[arg-type]
    ("connect", quiver.InvalidRequest, "'CONNECT'", lambda c, u: c.request("CONNECT", u + "/")),
    ("text", quiver.InvalidRequest, "body is a str", lambda c, u: c.post(u + "/", body="x")),  # type: ignore[arg-type]
    ("body", quiver.InvalidRequest, "body is a dict", lambda c, u: c.post(u + "/", body={})),
    ("timeout", quiver.InvalidRequest, "timeout=0 ", lambda c, u: c.get(u + "/", timeout=0)),
    ("a limit", quiver.InvalidRequest, "timeout='1'", lambda c, u: c.get(u + "/", timeout="1")),  # type: ignore[arg-type]
    (
        "silence",
        quiver.InvalidRequest,
        "receive_timeout=-1",
        lambda c, u: c.get(u + "/", receive_timeout=-1),
    ),
    ("unknown", TypeError, "did you mean timeout", lambda c, u: c.get(u + "/", tiemout=1)),  # type: ignore[call-arg]
    ("streamed", TypeError, "did you mean body", lambda c, u: c.stream("GET", u, boddy=b"")),  # type: ignore[call-arg]
    ("channel", TypeError, "did you mean protocol", lambda c, u: c.open_channel(u, protocl="x")),  # type: ignore[call-arg]
    ("a pool's", TypeError, r"give it to Client\(verify=", lambda c, u: c.get(u, verify=False)),  # type: ignore[call-arg]
    ("json", quiver.InvalidRequest, "json: a set", lambda c, u: c.post(u + "/", json={1})),
    ("params", quiver.InvalidRequest, "params: a int", lambda c, u: c.get(u + "/", params=7)),  # type: ignore[arg-type]
    ("pool", quiver.InvalidURL, "https", lambda c, u: c.pool("ftp://localhost")),
    ("stats", quiver.InvalidURL, "not absolute", lambda c, u: c.stats("localhost:443")),
]

HEADERS: list[tuple[Any, str]] = [
    ({"a b": "1"}, "header name 'a'[.]{3} is not a token"),
    ({"": "1"}, "header name ''"),
    ({":path": "/x"}, "header name ':path'"),
    ({"x-a\r\n": "1"}, "header name"),
    ({"x-ü": "1"}, "header name 'x-'"),
    ({"x-a": "1\r\nx-b: 2"}, r"header x-a: the value has a control character, '\\r' at 1"),
    ({"x-a": "nul\0"}, "header x-a: "),
    ({"x-a": " padded"}, "header x-a: the value begins"),
    ({"Connection": "close"}, "header connection: 'close'"),
    ({"keep-alive": "1"}, "header keep-alive"),
    ({"proxy-connection": "1"}, "header proxy-connection"),
    ({"transfer-encoding": "chunked"}, "header transfer-encoding"),
    ({"upgrade": "h2c"}, "header upgrade"),
    ({"te": "gzip"}, "header te: 'gzip'"),
    ({"content-length": "5"}, "header content-length: '5'"),
    ({"host": "a b"}, "header host"),
    ([("host", "a"), ("host", "b")], "header host is given more than once"),
    ({"x-a": 1}, "'x-a': the value is a int"),
    ({1: "x"}, "the name is a int"),
    ([("x-a",)], "a tuple of 1 is no pair"),
    ("x-a: 1", "headers: a str is neither"),
    (7, "headers: a int"),
]


@pytest.fixture
def untouched(authority: Authority) -> Iterator[tuple[quiver.Client, Origin]]:
    """A client, and an origin that must hear nothing at all."""
    with (
        Origin(authority=authority) as started,
        quiver.Client(pools={"default": {"cafile": authority.cafile}}) as client,
    ):
        yield client, started
        assert started.requests_served() == 0
        assert started.connections_accepted() == 0


def test_bad_requests(untouched: tuple[quiver.Client, Origin]) -> None:
    client, origin = untouched
    for name, kind, said, call in REQUESTS:
        with pytest.raises(kind, match=said) as caught:
            call(client, origin.url)
            pytest.fail(f"{name} was let through")
        if kind is not TypeError:
            assert isinstance(caught.value, quiver.InvalidError)
            assert isinstance(caught.value, ValueError)
            assert caught.value.kind == "invalid"


def test_bad_headers(untouched: tuple[quiver.Client, Origin]) -> None:
    client, origin = untouched
    for headers, said in HEADERS:
        with pytest.raises(quiver.InvalidRequest, match=said):
            client.get(origin.url + "/ok", headers=headers)


def test_what_stands_before_an_at_sign_is_not_echoed() -> None:
    with quiver.Client() as client, pytest.raises(quiver.InvalidURL, match="user info") as caught:
        client.get("https://user:secret@localhost/ok")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_conections": 2}, "max_conections is no option: did you mean max_connections?"),
        ({"max_connections": 0}, "max_connections=0"),
        ({"max_connections": "2"}, "max_connections='2'"),
        ({"timeout": -1.0}, r"timeout=-1\.0"),
        ({"cafile": "/absent.pem"}, "cafile='/absent.pem'"),
        ({"qlog_dir": "/absent"}, "qlog_dir='/absent'"),
        ({"verify": False, "cadata": b"-----BEGIN CERTIFICATE-----"}, "verify=False contradicts"),
        ({"keep_alive": 40.0}, r"keep_alive=40\.0: must be below idle_timeout=30\.0"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(quiver.InvalidOptions, match=said) as caught:
        quiver.HTTP3Pool.start("https://localhost:4443", **options)
    assert caught.value.origin == "https://localhost:4443"
    with pytest.raises(quiver.InvalidOptions, match=r"pools\['default'\]: " + said):
        quiver.Client(pools={"default": options})
    with pytest.raises(quiver.InvalidOptions, match=f"^{said}"):
        quiver.Client(**options)


def test_a_misspelt_argument_of_a_client_or_key_of_a_rule() -> None:
    client: Any = quiver.Client
    with pytest.raises(
        quiver.InvalidOptions, match="trust_envv is no option: did you mean trust_env"
    ):
        client(trust_envv=False)
    with pytest.raises(quiver.InvalidOptions, match=r"pools\['defualt'\].*did you mean 'default'"):
        client(pools={"defualt": {}})


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        (quiver.Request, {"tiemout": 1.0}, "tiemout is no keyword .*: did you mean timeout?"),
        (quiver.StreamRequest, {"data": b""}, "data is no keyword .*: did you mean body?"),
        (quiver.Request, {"origin": None, "cafil": ""}, "cafil is no keyword of a request; there"),
        (
            quiver.Request,
            {"verify": False},
            r"verify is an option of a pool: .*Client\(verify=...\)",
        ),
        (quiver.Request, {"open_timeout": 1.0}, "open_timeout .*: a channel has one; timeout="),
        (quiver.OpenChannel, {"open_timout": 1.0}, "open_timout .*: did you mean open_timeout?"),
    ],
)
def test_a_misspelt_keyword_of_a_request(kind: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        kind("GET", "/", **options)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("files", "send the form as body with its content-type"),
        ("auth", "send an authorization header"),
        ("base_url", "write whole URLs, or ask a pool of one origin for paths"),
        ("event_hooks", "quiver.telemetry calls functions of yours"),
        ("follow_redirects", "none are followed; requests and httpx do so"),
        ("proxies", "a client takes proxy=, for what goes over TCP"),
        ("http2", 'a client takes protocols=, some of "h3", "h2" and "http/1.1"'),
    ],
)
def test_what_other_libraries_have_and_we_have_not(name: str, advice: str) -> None:
    get: Any = quiver.get
    client: Any = quiver.Client
    request: Any = quiver.Request
    given = {name: None}
    with pytest.raises(TypeError, match=f"{name} is no keyword: {advice}"):
        get("https://localhost/", **given)
    with pytest.raises(TypeError, match=f"{name} is no keyword of a request: {advice}"):
        request("GET", "/", **given)
    with pytest.raises(quiver.InvalidOptions, match=f"{name} is no option: {advice}"):
        client(**given)


def test_a_protocol_is_a_channels() -> None:
    get: Any = quiver.get
    client: Any = quiver.Client
    advice = 'a client takes protocols=, some of "h3", "h2" and "http/1.1"; a channel alone has'
    with pytest.raises(TypeError, match=f"protocol is no keyword of a request: {advice}"):
        get("https://localhost/", protocol="h2")
    with pytest.raises(quiver.InvalidOptions, match=f"protocol is no option: {advice}"):
        client(protocol="h2")


@pytest.mark.parametrize("name", ["protocols", "policy", "hints", "proxy", "trust_env"])
def test_what_a_client_takes_and_a_pool_does_not(name: str) -> None:
    pool: Any = quiver.HTTP3Pool
    with pytest.raises(quiver.InvalidOptions, match=f"{name} is no option: a client takes it"):
        pool.start("https://localhost", **{name: None})
    with pytest.raises(quiver.InvalidOptions, match=f"{name} is no option: a client takes it"):
        quiver.Client(pools={"default": {name: None}})


def test_whether_the_environment_is_trusted_is_true_or_false() -> None:
    given: Any = "no"
    with pytest.raises(quiver.InvalidOptions, match="trust_env='no': must be True or False"):
        quiver.Client(trust_env=given)


def test_a_pool_is_started_and_not_made() -> None:
    pool: Any = quiver.HTTP3Pool
    with pytest.raises(TypeError, match=r"write HTTP3Pool.start\('https://host\[:port\]'\)"):
        pool("https://localhost:4443")


def test_a_pool_is_of_an_origin() -> None:
    said = r"has a path: a pool is of an origin, https://localhost, .*Request\('GET', '/path'\)"
    with pytest.raises(quiver.InvalidURL, match=said):
        quiver.HTTP3Pool.start("https://localhost/path")


@pytest.mark.parametrize("key", ["ftp://a.example", "a.example", "https://a.example/path", "", 7])
def test_bad_rules(key: Any) -> None:
    with pytest.raises(quiver.InvalidOptions, match="pools"):
        quiver.Client(pools={key: {}})


def test_a_bad_origin_starts_no_pool() -> None:
    before = pykka.ActorRegistry.get_by_class_name("HTTP3Pool")
    for origin in ("http://localhost", "https://", "localhost", "https://user@localhost"):
        with pytest.raises(quiver.InvalidURL):
            quiver.HTTP3Pool.start(origin)
    assert pykka.ActorRegistry.get_by_class_name("HTTP3Pool") == before
