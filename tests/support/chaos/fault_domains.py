"""Faults by their domain, each with a way to bring it about and what its victim is to be told.

A fault is a function of a `Scene`: it brings the fault about and returns or raises the outcome of
the victim's own request. `FAULTS` is the table; what is added to it is walked like the rest.
"""

from __future__ import annotations

import _socket
import enum
import errno
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import gevent
import pytest

import quiver
from quiver import telemetry
from quiver.h3.client_connection import ClientConnection
from quiver.pool.callers import Callers
from quiver.pool.exchanges import Exchanges
from quiver.pool.routing import RoutingTable
from quiver.quic.aioquic.engine import AioquicEngine
from quiver.testing import LocalOrigin
from tests.support.network.faulty_socket import fail, met
from tests.support.network.icmp_forger import forged
from tests.support.waiting import until

__all__ = ["FAULTS", "HINTING", "LIMIT", "SECTION", "Domain", "Fault", "Scene"]

LIMIT: Final = 5.0  # seconds for any ask
SECTION: Final = 8_000  # bytes of a header section that the scene's server takes
LARGE: Final = {"x-large": "a" * SECTION}
VICTIM: Final = "/victim"
HINTING: Final = "/hinting"  # gives a 103 and no more


class Domain(enum.Enum):
    """What an error ends: see docs/design.md."""

    REQUEST = "request"
    CONNECTION = "connection"
    POOL = "pool"
    WORLD = "world"


@attrs.frozen
class Scene:
    """Where a fault happens: one connection of `client` to `origin`, with other requests on it."""

    client: quiver.Client
    origin: LocalOrigin
    patch: pytest.MonkeyPatch
    roots: Path  # the file that the client was given

    @property
    def url(self) -> str:
        return self.origin.url + VICTIM

    def engine(self) -> Any:
        """The engine of the connection that the victim will be on."""
        pool: Any = self.client.pool(self.origin.url)._actor_weakref()
        (connection,) = pool._connections.values()
        return connection._actor_weakref()._transport.http._engine

    def get(self, **options: Any) -> quiver.Response:
        return self.client.get(self.url, timeout=LIMIT, **options)

    def post(self, **options: Any) -> quiver.Response:
        return self.client.post(self.url, timeout=LIMIT, **options)

    def future(self) -> Any:
        """A GET that nobody waits for yet."""
        return self.client.pool(self.origin.url).ask(quiver.Request("GET", VICTIM), block=False)


@attrs.frozen
class Fault:
    """One row. `error` is what the victim gets, None a good answer; `cause` its `__cause__`."""

    name: str
    domain: Domain
    happen: Callable[[Scene], object]
    error: type[BaseException] | None
    said: str = ""
    cause: type[BaseException] | None = None

    def __str__(self) -> str:
        return f"{self.domain.value}: {self.name}"


class Odd(BaseException):
    """Raised by code that a caller gave."""

    def __repr__(self) -> str:
        raise RuntimeError("not even its words are good")


class Another(quiver.Request):
    """A request of the caller's own making."""

    @property
    def trailers(self) -> Any:
        raise LookupError("it has none")


class Homeless(quiver.Request):
    """One that cannot say where it must go."""

    @property
    def origin(self) -> quiver.Origin:
        raise LookupError("it has none")


def _another(kind: type[quiver.Request]) -> Callable[[Scene], object]:
    def happen(scene: Scene) -> object:
        request = kind.__new__(kind)
        for name in ("method", "target", "headers", "body", "origin", "timeout"):
            if name not in vars(kind):
                object.__setattr__(request, name, getattr(quiver.Request("GET", VICTIM), name))
        return scene.client.pool(scene.origin.url).ask(request, block=False).get(timeout=LIMIT)

    return happen


class Lying(bytes):
    """Bytes of a kind of the caller's own."""

    def __len__(self) -> int:
        return 5


class Unencodable(str):
    """Text that the encoder cannot take."""

    def encode(self, *_: Any, **__: Any) -> Any:
        return str(self)


# how they come about ----------------------------------------------------------------------------


def _threadless(scene: Scene) -> object:
    """The system has no thread left for a body that no caller waits for."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    request = quiver.Request("POST", VICTIM, body=iter([b"x"]))
    scene.patch.setattr(threading.Thread, "start", start)
    return scene.client.pool(scene.origin.url).ask(request, block=False).get(timeout=LIMIT)


def _raising(error: BaseException) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        raise error

    return call


def _broken_body(error: BaseException) -> Iterator[bytes]:
    yield b"x" * 1000
    raise error


def _body(error: BaseException) -> Callable[[Scene], object]:
    return lambda scene: scene.post(body=_broken_body(error))


def _past_the_door(scene: Scene) -> object:
    """As if the checks at the call had forgotten something."""
    request = quiver.Request("GET", VICTIM, timeout=LIMIT)
    object.__setattr__(request, "headers", (("x", Unencodable("x")),))
    return scene.client.pool(scene.origin.url).ask(request)


def _path(path: str) -> Callable[[Scene], object]:
    return lambda scene: scene.client.get(scene.origin.url + path, timeout=LIMIT)


def _channel(scene: Scene) -> object:
    url = scene.origin.url + "/session"
    return scene.client.open_channel(url, protocol="echo", headers=LARGE, timeout=LIMIT)


def _listener(error: BaseException) -> Callable[[Scene], object]:
    def happen(scene: Scene) -> object:
        events = ["request.start", "request.stop"]
        telemetry.attach("domains", events, _raising(error))
        try:
            return scene.get()
        finally:
            telemetry.detach("domains")

    return happen


def _callback(error: BaseException) -> Callable[[Scene], object]:
    def happen(scene: Scene) -> object:
        future = scene.future()
        future.when_done(_raising(error))
        return future.get(timeout=LIMIT)

    return happen


def _hinted(error: BaseException) -> Callable[[Scene], object]:
    return lambda scene: scene.client.get(
        scene.origin.url + HINTING, timeout=LIMIT, on_informational=_raising(error)
    )


def _hinted_stream(error: BaseException) -> Callable[[Scene], object]:
    return lambda scene: scene.client.stream(
        "GET", scene.origin.url + HINTING, timeout=LIMIT, on_informational=_raising(error)
    )


def _hinted_later(error: BaseException) -> Callable[[Scene], object]:
    def happen(scene: Scene) -> object:
        asked = quiver.Request("GET", HINTING, timeout=LIMIT, on_informational=_raising(error))
        return scene.client.pool(scene.origin.url).ask(asked, block=False).get(timeout=LIMIT)

    return happen


def _hinted_channel(error: BaseException) -> Callable[[Scene], object]:
    def happen(scene: Scene) -> object:
        url, callback = scene.origin.url + HINTING, _raising(error)
        with scene.client.open_channel(
            url, method="GET", timeout=LIMIT, on_informational=callback
        ) as channel:
            return list(channel)

    return happen


@attrs.frozen
class _Watcher:
    """An observation whose every step fails."""

    request: quiver.Request
    error: BaseException

    def answered(self, _: object) -> None:
        raise self.error

    def ended(self, _: object) -> None:
        raise self.error


def _observer(error: BaseException) -> Callable[[Scene], object]:
    def begin(_: str, request: quiver.Request) -> _Watcher:
        return _Watcher(request, error)

    def happen(scene: Scene) -> object:
        telemetry.observe(begin)
        try:
            return scene.future().get(timeout=LIMIT)
        finally:
            telemetry.unobserve(begin)

    return happen


def _by_ticket(
    owner: Any, method: str, how: Callable[[Scene], object]
) -> Callable[[Scene], object]:
    """A method of the callers' that fails for the victim only."""
    whole = getattr(owner, method)

    def failing(self: Any, ticket: int, *args: Any) -> Any:
        if self.get(ticket).exchange.request.target == VICTIM:
            raise LookupError(method)
        return whole(self, ticket, *args)

    def happen(scene: Scene) -> object:
        scene.patch.setattr(owner, method, failing)
        return how(scene)

    return happen


def _next(owner: Any, method: str, how: Callable[[Scene], object]) -> Callable[[Scene], object]:
    """A method that fails once, at the next call: the victim's, as nothing else is begun."""
    whole, armed = getattr(owner, method), threading.Event()

    def failing(self: Any, *args: Any, **options: Any) -> Any:
        if armed.is_set():
            armed.clear()
            raise LookupError(method)
        return whole(self, *args, **options)

    def happen(scene: Scene) -> object:
        scene.patch.setattr(owner, method, failing)
        armed.set()
        try:
            return how(scene)
        finally:
            assert not armed.is_set(), f"{method} was not called"

    return happen


def _of_the_library(part: str, *methods: str) -> Callable[[Scene], object]:
    """One of these methods fails once, in a part of the engine that the victim is on."""

    def happen(scene: Scene) -> object:
        victims, armed = getattr(scene.engine(), part), [LookupError(*methods)]
        for method in methods:
            scene.patch.setattr(type(victims), method, failing(victims, method, armed))
        return scene.get()

    def failing(victims: object, method: str, armed: list[LookupError]) -> Callable[..., Any]:
        whole = getattr(type(victims), method)

        def fail(self: Any, *args: Any) -> Any:
            if self is victims and armed:
                raise armed.pop()
            return whole(self, *args)

        return fail

    return happen


def _read(scene: Scene) -> object:
    with scene.client.stream("GET", scene.url, timeout=LIMIT) as response:
        return response.read()


def _upload(scene: Scene) -> object:
    return scene.post(body=iter([b"x" * 1000]), trailers={"x": "1"})


def _rootless(scene: Scene) -> object:
    """The file of roots is away while a further connection is made."""
    accepted = scene.origin.connections_accepted()
    scene.roots.rename(scene.roots.with_suffix(".away"))
    try:
        answer = scene.get()
        until(lambda: scene.origin.connections_accepted() > accepted)
        return answer
    finally:
        scene.roots.with_suffix(".away").rename(scene.roots)


def _errno(call: str, name: str) -> Callable[[Scene], object]:
    """The next calls on sockets fail, on connections that carry others and on the victim's."""

    def happen(scene: Scene) -> object:
        fail(call, getattr(errno, name), 3)
        try:
            answer = scene.get()
            until(met)
            return answer
        finally:
            fail("none", 0, 0)

    return happen


def _icmp(code: tuple[int, int]) -> Callable[[Scene], object]:
    """A stranger says of each connection to the origin that it does not get through."""

    def happen(scene: Scene) -> object:
        try:
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        except PermissionError as error:
            if os.environ.get("QUIVER_REQUIRE_SERVERS") == "1":
                raise
            pytest.skip(f"forging ICMP messages takes root: {error}")
        with raw:
            ours = _ports_to(scene.origin.port)
            assert ours
            for port in ours:
                here, there = ("127.0.0.1", port), ("127.0.0.1", scene.origin.port)
                raw.sendto(forged(True, code, here, there), ("127.0.0.1", 0))
        return scene.get()

    return happen


def _ports_to(there: int) -> list[int]:
    rows = [line.split() for line in Path("/proc/self/net/udp").read_text().splitlines()[1:]]
    ends = [[int(each.split(":")[1], 16) for each in row[1:3]] for row in rows]
    return [local for local, remote in ends if remote == there]


def _exhausted(scene: Scene) -> object:
    """Not a descriptor is left for another connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        return scene.get()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _exhausted_elsewhere(scene: Scene) -> object:
    """The same, and the victim has no connection that it could go out on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        return scene.client.get(f"https://127.0.0.2:{scene.origin.port}/ok", timeout=LIMIT)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _nameless(scene: Scene) -> object:
    """The name server fails."""
    failed = socket.gaierror(socket.EAI_AGAIN, "the name server fails")
    scene.patch.setattr(_socket, "getaddrinfo", _raising(failed))
    return scene.client.get(f"https://somewhere.test:{scene.origin.port}/ok", timeout=LIMIT)


def _oddly_named(scene: Scene) -> object:
    scene.patch.setattr(_socket, "getaddrinfo", _raising(LookupError("odd")))
    return scene.client.get(f"https://somewhere.test:{scene.origin.port}/ok", timeout=LIMIT)


def _refused(scene: Scene) -> object:
    """Nobody listens on another port of the same host."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    return scene.client.get(f"https://127.0.0.1:{port}/ok", timeout=LIMIT)


def _untrusted(scene: Scene) -> object:
    """Another server shows a certificate of nobody's."""
    with LocalOrigin() as other:
        return scene.client.get(other.url + "/ok", timeout=LIMIT)


# the table --------------------------------------------------------------------------------------


def _requests() -> Iterator[Fault]:
    def row(name: str, happen: Callable[[Scene], object], *told: Any) -> Fault:
        return Fault(name, Domain.REQUEST, happen, *told)

    limit, failed = f"limit is {SECTION}", "failed on our side"
    invalid, internal = quiver.InvalidRequest, quiver.InternalError
    yield row("headers above the server's limit", lambda s: s.get(headers=LARGE), invalid, limit)
    yield row("trailers above it", lambda s: s.post(body=b"x", trailers=LARGE), invalid, limit)
    yield row(
        "trailers above it that are computed",
        lambda s: s.post(body=iter([b"x"]), trailers=lambda: LARGE),
        invalid,
        limit,
    )
    yield row("a channel's headers above it", _channel, invalid, limit)
    yield row(
        "trailers that no field can hold",
        lambda s: s.post(body=iter([b"x"]), trailers=lambda: {"x": "a" * 65_536}),
        invalid,
        "65500",
    )
    yield row(
        "trailers that are none",
        lambda s: s.post(body=iter([b"x"]), trailers=lambda: {"x": object()}),
        invalid,
        "not a str",
    )
    yield row(
        "trailers that raise",
        lambda s: s.post(body=iter([b"x"]), trailers=_raising(LookupError("odd"))),
        LookupError,
        "odd",
    )
    yield row("the server resets it", _path("/reset/0x102"), quiver.StreamReset, "0x102")
    yield row("its response is malformed", _path("/malformed/twice"), quiver.ProtocolViolation)
    yield row("a body lies about its length", lambda s: s.post(body=Lying(b"x" * 1000)), None)
    yield row("a piece of it does", lambda s: s.post(body=[Lying(b"x" * 1000)]), None)
    yield row("a listener raises GreenletExit", _listener(gevent.GreenletExit()), None)
    yield row("a callback of the future does", _callback(gevent.GreenletExit()), None)
    yield row("an observer does", _observer(gevent.GreenletExit()), None)
    for kind in (Another, Homeless):
        said = f"a request of another kind, {kind.__name__}"
        yield row(said, _another(kind), internal, failed, LookupError)
    yield row("the encoder raises", _past_the_door, internal, failed, ValueError)
    errors = LookupError("odd"), Odd(), SystemExit(3), KeyboardInterrupt(), gevent.Timeout(1.0)
    for error in errors:
        name = type(error).__name__
        yield row(
            f"a body raises {name}",
            _body(error),
            type(error),
        )
    yield row("no thread can be started that reads its body", _threadless, quiver.ResourceExhausted)
    for error in errors:
        name = type(error).__name__
        yield row(f"a listener raises {name}", _listener(error), None)
        yield row(f"a callback of the future raises {name}", _callback(error), None)
        yield row(f"an observer raises {name}", _observer(error), None)
        yield row(f"an interim response's callback raises {name}", _hinted(error), type(error))
        yield row(
            f"the same, and the response is streamed, {name}", _hinted_stream(error), type(error)
        )
        yield row(f"the same, and nobody waits, {name}", _hinted_later(error), type(error))
        yield row(f"the same, in a channel, {name}", _hinted_channel(error), type(error))
    for method, how in (
        ("answer", Scene.get),
        ("begin", _read),
        ("deliver", _read),
        ("end", _read),
    ):
        yield row(
            f"{method} raises", _by_ticket(Callers, method, how), internal, failed, LookupError
        )
    for owner, method, how in (
        (ClientConnection, "open_request", Scene.get),
        (ClientConnection, "send_body", _upload),
        (ClientConnection, "send_trailers", _upload),
        (Exchanges, "open", Scene.get),
        (Callers, "add", Scene.get),
        (AioquicEngine, "open_stream", Scene.get),
    ):
        yield row(f"{method} raises", _next(owner, method, how), internal, failed, LookupError)


def _others() -> Iterator[Fault]:
    yield Fault(
        "the library raises on what came",
        Domain.CONNECTION,
        _of_the_library("receiver", "take", "take_row"),
        quiver.ProtocolViolation,
        "LookupError",
        LookupError,
    )
    yield Fault(
        "the library raises in sending",
        Domain.CONNECTION,
        _of_the_library("sender", "flush"),
        quiver.InternalError,
        "failed on our side: LookupError",
        LookupError,
    )
    yield Fault(
        "the library raises when asked for its timer",
        Domain.CONNECTION,
        _of_the_library("connection", "get_timer"),
        quiver.InternalError,
        "failed on our side: LookupError",
        LookupError,
    )
    yield Fault(
        "the table raises",
        Domain.POOL,
        _next(RoutingTable, "lend", Scene.get),
        quiver.InternalError,
        "the next ask starts another",
        LookupError,
    )
    yield Fault(
        "the table raises when it is asked for its counts",
        Domain.POOL,
        _next(RoutingTable, "stats", lambda scene: scene.client.stats(scene.origin.url)),
        quiver.InternalError,
        "the next ask starts another",
        LookupError,
    )


def _of_the_world() -> Iterator[Fault]:
    def row(name: str, happen: Callable[[Scene], object], *told: Any) -> Fault:
        return Fault(name, Domain.WORLD, happen, *(told or (None,)))

    yield row("the roots are away", _rootless)
    for call in ("send", "recv"):
        for name in ("EMSGSIZE", "EHOSTUNREACH", "EPERM", "ENOBUFS", "EIO", "ECONNREFUSED"):
            yield row(f"{call} says {name}", _errno(call, name))
    # Not "fragmentation needed": the kernel would believe it of 127.0.0.1 for ten minutes, whoever
    # sends there. That is told in namespaces, see tests/faults/test_routers.py.
    for said, code in (
        ("nobody listens on the port", (3, 3)),
        ("the host is unreachable", (3, 1)),
        ("the host is prohibited", (3, 10)),
        ("communication is prohibited", (3, 13)),
    ):
        yield row(f"by ICMP, {said}", _icmp(code))
    yield row("no descriptor is left for another connection", _exhausted)
    yield row(
        "none is left for the first to an origin", _exhausted_elsewhere, quiver.ResourceExhausted
    )
    yield row("the name server fails", _nameless, quiver.NameResolutionFailed, "somewhere.test")
    odd = quiver.InternalError, "failed on our side", LookupError
    yield row("the resolver raises what nobody foresaw", _oddly_named, *odd)
    yield row("another port refuses", _refused, quiver.ConnectionRefused)
    yield row("another certificate is of nobody's", _untrusted, quiver.CertificateInvalid)


FAULTS: Final = (*_requests(), *_others(), *_of_the_world())
