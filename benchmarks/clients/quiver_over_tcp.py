"""Quiver over HTTP/2: `HTTP2Pool`, asked from threads and from greenlets."""

from __future__ import annotations

from typing import Any

from benchmarks.clients.quiver_pool import options
from benchmarks.workloads.closed_loop import GreenletCallers, ThreadCallers
from benchmarks.workloads.load import Load, Settings, check
from quiver import HTTP2Pool, Request

__all__ = ["Http2PoolGreenlets", "Http2PoolThreads"]


class _Http2Pool:
    """The ref of a pool for each origin, whoever asks it."""

    def __init__(self, settings: Settings) -> None:
        self._options = options(settings)
        self._places: dict[str, tuple[Any, str]] = {}

    def ask(self, url: str, load: Load) -> None:
        pool, path = self._places.get(url) or self._place(url)
        method = "POST" if load.upload else "GET"
        response = pool.ask(Request(method, path, body=load.body))
        check(load, response.http_version, "HTTP/2", response.status, len(response.body))

    def close(self) -> None:
        for pool, _ in self._places.values():
            pool.stop()

    def _place(self, url: str) -> tuple[Any, str]:
        host, _, path = url.removeprefix("https://").partition("/")
        pool = HTTP2Pool.start(f"https://{host}", **self._options)
        return self._places.setdefault(url, (pool, f"/{path}"))


class Http2PoolThreads(_Http2Pool, ThreadCallers):
    """From OS threads."""


class Http2PoolGreenlets(_Http2Pool, GreenletCallers):
    """From the greenlets of a monkey-patched program."""
