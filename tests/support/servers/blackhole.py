"""A UDP port that takes everything and never answers."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

__all__ = ["blackhole", "mute"]


@contextlib.contextmanager
def blackhole() -> Iterator[int]:
    """Its port, on 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole:
        hole.bind(("127.0.0.1", 0))
        yield hole.getsockname()[1]


@contextlib.contextmanager
def mute(port: int) -> Iterator[None]:
    """Take this port for UDP, and never answer there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole:
        hole.bind(("127.0.0.1", port))
        yield
