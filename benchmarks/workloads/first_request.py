"""Where the time of a first request goes, step by step, and that of the imports before it.

    python -m benchmarks.workloads.first_request [--programs 40]

Fresh programs ask Caddy once each, as in the measure `first`. The functions of each step note the
CPU of their thread when they begin and end, without that of steps within them; what is in none of
them is its thread's. What is left of the time is waiting: for the server, and for a core; less what
threads have done at once. So the rows add up to the whole.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import importlib._bootstrap_external
import json
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Final

# What Quiver needs as well is imported below: its import is measured.

__all__ = ["IMPORTS", "STEPS", "WAITING", "Ledger", "measure", "middle"]

IMPORTS: Final[Mapping[str, tuple[str, ...]]] = {
    "imports: quiver": ("quiver",),
    "imports: aioquic": ("aioquic", "service_identity", "OpenSSL", "certifi", "pylsqpack"),
    "imports: cryptography": ("cryptography", "cffi", "_cffi_backend"),
    "imports: gevent": ("gevent", "greenlet", "zope"),
    "imports: attrs, pykka": ("attr", "attrs", "pykka"),
    "imports: the standard library, and others": (),
}
"""The packages of each row, by their first names."""

_REST: Final = list(IMPORTS)[-1]
_CALLER: Final = "the caller's thread: client, request, its waits"
_LOOP: Final = "the loop's thread: messages, turns, the rest"
WAITING: Final = "waiting for the server, a thread, a core"

STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    "the name is looked up": ("quiver.pool.name_resolution:LookUps._run",),
    "the loop is made": ("quiver.actors.hub:make_hub", "quiver.actors.hub:LoopWakeup.of"),
    "actors: made": (
        "quiver.actors.supervisor:Supervisor.__init__",
        "quiver.pool.target:PoolTarget.__init__",
        "quiver.pool.coordinator:OriginPool.__init__",
        "quiver.pool.connection:Connection.__init__",
    ),
    "actors: begun": (
        "quiver.actors.actor:GeventActor._start_actor_loop",
        "quiver.actors.hub:Hub._begin",
    ),
    "the dial": (
        "quiver.pool.dialer:Dialer._begin",
        "quiver.pool.dialer:Dialer._try",
        "quiver.pool.dialer:Dialer._win",
        "quiver.pool.udp_transport:UdpTransport.open",
        "quiver.pool.udp_transport:UdpTransport.adopt",
    ),
    "timers": ("quiver.actors.timers:Timers.at", "quiver.actors.timers:Timers._fire"),
    "the request, from table to table": (
        "quiver.pool.coordinator:OriginPool._accept",
        "quiver.pool.coordinator:OriginPool._do",
        "quiver.pool.exchange_runner:ExchangeRunner.feed",
        "quiver.pool.exchange_runner:ExchangeRunner.start",
    ),
    "roots: read": ("quiver.quic.trust_roots:_read",),
    "the rest of the configuration": ("quiver.pool.http3_stack:make_configuration",),
    "the socket": (
        "quiver.pool.udp:UdpSocket.__init__",
        "quiver.pool.udp:UdpSocket.send",
        "quiver.pool.udp:UdpSocket.receive",
    ),
    "the state of QUIC and HTTP/3": (
        "quiver.quic.aioquic.engine:AioquicEngine.__init__",
        "quiver.h3.client_connection:ClientConnection.__init__",
        "quiver.quic.aioquic.engine:AioquicEngine.connect",
    ),
    "keys of packets": (
        "aioquic.quic.crypto:CryptoPair.setup_initial",
        "aioquic.quic.crypto:CryptoContext.setup",
    ),
    "key shares: P-256, P-384": (
        "cryptography.hazmat.primitives.asymmetric.ec:generate_private_key",
    ),
    "key shares: X25519": (
        "cryptography.hazmat.primitives.asymmetric.x25519:X25519PrivateKey.generate",
    ),
    "key shares: X448": ("cryptography.hazmat.primitives.asymmetric.x448:X448PrivateKey.generate",),
    "ClientHello": ("aioquic.tls:Context._client_send_hello",),
    "ServerHello: key exchange, secrets": ("aioquic.tls:Context._client_handle_hello",),
    "EncryptedExtensions, transport parameters": (
        "aioquic.tls:Context._client_handle_encrypted_extensions",
        "quiver.quic.aioquic.connection:read_transport_parameters",
    ),
    "Certificate": ("aioquic.tls:Context._client_handle_certificate",),
    "CertificateVerify": ("aioquic.tls:Context._client_handle_certificate_verify",),
    "the chain is verified": (
        "quiver.chain_verifier:ChainVerifier.begin",
        "quiver.chain_verifier:ChainVerifier.verify",
    ),
    "Finished, of both": ("aioquic.tls:Context._client_handle_finished",),
    "packets are opened": ("quiver.quic.aioquic.engine:AioquicEngine.receive",),
    "packets are sealed": ("quiver.quic.aioquic.engine:AioquicEngine.datagrams",),
    "HTTP/3: streams, SETTINGS, request, response": (
        "quiver.h3.client_connection:ClientConnection.events",
        "quiver.h3.client_connection:ClientConnection.open_request",
    ),
}
"""The functions of each step: module, and name in it. None of them switches to another greenlet."""


class Ledger:
    """CPU by step, in nanoseconds.

    Attributes:
        spent: by each step itself.
    """

    def __init__(self) -> None:
        self.spent: dict[str, int] = defaultdict(int)
        self._threads: dict[int, _Thread] = {}

    def note_imports(self) -> None:
        """Book each module that is imported from now on."""
        loaders: Any = importlib._bootstrap_external
        for loader in (loaders._LoaderBasics, loaders.ExtensionFileLoader):
            self._wrap(loader, "exec_module", lambda _, module: _row_of(module.__name__))
        self._wrap(loaders.ExtensionFileLoader, "create_module", lambda _, spec: _row_of(spec.name))

    def note(self, steps: Mapping[str, tuple[str, ...]]) -> None:
        """Book these steps from now on, and no import."""
        self._threads.clear()
        for step, places in steps.items():
            for place in places:
                module, _, path = place.partition(":")
                *owners, name = path.split(".")
                owner: Any = importlib.import_module(module)
                for each in owners:
                    owner = getattr(owner, each)
                self._wrap(owner, name, lambda *_, step=step, **__: step)

    def _wrap(self, owner: Any, name: str, step_of: Callable[..., str]) -> None:
        plain = vars(owner)[name]
        bound = isinstance(plain, classmethod | staticmethod)
        call: Callable[..., Any] = plain.__func__ if bound else plain

        def noted(*args: Any, **named: Any) -> Any:
            thread = self.here()
            thread.begin(step_of(*args, **named))
            try:
                return call(*args, **named)
            finally:
                thread.end()

        setattr(owner, name, type(plain)(noted) if bound else noted)

    def here(self, step: str = _LOOP) -> _Thread:
        """The account of this thread, which began with it; `step` has what is in no other."""
        me = threading.get_ident()
        if me not in self._threads:
            self._threads[me] = _Thread(self.spent, step)
        return self._threads[me]

    def close(self) -> None:
        """Book what the threads have spent since."""
        alive = {each.ident for each in threading.enumerate()}
        for ident, thread in self._threads.items():
            if ident in alive:  # the clock of another one must not be asked for
                thread.book(time.clock_gettime_ns(time.pthread_getcpuclockid(ident)))


class _Thread:
    def __init__(self, spent: dict[str, int], step: str) -> None:
        self._spent = spent
        self._steps = [step]
        self._booked = 0 if step == _LOOP else time.thread_time_ns()

    def begin(self, step: str) -> None:
        self.book(time.thread_time_ns())
        self._steps.append(step)

    def end(self) -> None:
        self.book(time.thread_time_ns())
        self._steps.pop()

    def book(self, now: int) -> None:
        self._spent[self._steps[-1]] += now - self._booked
        self._booked = now


def _row_of(module: str) -> str:
    first = module.partition(".")[0]
    return next((row for row, packages in IMPORTS.items() if first in packages), _REST)


def _one(cafile: str, url: str) -> dict[str, float]:
    """Ask once, in this program: milliseconds of each step."""
    ledger = Ledger()
    ledger.here(_REST)
    ledger.note_imports()
    from benchmarks.clients.registry import QUIVER, find
    from benchmarks.workloads.load import Load, Settings

    make = find(QUIVER).make()
    ledger.close()
    ledger.note(STEPS)
    imports = sum(ledger.spent.values())
    gc.collect()
    ledger.here(_CALLER)
    began = time.perf_counter_ns()
    adapter = make(Settings(cafile))
    adapter.run(Load((url,)))
    whole = time.perf_counter_ns() - began
    ledger.close()
    adapter.close()
    spent = ledger.spent
    spent[WAITING] = whole - (sum(spent.values()) - imports)
    return {step: found / 1e6 for step, found in spent.items()}


def middle(found: list[dict[str, float]]) -> dict[str, float]:
    """The mean of the half that is neither fast nor slow, by CPU; its rows add up as each does."""
    found = sorted(found, key=lambda each: sum(each.values()) - each[WAITING])
    quarter = len(found) // 4
    kept = found[quarter : len(found) - quarter]
    rows = (*IMPORTS, _CALLER, _LOOP, *STEPS, WAITING)
    return {row: statistics.fmean(each.get(row, 0.0) for each in kept) for row in rows}


def measure(cafile: str, url: str, programs: int) -> list[dict[str, float]]:
    """What so many fresh programs have spent, each by step, in milliseconds."""
    command = [sys.executable, "-m", "benchmarks.workloads.first_request", "--one", cafile, url]
    return [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(programs)
    ]


def report(rows: Mapping[str, float]) -> str:
    """A table in Markdown; shares are of CPU."""
    imports = sum(rows[row] for row in IMPORTS)
    cpu = sum(rows.values()) - imports - rows[WAITING]
    lines = ["| step | CPU ms | share |", "| --- | ---: | ---: |"]
    lines += [f"| {row} | {rows[row]:.2f} | {rows[row] / imports:.1%} |" for row in IMPORTS]
    lines.append(f"| **imports** | **{imports:.2f}** | 100% |")
    steps = [row for row in rows if row not in IMPORTS and row != WAITING]
    lines += [f"| {row} | {rows[row]:.2f} | {rows[row] / cpu:.1%} |" for row in steps]
    lines.append(f"| **the first request** | **{cpu:.2f}** | 100% |")
    lines.append(f"| {WAITING} | {rows[WAITING]:+.2f} | |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--programs", type=int, default=40)
    parser.add_argument("--one", nargs=2, metavar=("CAFILE", "URL"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(_one(*given.one)))
        return
    from benchmarks.servers import Servers

    with Servers("caddy") as servers:
        (url,) = servers.urls("/small")
        measure(servers.cafile, url, 2)  # the server's own first ones
        print(report(middle(measure(servers.cafile, url, given.programs))))


if __name__ == "__main__":
    main()
