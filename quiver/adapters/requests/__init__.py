"""HTTP/3 under a `requests.Session`.

session.mount("https://", HTTP3Adapter())
"""

from __future__ import annotations

from quiver.adapters.requests.adapter import HTTP3Adapter

__all__ = ["HTTP3Adapter"]
