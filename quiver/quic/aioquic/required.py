"""What of aioquic the engine stands on, beyond its documented face: looked for at import.

aioquic's documented interface knows no credit that follows consumption, no close before the closing
period is over, no room for streams. So a few names beyond it are NEEDED: without one of them
importing this package fails, with an ImportError that names it. The fast paths (`fast_send`,
`fast_receive`, our congestion control, the probes of the path) stand on many more, FAST_PATHS, and
on what aioquic does between them. They are taken with releases that the differential tests have
PROVED, and only if all the names are there and the code is the release's; with any other the engine
goes aioquic's own ways: slower, and right as well. MIGRATION is what a move takes, EARLY_DATA what
it takes to send before the handshake is over.

The tables are in `names`; `quiver/required_names.py` tells what one says, and looks.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import aioquic

from quiver import required_names
from quiver.quic.aioquic.names import EARLY_DATA, FAST_PATHS, MIGRATION, NEEDED
from quiver.required_names import Names

__all__ = [
    "EARLY_DATA",
    "FAST_PATHS",
    "MIGRATION",
    "NEEDED",
    "PROVED",
    "ReleaseNotProved",
    "can_migrate",
    "can_send_early",
    "demand",
    "fast_paths",
    "fingerprint",
    "missing",
    "why_not_fast",
]

PROVED: Final[Mapping[str, str]] = {
    "1.7.0": "bd90e0ef235f1fee5643fb8842ea416c",
    "1.7.1": "c646fa2328e332d22730a84c40914d14",
    "1.7.2": "f76153529fe464be7123021535d6efc9",
}
"""The releases that the fast paths are proved with, by tests/quiver/quic, and the `fingerprint` of
each. A patched one is another: what it changes may well have the same name."""

_CODE: Final = (
    "_crypto",
    "quic.congestion.base",
    "quic.connection",
    "quic.crypto",
    "quic.packet",
    "quic.packet_builder",
    "quic.rangeset",
    "quic.recovery",
    "quic.stream",
    "tls",
)
"""The modules whose work the fast paths do, or hand over in the middle."""


class ReleaseNotProved(RuntimeWarning):
    """The fast paths are not taken with the release of aioquic that is installed."""


def missing(table: Mapping[str, Names]) -> list[str]:
    """What is not there, or is not what it should be."""
    return required_names.missing(table, _NEW)


def demand() -> None:
    """Raise ImportError when something of NEEDED is missing."""
    lacks = missing(NEEDED)
    if lacks:
        raise ImportError(
            f"Quiver cannot do with aioquic {version()}, which has not: {', '.join(lacks)}. "
            f"Install a release that it is proved with: pip install 'aioquic=={list(PROVED)[-1]}'"
        )


def version() -> str:
    """Of aioquic, as it is imported."""
    return str(getattr(aioquic, "__version__", "of an unknown version"))


@cache
def why_not_fast() -> str | None:
    """Why the fast paths are not taken, None when they are."""
    if version() not in PROVED:
        return f"it is none of those that they are proved with ({', '.join(PROVED)})"
    lacks = missing(FAST_PATHS)
    if lacks:
        return f"it has not: {', '.join(lacks)}"
    if fingerprint() not in (None, PROVED[version()]):
        return "its code has been changed since it was released"
    return None


@cache
def can_migrate() -> bool:
    """Whether connections can go over to another local address."""
    return not missing(MIGRATION)


@cache
def can_send_early() -> bool:
    """Whether early data is offered: else sessions are resumed without."""
    return not missing(EARLY_DATA)


def fingerprint() -> str | None:
    """Of aioquic's code, as far as the fast paths stand on it; None when there is no source."""
    digest = hashlib.sha256()
    for name in _CODE:
        module = _of(name)
        try:
            source = module.__loader__.get_source(module.__name__)
        except (ImportError, AttributeError):  # not to be read, or of a loader that has none
            source = None
        if source is None:
            return None
        digest.update(source.encode())
    return digest.hexdigest()[:32]


@cache
def fast_paths() -> bool:
    """Whether they are taken. Warns once if not: an exception out of that would harm a bystander,
    who only happens to be the first to connect, so there is a log record in its place."""
    reason = why_not_fast()
    if reason is None:
        return True
    said = f"aioquic {version()} is used in its own ways, which take more time: {reason}"
    try:
        warnings.warn(said, ReleaseNotProved, stacklevel=2)
    except ReleaseNotProved:
        logging.getLogger("quiver.quic").warning(said)
    return False


def _connection() -> Any:
    return _of("quic.connection").QuicConnection(
        configuration=_of("quic.configuration").QuicConfiguration()
    )


def _packet_builder() -> Any:
    make = _of("quic.packet_builder").QuicPacketBuilder
    return make(host_cid=b"", peer_cid=b"", version=1, is_client=True, max_datagram_size=1200)


def _sent_packet() -> Any:
    kind = _of("quic.packet").QuicPacketType.INITIAL
    return _of("quic.packet_builder").QuicSentPacket(
        _of("tls").Epoch.INITIAL, True, True, True, 0, kind
    )


def _key_schedule() -> Any:
    tls = _of("tls")
    return tls.KeySchedule(tls.CipherSuite.AES_128_GCM_SHA256)


def _of(module: str) -> Any:
    return importlib.import_module(f"aioquic.{module}")


_NEW: Final[Mapping[str, Callable[[], Any]]] = {
    "an AEAD": lambda: _of("_crypto").AEAD(b"aes-128-gcm", bytes(16), bytes(12)),
    "a CryptoPair": lambda: _of("quic.crypto").CryptoPair(),
    "a QuicConnection": _connection,
    "a QuicNetworkPath": lambda: _of("quic.connection").QuicNetworkPath(("a host", 0)),
    "a QuicPacketBuilder": _packet_builder,
    "a QuicPacketSpace": lambda: _of("quic.recovery").QuicPacketSpace(),
    "a QuicSentPacket": _sent_packet,
    "a QuicStream": lambda: _of("quic.stream").QuicStream(0, 1, 1),
    "a tls.Context": lambda: _of("tls").Context(is_client=True),
    "a tls.KeySchedule": _key_schedule,
}
