"""Routes of one's own, which are asked before those that every origin has."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar, cast

import attrs

from quiver.testing.answers import Outcome, Returned, give, outcome_of
from quiver.testing.routes.dispatch import receiver_of
from quiver.testing.routes.receiver import Receiver
from quiver.testing.routes.request import TEXT, Asked, Fields, RequestStream

__all__ = ["App"]

F = TypeVar("F", bound=Callable[..., Any])
Answering = Callable[[Asked], Returned | Awaitable[Returned]]
DatagramReply = Callable[[bytes], bytes | Iterable[bytes] | None]
Make = Callable[[Asked, RequestStream, str], Receiver]

_ERRORS: Final = 100  # of routes, the latest are kept


@attrs.frozen
class _Route:
    path: str
    method: str | None
    make: Make

    def takes(self, asked: Asked) -> bool:
        return self._matches(asked.path) and self.method in (None, asked.method)

    def rest(self, path: str) -> str:
        """Return what the `*` stands for in a path."""
        return path.removeprefix(self.path[:-1]) if self.path.endswith("*") else ""

    def _matches(self, path: str) -> bool:
        if self.path.endswith("*"):
            return path.startswith(self.path[:-1])
        return path == self.path


class App:
    """Routes by path. The one that was added last goes first; then those of `Origin`.

    A path is whole, or ends in `*` and stands for all that begin like it; the query is no part.

    Attributes:
        errors: what routes have raised; their requests were answered with 500.
    """

    def __init__(self) -> None:
        self.errors: deque[Exception] = deque(maxlen=_ERRORS)
        self._routes: tuple[_Route, ...] = ()  # replaced, never changed: the server reads it

    def route(self, path: str, *, method: str | None = None) -> Callable[[F], F]:
        """Decorate `answer(asked)`, which is called with each whole request.

        It returns what `quiver.testing.answers` lists. A function runs in a thread of its own and
        may block; a coroutine runs in the server's loop, and must not.
        """

        def add(answer: F) -> F:
            self._add(path, method, lambda asked, stream, _: _Whole(asked, stream, self, answer))
            return answer

        return add

    def datagrams(self, path: str) -> Callable[[F], F]:
        """Decorate `reply(payload)`, called with each HTTP datagram (RFC 9297) of a channel.

        It returns one payload to send back, several, or None; it runs in the server's loop.
        """

        def add(reply: F) -> F:
            self._add(path, None, lambda asked, stream, _: _Datagrams(asked, stream, self, reply))
            return reply

        return add

    def channel(self, path: str) -> Callable[[type[Receiver]], type[Receiver]]:
        """Decorate a `Receiver`, made at a request's headers, that hears body and datagrams.

        Its methods run in the server's loop.
        """

        def add(receiver: type[Receiver]) -> type[Receiver]:
            self._add(path, None, receiver)
            return receiver

        return add

    def receiver_of(self, asked: Asked, stream: RequestStream) -> Receiver | None:
        """Take a request up at its headers; None leaves it to the routes for whole ones."""
        for route in self._routes:
            if route.takes(asked):
                return route.make(asked, stream, route.rest(asked.path))
        return receiver_of(asked, stream)

    def failed(self, error: Exception, asked: Asked, stream: RequestStream) -> None:
        """Keep what a route has raised for the test, and answer the client with 500."""
        error.add_note(f"in the route of {asked.method} {asked.path}")
        self.errors.append(error)
        stream.answer(500, [TEXT], f"{type(error).__name__}: {error}\n".encode())

    def _add(self, path: str, method: str | None, make: Make) -> None:
        if not path.startswith("/"):
            raise ValueError(f"path={path!r} does not begin with a slash")
        self._routes = (_Route(path, method, make), *self._routes)


class _Whole(Receiver):
    """A route for whole requests: collects the body, then calls the test's function."""

    def __init__(
        self,
        asked: Asked,
        stream: RequestStream,
        app: App,
        answer: Answering,
    ) -> None:
        super().__init__(asked, stream, "")
        self._app = app
        self._answer = answer
        self._body = bytearray()

    def body(self, piece: bytes) -> None:
        self._body += piece

    def ended(self, trailers: Fields) -> None:
        self.asked = attrs.evolve(self.asked, body=bytes(self._body), trailers=trailers)
        if inspect.iscoroutinefunction(self._answer):
            self._task = asyncio.ensure_future(self._await())
        else:
            loop = asyncio.get_running_loop()
            name = f"route of {self.asked.path}"
            threading.Thread(target=self._call, args=(loop,), name=name, daemon=True).start()

    async def _await(self) -> None:
        try:
            outcome = outcome_of(await cast("Awaitable[Returned]", self._answer(self.asked)))
        except Exception as error:  # noqa: BLE001 - whatever the test's own code raises
            self._finish(error)
        else:
            self._finish(outcome)

    def _call(self, loop: asyncio.AbstractEventLoop) -> None:
        outcome: Outcome | Exception
        try:
            outcome = outcome_of(cast("Returned", self._answer(self.asked)))
        except Exception as error:  # noqa: BLE001 - as above
            outcome = error
        try:
            loop.call_soon_threadsafe(self._finish, outcome)
        except RuntimeError:  # the server has stopped meanwhile
            if isinstance(outcome, Exception):
                self._app.errors.append(outcome)

    def _finish(self, outcome: Outcome | Exception) -> None:
        asked, stream = self.asked, self.stream
        if isinstance(outcome, Exception):
            error = outcome
            stream.later(0, lambda: self._app.failed(error, asked, stream))
        else:
            stream.later(0, lambda: give(outcome, stream, asked.method))


class _Datagrams(Receiver):
    """A route for datagrams: opens the channel at once, and answers each datagram."""

    def __init__(self, asked: Asked, stream: RequestStream, app: App, reply: DatagramReply) -> None:
        super().__init__(asked, stream, "")
        self._app = app
        self._reply = reply
        stream.send_headers([(b":status", b"200"), (b"capsule-protocol", b"?1")])

    def datagram(self, payload: bytes) -> None:
        try:
            replies: bytes | Iterable[bytes] | None = self._reply(payload)
        except Exception as error:  # noqa: BLE001 - whatever the test's own code raises
            self._app.errors.append(error)
            self.stream.reset(0x102)
            return
        for reply in [replies] if isinstance(replies, bytes) else replies or ():
            self.stream.send_datagram(reply)

    def ended(self, trailers: Fields) -> None:
        if self.asked.method == "CONNECT":  # a GET's channel goes on after its end
            self.stream.send_body(b"", ended=True)
