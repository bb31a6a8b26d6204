"""The test origin's own OS process: `python -m quiver.testing.server OPTIONS`.

OPTIONS is a JSON object, see `OriginOptions`. Once the sockets are bound one JSON line with the
port is written to stdout, or with what failed. Then stdin carries commands, a JSON object a line,
each answered by one line; the process ends when stdin does, so that it never outlives the program
which started it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Mapping

from quiver.testing.options import OriginOptions
from quiver.testing.server.commands import COMMANDS, configuration_of
from quiver.testing.server.endpoint import Endpoint

__all__ = ["main"]


def main(argument: str) -> None:
    """Serve until stdin ends. `argument` is the options as JSON."""
    given = json.loads(argument)
    for name in ("listen", "alpn"):
        given[name] = tuple(given[name])
    options = OriginOptions(**given)
    asyncio.run(_serve(options))


async def _serve(options: OriginOptions) -> None:
    endpoint = Endpoint(options, configuration_of(options))
    try:
        port = endpoint.bind()
    except OSError as error:
        _say({"failed": str(error)})
        return
    gc.freeze()  # everything loaded so far stays: collections need not walk it
    _say({"port": port})
    try:
        await _obey(endpoint)
    finally:
        endpoint.stop()


async def _obey(endpoint: Endpoint) -> None:
    """Carry out commands until there are no more."""
    reader = asyncio.StreamReader(limit=1 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        _say(COMMANDS[command["do"]](endpoint, command))


def _say(words: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
