"""The choice among the built-in routes, by the first segment of the path."""

from __future__ import annotations

from typing import Final

from quiver.testing.routes.faults import FAULTS
from quiver.testing.routes.plain import PLAIN
from quiver.testing.routes.receiver import Receiver
from quiver.testing.routes.request import TEXT, Asked, RequestStream, Route
from quiver.testing.routes.slow_bodies import BODIES
from quiver.testing.routes.streamed import STREAMED

__all__ = ["answer", "receiver_of"]

_WHOLE: Final[dict[str, Route]] = {**PLAIN, **FAULTS, **BODIES}


def answer(asked: Asked, stream: RequestStream) -> None:
    """Answer a whole request; 404 for an unknown path, 400 for a bad argument."""
    _, _, rest = asked.path.partition("/")
    name, _, argument = rest.partition("/")
    route = _WHOLE.get(name)
    if route is None:
        _refuse(stream)
        return
    try:
        route(asked, stream, argument)
    except (ValueError, OverflowError) as error:
        stream.answer(400, [TEXT], f"{asked.path}: {error}\n".encode())


def receiver_of(asked: Asked, stream: RequestStream) -> Receiver | None:
    """Take the request up, or return None when its path has a route for whole requests."""
    name, _, argument = asked.path.removeprefix("/").partition("/")
    route = STREAMED.get(name)
    if route is None:
        if asked.method != "CONNECT" or name in _WHOLE:
            return None
        _refuse(stream)  # at once: nobody knows when a channel ends
        return Receiver(asked, stream, argument)
    try:
        return route(asked, stream, argument)
    except (ValueError, OverflowError) as error:
        stream.answer(400, [TEXT], f"{asked.path}: {error}\n".encode())
        return Receiver(asked, stream, argument)


def _refuse(stream: RequestStream) -> None:
    stream.answer(404, [TEXT], b"no such path\n")
