"""The QUIC configuration that a server starts with, and the commands it takes, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aioquic.quic.configuration import QuicConfiguration

from quiver.testing.options import CommandArguments, OriginOptions
from quiver.testing.server.endpoint import Endpoint

__all__ = ["COMMANDS", "configuration_of"]


def configuration_of(options: OriginOptions) -> QuicConfiguration:
    """Make aioquic's configuration from the options, and load the certificate."""
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


def _served(endpoint: Endpoint, command: CommandArguments) -> dict[str, Any]:
    streams = sum(len(peer.quic.request_streams()) for peer in endpoint.peers)
    return {**endpoint.counts.as_json(), "open": len(endpoint.peers), "streams": streams}


def _goaway(endpoint: Endpoint, command: CommandArguments) -> dict[str, Any]:
    peers = endpoint.peers
    for peer in peers:
        peer.goaway(command["last"])
    return {"connections": len(peers)}


def _disconnect(endpoint: Endpoint, command: CommandArguments) -> dict[str, Any]:
    peers = endpoint.peers
    for peer in peers:
        peer.close(int(command["code"]), str(command["reason"]), command["frame_type"])
    return {"connections": len(peers)}


def _allow(endpoint: Endpoint, command: CommandArguments) -> dict[str, Any]:
    peers = endpoint.peers
    for peer in peers:
        peer.allow_streams(int(command["streams"]))
    return {"connections": len(peers)}


COMMANDS: Final[dict[str, Callable[[Endpoint, CommandArguments], dict[str, Any]]]] = {
    "served": _served,
    "goaway": _goaway,
    "disconnect": _disconnect,
    "allow": _allow,
}
