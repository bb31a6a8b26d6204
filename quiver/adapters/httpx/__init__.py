"""HTTP/3 under httpx's clients.

httpx.Client(transport=HTTP3Transport())
httpx.AsyncClient(transport=AsyncHTTP3Transport())  # asyncio only: no thread per call
"""

from __future__ import annotations

from quiver.adapters.httpx.transports import AsyncHTTP3Transport, HTTP3Transport

__all__ = ["AsyncHTTP3Transport", "HTTP3Transport"]
