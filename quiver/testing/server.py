"""The test origin's own OS process: `python -m quiver.testing.server OPTIONS`.

OPTIONS is a JSON object, see `OriginOptions`. Once the sockets are bound one JSON line with the
port is written to stdout. Then stdin carries commands, a JSON object a line, each answered by one
line; the process ends when stdin does, so that it never outlives the program which started it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Callable
from typing import Any

from aioquic.quic.configuration import QuicConfiguration

from quiver.testing.endpoint import Endpoint
from quiver.testing.options import OriginOptions

__all__ = ["main"]


def main(argument: str) -> None:
    """Serve until stdin ends. `argument` is the options as JSON."""
    given = json.loads(argument)
    for name in ("listen", "alpn"):
        given[name] = tuple(given[name])
    options = OriginOptions(**given)
    asyncio.run(_serve(options))


async def _serve(options: OriginOptions) -> None:
    endpoint = Endpoint(options, _configuration(options))
    port = endpoint.bind()
    gc.freeze()  # everything loaded so far stays: collections need not walk it
    _say({"port": port})
    try:
        await _obey(endpoint)
    finally:
        endpoint.stop()


def _configuration(options: OriginOptions) -> QuicConfiguration:
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


async def _obey(endpoint: Endpoint) -> None:
    """Carry out commands until there are no more."""
    reader = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        _say(_COMMANDS[command["do"]](endpoint, command))


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


_COMMANDS: dict[str, Callable[[Endpoint, dict[str, Any]], dict[str, Any]]] = {
    "served": _served,
    "goaway": _goaway,
    "disconnect": _disconnect,
    "allow": _allow,
}


def _say(words: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
