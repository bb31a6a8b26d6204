"""niquests, curl_cffi, httpx and urllib3, set up as they advise themselves, connections reused.

Each asserts the HTTP version of every response, so that none falls back unseen.
"""

from __future__ import annotations

import ssl
import time
from typing import Any

from benchmarks.workloads.closed_loop import TaskCallers, ThreadCallers, complete
from benchmarks.workloads.load import Load, Sample, Settings, Stopwatch, check, drain

__all__ = [
    "CurlTasks",
    "CurlThreads",
    "Httpx1Threads",
    "Httpx2Tasks",
    "Httpx2Threads",
    "NiquestsHttp2Multiplexed",
    "NiquestsHttp2Threads",
    "NiquestsMultiplexed",
    "NiquestsTasks",
    "NiquestsThreads",
    "Urllib3Threads",
]

_LIMIT = 60.0
_PIECE = 65_536  # bytes; by default niquests gives one


def _method(load: Load) -> str:
    return "POST" if load.upload else "GET"


def _niquests_options(
    settings: Settings, *, multiplexed: bool = False, over: int = 30
) -> dict[str, Any]:
    """A connection for each thread, unless multiplexed; HTTP/3 without asking over TCP first."""
    return {
        "disable_http1": True,
        "disable_http2": over != 20,
        "disable_http3": over != 30,
        "multiplexed": multiplexed,
        "pool_connections": max(10, settings.origins),
        "pool_maxsize": max(10, settings.callers),
        "timeout": _LIMIT,
    }


def _trusting(session: Any, cafile: str) -> Any:
    session.verify = cafile
    session.trust_env = False  # or REQUESTS_CA_BUNDLE goes before `verify`
    return session


def _check_niquests(load: Load, response: Any, version: int = 30) -> None:
    check(load, response.http_version, version, response.status_code, len(response.content))


class NiquestsThreads(ThreadCallers):
    """One Session shared by the threads: each request takes a connection of its pool."""

    version = 30

    def __init__(self, settings: Settings) -> None:
        import niquests

        session = niquests.Session(**_niquests_options(settings, over=self.version))
        self._session = _trusting(session, settings.cafile)

    def ask(self, url: str, load: Load) -> None:
        response = self._session.request(_method(load), url, data=load.body)
        _check_niquests(load, response, self.version)

    def begin(self, url: str, load: Load) -> float:
        """Seconds until the first byte of a body, which is then read to its end."""
        began = time.perf_counter()
        with self._session.get(url, stream=True) as response:
            first, size = drain(response.iter_content(_PIECE), began)
        check(load, response.http_version, self.version, response.status_code, size)
        return first

    def close(self) -> None:
        self._session.close()


class NiquestsHttp2Threads(NiquestsThreads):
    """The same over HTTP/2."""

    version = 20


class NiquestsMultiplexed:
    """One thread that sends as many lazy requests as there would be callers, and gathers them."""

    version = 30

    def __init__(self, settings: Settings) -> None:
        import niquests

        options = _niquests_options(settings, multiplexed=True, over=self.version)
        session = niquests.Session(**options)
        self._session = _trusting(session, settings.cafile)

    def run(self, load: Load) -> Sample:
        latencies: list[float] = []
        with Stopwatch() as watch:
            due = time.perf_counter() + load.seconds
            while True:
                latencies += self._gather(load)
                if time.perf_counter() >= due:
                    break
        return watch.sample(latencies)

    def close(self) -> None:
        self._session.close()

    def _gather(self, load: Load) -> list[float]:
        began, responses = [], []
        for caller in range(load.callers):
            began.append(time.perf_counter())
            url = load.url(caller)
            responses.append(self._session.request(_method(load), url, data=load.body))
        self._session.gather()
        for response in responses:
            _check_niquests(load, response, self.version)
        ended = time.perf_counter()
        return [ended - each for each in began]


class NiquestsHttp2Multiplexed(NiquestsMultiplexed):
    """The same over HTTP/2."""

    version = 20


class NiquestsTasks(TaskCallers):
    """AsyncSession, multiplexed: faster with many tasks than a connection for each."""

    def __init__(self, settings: Settings) -> None:
        import niquests

        session = niquests.AsyncSession(**_niquests_options(settings, multiplexed=True))
        self._session = _trusting(session, settings.cafile)

    async def ask(self, url: str, load: Load) -> None:
        response = await self._session.request(_method(load), url, data=load.body)
        await self._session.gather(response)
        _check_niquests(load, response)

    async def aclose(self) -> None:
        await self._session.close()


def _curl_options(settings: Settings) -> dict[str, Any]:
    from curl_cffi import CurlHttpVersion

    return {
        "http_version": CurlHttpVersion.V3ONLY,
        "verify": settings.cafile,
        "timeout": _LIMIT,
        "trust_env": False,
    }


def _check_curl(load: Load, response: Any) -> None:
    check(load, int(response.http_version), 30, response.status_code, len(response.content))


class CurlThreads(ThreadCallers):
    """One Session, which keeps a curl handle and so a connection for each thread."""

    def __init__(self, settings: Settings) -> None:
        import curl_cffi

        self._session: Any = curl_cffi.Session(**_curl_options(settings))

    def ask(self, url: str, load: Load) -> None:
        _check_curl(load, self._session.request(_method(load), url, data=load.body))

    def begin(self, url: str, load: Load) -> float:
        """Seconds until the first byte of a body, which is then read to its end."""
        began = time.perf_counter()
        with self._session.stream("GET", url) as response:
            first, size = drain(response.iter_content(), began)
        check(load, int(response.http_version), 30, response.status_code, size)
        return first

    def close(self) -> None:
        self._session.close()


class CurlTasks(TaskCallers):
    """AsyncSession, with a handle for each task."""

    def __init__(self, settings: Settings) -> None:
        import curl_cffi

        async def make() -> Any:  # it asks for the running loop
            return curl_cffi.AsyncSession(
                max_clients=max(10, settings.callers), **_curl_options(settings)
            )

        self._session: Any = complete(make())

    async def ask(self, url: str, load: Load) -> None:
        _check_curl(load, await self._session.request(_method(load), url, data=load.body))

    async def aclose(self) -> None:
        await self._session.close()


def _httpx_options(settings: Settings, *, http2: bool) -> dict[str, Any]:
    import httpx

    room = max(100, settings.callers)
    return {
        "http1": not http2,
        "http2": http2,
        "verify": ssl.create_default_context(cafile=settings.cafile),
        "limits": httpx.Limits(max_connections=room, max_keepalive_connections=room),
        "timeout": _LIMIT,
        "trust_env": False,
    }


def _check_httpx(load: Load, response: Any, version: str) -> None:
    size = len(response.content)
    check(load, response.http_version, version, response.status_code, size)


class _HttpxThreads(ThreadCallers):
    """One Client shared by the threads."""

    http2 = False
    version = ""

    def __init__(self, settings: Settings) -> None:
        import httpx

        self._client: Any = httpx.Client(**_httpx_options(settings, http2=self.http2))

    def ask(self, url: str, load: Load) -> None:
        response = self._client.request(_method(load), url, content=load.body)
        _check_httpx(load, response, self.version)

    def begin(self, url: str, load: Load) -> float:
        """Seconds until the first byte of a body, which is then read to its end."""
        began = time.perf_counter()
        with self._client.stream("GET", url) as response:
            first, size = drain(response.iter_bytes(), began)
        check(load, response.http_version, self.version, response.status_code, size)
        return first

    def close(self) -> None:
        self._client.close()


class Httpx2Threads(_HttpxThreads):
    """HTTP/2: all threads share one connection."""

    http2 = True
    version = "HTTP/2"


class Httpx2Tasks(TaskCallers):
    """HTTP/2 from tasks: the server hangs up on threads that share a connection now and then."""

    def __init__(self, settings: Settings) -> None:
        import httpx

        self._client: Any = httpx.AsyncClient(**_httpx_options(settings, http2=True))

    async def ask(self, url: str, load: Load) -> None:
        response = await self._client.request(_method(load), url, content=load.body)
        _check_httpx(load, response, "HTTP/2")

    async def aclose(self) -> None:
        await self._client.aclose()


class Httpx1Threads(_HttpxThreads):
    """HTTP/1.1: a connection for each thread."""

    version = "HTTP/1.1"


class Urllib3Threads(ThreadCallers):
    """One PoolManager shared by the threads: HTTP/1.1, a connection for each of them.

    Where niquests is installed, it is urllib3-future, which has taken the name.
    """

    def __init__(self, settings: Settings) -> None:
        import urllib3

        room = max(10, settings.callers)
        self._pools: Any = urllib3.PoolManager(
            num_pools=max(10, settings.origins),
            maxsize=room,
            ssl_context=ssl.create_default_context(cafile=settings.cafile),
            timeout=_LIMIT,
            **self._one_protocol(urllib3),
        )

    def _one_protocol(self, urllib3: Any) -> dict[str, Any]:
        versions = getattr(urllib3, "HttpVersion", None)
        return {} if versions is None else {"disabled_svn": {versions.h2, versions.h3}}

    def ask(self, url: str, load: Load) -> None:
        response = self._pools.request(_method(load), url, body=load.body)
        check(load, response.version, 11, response.status, len(response.data))

    def close(self) -> None:
        self._pools.clear()
