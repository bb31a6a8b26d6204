"""What a server is told by whoever holds it: its QUIC configuration, then commands by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aioquic.quic.configuration import QuicConfiguration

from quiver.testing.endpoint import Endpoint
from quiver.testing.options import OriginOptions

__all__ = ["COMMANDS", "configuration_of"]


def configuration_of(options: OriginOptions) -> QuicConfiguration:
    """The options that are QUIC's, certificate loaded."""
    configuration = QuicConfiguration(
        is_client=False,
        alpn_protocols=list(options.alpn),
        congestion_control_algorithm=options.congestion_control,
        idle_timeout=options.idle_timeout,
        max_data=options.max_data,
        max_stream_data=options.max_stream_data,
        max_datagram_frame_size=65_536 if options.datagrams else None,
    )
    configuration.load_cert_chain(options.certfile, options.keyfile)
    return configuration


def _served(endpoint: Endpoint, command: dict[str, Any]) -> dict[str, Any]:
    streams = sum(s % 4 == 0 for peer in endpoint.peers for s in peer.quic._streams)
    return {**endpoint.ledger.as_json(), "open": len(endpoint.peers), "streams": streams}


def _goaway(endpoint: Endpoint, command: dict[str, Any]) -> dict[str, Any]:
    peers = endpoint.peers
    for peer in peers:
        peer.goaway(command["last"])
    return {"connections": len(peers)}


def _disconnect(endpoint: Endpoint, command: dict[str, Any]) -> dict[str, Any]:
    peers = endpoint.peers
    for peer in peers:
        peer.close(int(command["code"]), str(command["reason"]), command["frame_type"])
    return {"connections": len(peers)}


def _allow(endpoint: Endpoint, command: dict[str, Any]) -> dict[str, Any]:
    peers = endpoint.peers
    for peer in peers:
        peer.allow_streams(int(command["streams"]))
    return {"connections": len(peers)}


COMMANDS: Final[dict[str, Callable[[Endpoint, dict[str, Any]], dict[str, Any]]]] = {
    "served": _served,
    "goaway": _goaway,
    "disconnect": _disconnect,
    "allow": _allow,
}
