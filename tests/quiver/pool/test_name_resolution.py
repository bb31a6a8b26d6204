"""Name resolution: who is asked, and where; what hangs costs its name alone."""

from __future__ import annotations

import _socket
import contextlib
import errno
import gc
import ipaddress
import socket
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import gevent
import gevent.socket
import pytest

import quiver
from quiver.actors.descriptors import NoneLeft
from quiver.actors.wait_queue import wait
from quiver.config import PoolConfig
from quiver.errors import NameResolutionFailed
from quiver.pool import look_up_table, name_resolution
from quiver.pool.name_resolution import resolve
from quiver.pool.resolver_answer import WrongAnswer
from quiver.testing import Authority, LocalOrigin
from tests.support.network.host_names import Names
from tests.support.programs.runner import run_script
from tests.support.waiting import until


def look_ups() -> list[str]:
    """The threads that look names up now."""
    return [each.name for each in threading.enumerate() if "look-up" in each.name]


def test_addresses_of_a_name() -> None:
    found = resolve("127.0.0.1", 4433)
    assert found == [(socket.AF_INET, ("127.0.0.1", 4433))]
    assert resolve("::1", 4433) == [(socket.AF_INET6, ("::1", 4433, 0, 0))]
    assert (socket.AF_INET, ("127.0.0.1", 1)) in resolve("localhost", 1)


def test_only_names_are_looked_up(names: Names) -> None:
    names["somewhere.test"] = "127.0.0.9"
    assert resolve("somewhere.test", 1)[0] == (socket.AF_INET, ("127.0.0.9", 1))
    resolve("127.0.0.1", 1)
    resolve("::1", 1)
    assert names.asked == ["somewhere.test"]


@pytest.mark.parametrize("host", ["absent.invalid", "a" * 300, "a..b"])
def test_a_name_without_addresses(host: str) -> None:
    with pytest.raises(NameResolutionFailed, match=host[:20]):
        resolve(host, 443)


def test_a_look_up_that_fails_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The last descriptor may be taken just before the system wants one for it."""

    def exhausted(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(_socket, "getaddrinfo", exhausted)
    with pytest.raises(NoneLeft):
        resolve("somewhere.test", 443)
    assert capfd.readouterr().err == ""


# who is asked ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "replacement",
    [
        lambda host, port, family=0, socktype=0, proto=0, flags=0: [
            (socket.AF_INET, socktype, proto, "", ("192.0.2.1", port))
        ],
        lambda *asked: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", asked[1]))] * 2,
    ],
    ids=["names of its own", "by position"],
)
def test_a_function_in_the_place_of_getaddrinfo(
    monkeypatch: pytest.MonkeyPatch, replacement: Callable[..., Any]
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", replacement)
    assert resolve("a.example", 443) == [(socket.AF_INET, ("192.0.2.1", 443))]


def answering(answer: Any) -> Callable[..., Any]:
    def answers(*_: object) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    return answers


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (socket.gaierror(-2, "Name or service not known"), NameResolutionFailed, "not known"),
        ([], NameResolutionFailed, "'a.example' cannot be resolved: .*getaddrinfo returned no"),
        ("192.0.2.1", NameResolutionFailed, "getaddrinfo returned '192.0.2.1': a list"),
        (SystemExit(3), NameResolutionFailed, r"getaddrinfo raised SystemExit\(3\)"),
        (LookupError("odd"), LookupError, "odd"),
        (OSError(errno.ENFILE, "Too many"), NoneLeft, "Too many"),
    ],
    ids=repr,
)
def test_one_that_gives_no_address(
    monkeypatch: pytest.MonkeyPatch, answer: Any, kind: type[Exception], said: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answering(answer))
    with pytest.raises(kind, match=said):
        resolve("a.example", 443)
    until(lambda: not look_ups())


@pytest.mark.parametrize("kind", [socket.gaierror, LookupError, SystemExit, None])
def test_an_error_is_in_no_cycle(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseException] | None
) -> None:
    """Else it would keep what the program's frames hold, until the collector comes."""

    class Held:
        """What the program's function holds."""

    held: list[weakref.ref[Held]] = []

    def answers(*_: object) -> list[str]:
        mine = Held()
        held.append(weakref.ref(mine))
        if kind is not None:
            raise kind
        return []

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    gc.disable()
    try:
        with contextlib.suppress(NameResolutionFailed, LookupError):
            resolve("a.example", 443)
        until(lambda: not look_ups())
        assert [each() for each in held] == [None]
    finally:
        gc.enable()


PATCHED = """
from gevent import monkey
monkey.patch_all()
import _socket, socket, threading, gevent, gevent.socket, time
from gevent.monkey import get_original
from quiver.config import PoolConfig
from quiver.pool.name_resolution import resolve
native = get_original("_thread", "get_ident")
main, asked = native(), []
system, of_gevent = _socket.getaddrinfo, socket.getaddrinfo

def of_system(host, *more):
    asked.append(("system", native() == main))
    return system("127.0.0.1", *more)
_socket.getaddrinfo = of_system
first = resolve("a.example", 1)
_socket.getaddrinfo = system

def replaced(host, *more):
    time.sleep(0.001)  # as patched: others have their turn
    asked.append(("program", native() == main))
    return of_gevent("127.0.0.2", *more)
socket.getaddrinfo = replaced
second = resolve("a.example", 1)

class Resolver:
    def getaddrinfo(self, *question):
        gevent.sleep(0.001)
        asked.append(("gevent", native() == main))
        return system("127.0.0.3", *question[1:])
socket.getaddrinfo = of_gevent
gevent.get_hub().resolver = Resolver()
third = resolve("a.example", 1)
def resolver(host, port):
    time.sleep(0.001)
    asked.append(("option", native() == main))
    return ["127.0.0.4"]
fourth = resolve("a.example", 1, PoolConfig.build(resolver=resolver))
print(asked, [found[0][1][0] for found in (first, second, third, fourth)])
"""


@pytest.mark.long
def test_in_a_patched_program() -> None:
    """The system is asked in a thread; what the program has chosen lives in its own."""
    asked = [("system", False), ("program", True), ("gevent", True), ("option", True)]
    assert run_script(PATCHED) == f"{asked} {[f'127.0.0.{n}' for n in range(1, 5)]}\n"


CHOSEN = """
import gevent, gevent.resolver.thread, socket

class Resolver(gevent.resolver.thread.Resolver):
    def getaddrinfo(self, host, port, *more):
        gevent.sleep(0.001)
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.3", port))]
gevent.config.resolver = Resolver

import quiver
from quiver.pool.name_resolution import resolve
found = [resolve("a.example", 1)]
with quiver.Client() as client:  # in the thread of the actors
    try:
        client.get("https://a.example:1/")
    except quiver.ConnectionRefused as error:
        found.append(error.origin)
socket.getaddrinfo = lambda host, port, *more: [(socket.AF_INET, 2, 17, "", ("127.0.0.4", port))]
print(*found, resolve("a.example", 1))
"""


@pytest.mark.long
def test_a_resolver_that_gevent_was_told_to_take() -> None:
    """A function of the program's own goes before it."""
    chosen, replaced = ([(2, (f"127.0.0.{n}", 1))] for n in (3, 4))
    printed = run_script(CHOSEN).replace("<AddressFamily.AF_INET: 2>", "2")
    assert printed == f"{chosen} https://a.example:1 {replaced}\n"


# what hangs -----------------------------------------------------------------------------------


def test_those_who_want_one_name_share_a_look_up(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[object] = []

    def noted(wakes: Any, *more: Any) -> bool:
        waiting.append(wakes)
        return wait(wakes, *more)

    monkeypatch.setattr(name_resolution, "wait", noted)
    monkeypatch.setattr(look_up_table, "STALE", 60.0)
    names["slow.test"] = "127.0.0.9"
    names.slow.add("slow.test")
    with ThreadPoolExecutor(10) as executor:
        asking = [executor.submit(resolve, "slow.test", 443) for _ in range(10)]
        until(lambda: len(waiting) == 10)
        assert len(look_ups()) == 1
        names.released.set()
        found = [each.result(timeout=10) for each in asking]
    assert found == [[(socket.AF_INET, ("127.0.0.9", 443))]] * 10
    assert len({id(each) for each in found}) == 10, "each may take from its own"
    assert names.asked == ["slow.test"]
    until(lambda: not look_ups())


def test_another_function_in_its_place_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not wait for one that hangs, and that nobody would ask any more."""
    monkeypatch.setattr(look_up_table, "STALE", 60.0)
    asked, released = threading.Event(), threading.Event()

    def hanging(*_: object) -> list[Any]:
        asked.set()
        released.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    with ThreadPoolExecutor(1) as executor:
        first = executor.submit(resolve, "a.example", 443)
        assert asked.wait(10)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *asked: [ipaddress.ip_address(1)])
        assert resolve("a.example", 443) == [(socket.AF_INET, ("0.0.0.1", 443))]
        released.set()
        with pytest.raises(NameResolutionFailed):
            first.result(timeout=10)
    until(lambda: not look_ups())


@pytest.mark.long
def test_names_that_hang_cost_the_others_nothing(names: Names) -> None:
    dead = [f"dead{n}.test" for n in range(40)]
    names.slow.update(dead)
    names["healthy.test"] = "127.0.0.9"
    with ThreadPoolExecutor(40) as executor:
        hanging = [executor.submit(resolve, host, 443) for host in dead]
        until(lambda: len(look_ups()) == 40)
        assert resolve("healthy.test", 443) == [(socket.AF_INET, ("127.0.0.9", 443))]
        assert not any(each.done() for each in hanging)
        names.released.set()


def test_a_name_that_hangs_is_asked_for_once_more(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its server may be back; the answer is for all who wait."""
    monkeypatch.setattr(look_up_table, "STALE", 0.0)
    names["slow.test"] = "127.0.0.9"
    names.slow.add("slow.test")
    with ThreadPoolExecutor(1) as executor:
        first = executor.submit(resolve, "slow.test", 443)
        until(lambda: len(names.asked) == 1)
        names.slow.clear()
        assert resolve("slow.test", 443) == first.result(timeout=10)
    assert len(look_ups()) == 1, "it cannot be ended"
    names.released.set()
    until(lambda: not look_ups())


def test_more_than_may_hang_are_named(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_up_table, "TOTAL", 2)
    names.slow.update(["dead0.test", "dead1.test"])
    with ThreadPoolExecutor(2) as executor:
        for host in sorted(names.slow):
            executor.submit(resolve, host, 443)
            until(partial(names.asked.__contains__, host))
        with pytest.raises(NoneLeft, match=r"look-ups of names are under way.*: dead0.*, dead1"):
            resolve("other.test", 443)
        names.released.set()
    until(lambda: not look_ups())
    assert resolve("localhost", 443)


def test_without_a_thread_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(name_resolution, "start_thread", none_left)
        for _ in range(3):
            with pytest.raises(NoneLeft, match="no thread for a look-up: can't start"):
                resolve("localhost", 443)
    assert resolve("localhost", 443)


HANGING = """
import _socket, os, sys, threading, time
import quiver
system, asked = _socket.getaddrinfo, []
def hanging(host, *more):
    asked.append(host)
    if os.getpid() == parent:
        time.sleep(60)
    return system("127.0.0.1", *more)
_socket.getaddrinfo, parent = hanging, os.getpid()
client = quiver.Client(pools={"default": {"connect_timeout": 5.0}})
def ask():
    try:
        client.get("https://dead.test:1/")
    except quiver.QuiverError as error:
        return type(error).__name__
threading.Thread(target=ask, daemon=True).start()
while not asked:
    time.sleep(0.001)
"""


@pytest.mark.long
def test_the_interpreter_ends_while_one_hangs() -> None:
    run_script(HANGING, timeout=20)


@pytest.mark.long
def test_a_forked_child_looks_the_same_name_up_anew() -> None:
    forked = """
child = os.fork()
if child == 0:
    print(ask(), len(asked), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    assert run_script(HANGING + forked, timeout=20) == "ConnectionRefused 2\n"


# the options ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def named(authority: Authority) -> Iterator[LocalOrigin]:
    """An origin that has a certificate for a.example alone, which no name server knows."""
    certfile, keyfile = authority.issue(["a.example"])
    with LocalOrigin(authority=authority, certfile=certfile, keyfile=keyfile) as started:

        @started.route("/ok")
        def ok(_: object) -> bytes:
            return b"ok"

        yield started


def client_of(named: LocalOrigin, **options: Any) -> quiver.Client:
    return quiver.Client(pools={"default": {"cafile": named.cafile, **options}})


def refused(*_: object) -> list[str]:
    raise AssertionError("it is asked")


@pytest.mark.parametrize("host", ["a.example", "*"])
def test_addresses_that_were_given(named: LocalOrigin, host: str) -> None:
    """They are dialled, and the certificate is still to be of the host that was asked for."""
    given = {f"{host}:{named.port}": ["127.0.0.1"]}
    with client_of(named, resolve=given, resolver=refused) as client:
        assert client.get(f"https://a.example:{named.port}/ok", timeout=10.0).body == b"ok"
    others = client_of(named, resolve={f"*:{named.port}": "127.0.0.1"})
    with others as client, pytest.raises(quiver.CertificateInvalid):
        client.get(f"https://b.example:{named.port}/ok", timeout=10.0)


def test_they_hold_for_an_address_too(named: LocalOrigin) -> None:
    given = {f"127.0.0.9:{named.port}": ["127.0.0.1"]}
    with client_of(named, resolve=given, server_name="a.example") as client:
        assert client.get(f"https://127.0.0.9:{named.port}/ok", timeout=10.0).body == b"ok"


def test_a_given_address_without_its_interface() -> None:
    config = PoolConfig.build(resolve={"a.example:443": ["fe80::1%absent0"]})
    with pytest.raises(NameResolutionFailed, match=r"resolve=.*there is no interface 'absent0'"):
        resolve("a.example", 443, config)


@pytest.mark.parametrize("form", [str, lambda each: (each, 0), ipaddress.ip_address])
def test_a_resolver_of_ones_own(named: LocalOrigin, form: Callable[[str], object]) -> None:
    asked: list[object] = []

    def resolver(host: str, port: int) -> list[object]:
        asked.append((host, port, threading.current_thread().name))
        return [form("127.0.0.1")]

    with client_of(named, resolver=resolver, max_connections=1) as client:
        assert client.get(f"https://A.example:{named.port}/ok", timeout=10.0).body == b"ok"
    assert asked == [("a.example", named.port, "quiver-look-up-a.example")]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (LookupError("odd"), r"resolver= raised LookupError\('odd'\)"),
        (SystemExit(), r"resolver= raised SystemExit\(\)"),
        (LookupError("odd" * 1_000), r"resolver= raised LookupError\('odd.{,200}\.\.\..{,200}$"),
        (gevent.GreenletExit(), "resolver= raised GreenletExit"),
        (KeyboardInterrupt(), "resolver= raised KeyboardInterrupt"),
        (gevent.Timeout(), "resolver= raised"),
        (socket.gaierror(-2, "not known"), r"cannot be resolved by resolver=: .*not known"),
        ([], "resolver= returned no address"),
        (None, "resolver= returned None"),
        ("127.0.0.1", "resolver= returned '127.0.0.1': a list of addresses"),
        (["a.example"], "resolver= returned 'a.example', which is no address"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_resolver_that_gives_no_address(named: LocalOrigin, answer: Any, said: str) -> None:
    """The pool that asked it lives on, and no actor has crashed."""
    answers = [answer]

    def resolver(host: str, _: int) -> Any:
        return answering(answers.pop() if answers else ["127.0.0.1"])()

    rules = {"resolver": resolver, "max_connections": 1}
    with client_of(named, **rules) as client:
        pool = client.pool(f"https://a.example:{named.port}")
        with pytest.raises(NameResolutionFailed, match=said) as caught:
            pool.ask(quiver.Request("GET", "/ok"), timeout=10.0)
        assert "host 'a.example' cannot be resolved" in str(caught.value)
        assert caught.value.__cause__ is answer or type(caught.value.__cause__) is WrongAnswer
        assert pool.ask(quiver.Request("GET", "/ok"), timeout=20.0).body == b"ok"


def test_a_resolver_that_hangs_costs_its_origin_alone(named: LocalOrigin) -> None:
    released, hanging = threading.Event(), threading.Event()

    def resolver(host: str, _: int) -> list[str]:
        if host != "a.example":
            hanging.set()
            released.wait(60)
        return ["127.0.0.1"]

    with client_of(named, resolver=resolver) as client, ThreadPoolExecutor(1) as executor:
        other = executor.submit(client.get, "https://b.example:1/ok", timeout=30.0)
        assert hanging.wait(10)
        assert client.get(f"https://a.example:{named.port}/ok", timeout=10.0).body == b"ok"
        assert not other.done()
        released.set()
        with pytest.raises(quiver.QuiverError):
            other.result(timeout=30)


def test_a_resolver_that_uses_gevent(named: LocalOrigin) -> None:
    """In its thread it has a hub of its own, which ends with it."""

    def resolver(_: str, port: int) -> Any:
        gevent.sleep(0.001)
        return gevent.socket.getaddrinfo("127.0.0.1", port)

    with client_of(named, resolver=resolver) as client:
        assert client.get(f"https://a.example:{named.port}/ok", timeout=10.0).body == b"ok"
    until(lambda: not look_ups())
