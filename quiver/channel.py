"""The former name of `quiver.streams.channel`."""

from __future__ import annotations

from quiver.deprecated import moved

__getattr__ = moved("quiver.channel", "quiver.streams.channel", {"Event": "ChannelEvent"})
