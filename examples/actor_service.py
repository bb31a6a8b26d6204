"""A service made of actors: a cataloguer asks the pool, and others ask the cataloguer.

    python examples/actor_service.py [https://host:port]

Without an argument it starts a server of its own to ask.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import Any

import pykka

import quiver
from quiver.actors import GeventActor, GeventActorRef


class Cataloguer(GeventActor):
    """Looks items up. It does not block on the pool, so one of it serves many callers."""

    def __init__(self, pool: pykka.ActorRef[Any]) -> None:
        super().__init__()
        self._pool = pool

    def on_receive(self, message: Any) -> None:
        # The caller's reply travels with the request: the connection answers the caller.
        self.forward(self._pool, quiver.Request("GET", f"/items/{message}"))


class Clerk(pykka.ThreadingActor):
    """An ordinary Pykka actor on a thread of its own."""

    def __init__(self, catalogue: GeventActorRef[Cataloguer]) -> None:
        super().__init__()
        self._catalogue = catalogue

    def on_receive(self, message: Any) -> str:
        response = self._catalogue.ask(message, timeout=5.0)
        return f"item {message}: {response.status} {response.text}"


def main(origin: str, **options: Any) -> None:
    pool = quiver.HTTP3Pool.start(origin, max_connections=2, **options)
    catalogue = Cataloguer.start(pool)
    clerks = [Clerk.start(catalogue) for _ in range(3)]
    futures = [clerk.ask(number, block=False) for number, clerk in enumerate(clerks)]
    for line in pykka.get_all(futures, timeout=10.0):
        print(line)
    print(pool.ask(quiver.GetStats()))
    for clerk in clerks:
        clerk.stop()
    catalogue.stop()
    pool.stop()


if __name__ == "__main__":
    with ExitStack() as stack:
        if len(sys.argv) > 1:
            main(sys.argv[1])
        else:
            from quiver.testing import Origin

            server = stack.enter_context(Origin())
            main(server.url, cafile=server.cafile)
