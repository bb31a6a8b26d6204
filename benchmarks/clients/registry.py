"""The clients that are measured, by name, and which are installed here."""

from __future__ import annotations

import importlib
import importlib.util

import attrs

from benchmarks.workloads.load import Make

__all__ = ["CLIENTS", "FLOOR", "QUIVER", "Client", "find"]

QUIVER = "quiver-threads"  # what ratios are of
FLOOR = "bare"


@attrs.frozen
class Client:
    """One client.

    Attributes:
        name: on the command line and in tables.
        place: module and class of its adapter.
        kind: what its callers are: threads, greenlets, actors, tasks, a batch, a loop or users.
        needs: the packages that must be installed.
        patched: runs in a monkey-patched program.
        over_tcp: speaks HTTP/1.1 or HTTP/2.
        multiplexed: its callers share connections, so a thousand may be open at once.
        apart: measured beside its like alone, in measures that name it.
    """

    name: str
    place: str
    kind: str
    needs: str | None = None
    patched: bool = False
    multiplexed: bool = False
    over_tcp: bool = False
    apart: bool = False

    @property
    def ours(self) -> bool:
        """Whether it is Quiver."""
        return self.name.startswith(("quiver-", "HTTP3"))

    @property
    def peer(self) -> bool:
        """Whether it is what one would use instead."""
        return not self.ours and self.name != FLOOR

    def absence(self) -> str | None:
        """Why it cannot be measured here, or None."""
        if self.needs is None:
            return None
        missing = [name for name in self.needs.split() if importlib.util.find_spec(name) is None]
        return f"{' and '.join(missing)} not installed" if missing else None

    def make(self) -> Make:
        """Return what makes its adapter; its package is imported before any clock runs."""
        for name in (self.needs or "").split():
            importlib.import_module(name)
        module, _, name = self.place.partition(":")
        made: Make = getattr(importlib.import_module(module), name)
        return made


_AIOQUIC = "benchmarks.clients.aioquic_asyncio"
_LOCUST = "benchmarks.clients.locust_users"
_TCP = "benchmarks.clients.quiver_over_tcp"
_OWN, _PEERS = "benchmarks.clients.quiver_pool", "benchmarks.clients.other_libraries"

CLIENTS = (
    Client(QUIVER, f"{_OWN}:QuiverThreads", "threads", multiplexed=True),
    Client("quiver-client", f"{_OWN}:QuiverClient", "threads", multiplexed=True),
    Client(
        "quiver-greenlets", f"{_OWN}:QuiverGreenlets", "greenlets", patched=True, multiplexed=True
    ),
    Client("quiver-actor", f"{_OWN}:QuiverActor", "actors", multiplexed=True),
    Client("niquests-threads", f"{_PEERS}:NiquestsThreads", "threads", "niquests"),
    Client("niquests-multiplexed", f"{_PEERS}:NiquestsMultiplexed", "batch", "niquests"),
    Client("niquests-async", f"{_PEERS}:NiquestsTasks", "tasks", "niquests"),
    Client("curl_cffi-threads", f"{_PEERS}:CurlThreads", "threads", "curl_cffi"),
    Client("curl_cffi-async", f"{_PEERS}:CurlTasks", "tasks", "curl_cffi"),
    Client(
        "aioquic-async",
        f"{_AIOQUIC}:AioquicTasks",
        "tasks",
        multiplexed=True,
    ),
    Client("httpx-http2", f"{_PEERS}:Httpx2Threads", "threads", "httpx h2", over_tcp=True),
    Client("httpx-async", f"{_PEERS}:Httpx2Tasks", "tasks", "httpx h2", over_tcp=True),
    Client("httpx-http1", f"{_PEERS}:Httpx1Threads", "threads", "httpx", over_tcp=True),
    Client(FLOOR, "benchmarks.clients.bare:Bare", "loop", multiplexed=True),
    *(
        Client(name, f"{module}:{cls}", kind, needs, kind == "greenlets", over_tcp=True, apart=True)
        for name, module, cls, kind, needs in (
            ("quiver-h2-threads", _TCP, "Http2PoolThreads", "threads", "h2"),
            ("quiver-h2-greenlets", _TCP, "Http2PoolGreenlets", "greenlets", "h2"),
            ("niquests-h2-threads", _PEERS, "NiquestsHttp2Threads", "threads", "niquests"),
            ("niquests-h2-multiplexed", _PEERS, "NiquestsHttp2Multiplexed", "batch", "niquests"),
            ("urllib3-http1", _PEERS, "Urllib3Threads", "threads", "urllib3"),
        )
    ),
    *(
        Client(name, f"{_LOCUST}:{cls}", "users", "locust", True, over_tcp=over_tcp, apart=True)
        for name, cls, over_tcp in (
            ("HttpUser", "LocustUsers", True),
            ("HTTP3User", "LocustHTTP3Users", False),
            ("HTTP3User-own", "LocustHTTP3OwnUsers", False),
            ("FastHttpUser", "LocustFastUsers", True),
            ("HTTP3FastUser", "LocustHTTP3FastUsers", False),
            ("HTTP3FastUser-own", "LocustHTTP3OwnFastUsers", False),
        )
    ),
)


def find(name: str) -> Client:
    """Return the client of that name. Raises LookupError."""
    for client in CLIENTS:
        if client.name == name:
            return client
    raise LookupError(f"{name} is no client; there are {', '.join(each.name for each in CLIENTS)}")
