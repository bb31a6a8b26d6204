"""A Pykka actor on a thread, a GeventActor and a plain thread ask one another. No HTTP in sight.

python examples/three_kinds.py
"""

from __future__ import annotations

import threading
from typing import Any

import pykka

from quiver.actors import GeventActor, GeventActorRef


class Librarian(GeventActor):
    """A greenlet. What it does not know it asks of the archive, or leaves to it."""

    def __init__(self, archive: pykka.ActorRef[Any]) -> None:
        super().__init__()
        self._archive = archive

    def on_receive(self, message: Any) -> Any:
        match message:
            case ("title", number):
                # Waits in this greenlet only: other actors go on.
                return self.ask(self._archive, ("find", number), timeout=5.0)
            case ("leave to the archive", number):
                # The reply travels with the message: the archive answers the caller.
                return self.forward(self._archive, ("find", number))
            case ("shelf", number):
                return number // 10
        raise ValueError(f"no idea what {message!r} is")


class Archive(pykka.ThreadingActor):
    """An ordinary Pykka actor: it may block, as it has a thread of its own."""

    def on_receive(self, message: Any) -> str:
        match message:
            case ("find", number):
                return f"volume {number}"
            case ("where", number, librarian):
                shelf = librarian.ask(("shelf", number), timeout=5.0)
                return f"volume {number} stands on shelf {shelf}"
        raise ValueError(f"no idea what {message!r} is")


def visit(librarian: GeventActorRef[Librarian], archive: pykka.ActorRef[Any]) -> None:
    print("thread -> greenlet -> thread:", librarian.ask(("title", 42)))
    print("thread -> greenlet, passed on:", librarian.ask(("leave to the archive", 7)))
    print("thread -> thread -> greenlet:", archive.ask(("where", 42, librarian)))
    try:
        librarian.ask("nonsense")
    except ValueError as error:
        print("an error is an answer too:", error)


def main() -> None:
    archive = Archive.start()
    librarian = Librarian.start(archive)
    visitor = threading.Thread(target=visit, args=(librarian, archive))
    visitor.start()
    visitor.join()
    librarian.stop()
    archive.stop()


if __name__ == "__main__":
    main()
