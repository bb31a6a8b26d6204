"""The former name of `quiver.streams.body_source`."""

from __future__ import annotations

from quiver.deprecated import moved

__getattr__ = moved(
    "quiver.source",
    "quiver.streams.body_source",
    {"AsyncSource": "AsyncBodySource", "Source": "BodySource"},
)
