"""An HTTP/3 origin in a thread of this program, with routes of the test's own."""

from __future__ import annotations

import asyncio
import json
import threading
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Final, Unpack

import attrs

from quiver.testing.app import App
from quiver.testing.authority import Authority
from quiver.testing.control import Control, OriginFailed
from quiver.testing.options import CommandArguments, OriginKeywords, OriginOptions
from quiver.testing.server.commands import COMMANDS, configuration_of
from quiver.testing.server.endpoint import Endpoint

__all__ = ["LocalOrigin"]

_ANSWER: Final = 10.0  # seconds that the server's loop is given to answer


class LocalOrigin(App, Control):
    """A server in a thread: started by `start()` or `with`, ended by `stop()` or the `with`'s end.

        with LocalOrigin() as origin:

            @origin.route("/hello")
            def hello(asked):
                return b"hello"

    Takes what `Origin` takes, answers its built-in routes too, and has its commands and counts;
    what needs a process (kill, suspend) is `Origin`'s alone. The first error that a route raised
    is raised again at the end of the `with`, unless something else was.

    It wants real threads: in a program that gevent has monkey-patched, use `Origin`.
    """

    def __init__(
        self, *, authority: Authority | None = None, **options: Unpack[OriginKeywords]
    ) -> None:
        App.__init__(self)
        Control.__init__(self, authority=authority, **options)
        self._lock = threading.Lock()
        self._server: _Server | None = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        if error is None and self.errors:
            raise self.errors[0]

    def start(self) -> None:
        """Start the server and wait until its port is bound. Raises OriginFailed if it cannot."""
        with self._lock:
            if self._server is None:
                self._server = _Server(attrs.evolve(self.options, port=self.port), self)
                self.port = self._server.start()

    def stop(self) -> None:
        """End the server: its clients get CONNECTION_CLOSE. Does nothing when it does not run."""
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            server.stop()

    def _ask(self, command: str, **arguments: Unpack[CommandArguments]) -> dict[str, Any]:
        server = self._server
        if server is None:
            raise OriginFailed("the server does not run")
        return server.ask(command, arguments)


class _Server(threading.Thread):
    """The thread, and the loop in it."""

    def __init__(self, options: OriginOptions, app: App) -> None:
        super().__init__(name="quiver-testing-origin", daemon=True)
        self._options = options
        self._app = app
        self._began: SimpleQueue[int | Exception] = SimpleQueue()

    def start(self) -> int:  # type: ignore[override] # the port
        super().start()
        began = self._began.get()
        if isinstance(began, Exception):
            self.join()
            where = f"port={self._options.port}"
            raise OriginFailed(f"the server could not start, {where}: {began}") from began
        return began

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        if threading.get_ident() != self.ident:
            self.join()

    def ask(self, command: str, arguments: CommandArguments) -> dict[str, Any]:
        """Carry out a command in the loop, also when asked from there, by a coroutine's route."""
        if threading.get_ident() == self.ident:
            return self._obey(command, arguments)
        asked = asyncio.run_coroutine_threadsafe(self._obey_later(command, arguments), self._loop)
        return asked.result(_ANSWER)

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        try:
            self._endpoint = Endpoint(
                self._options, configuration_of(self._options), self._app.receiver_of
            )
            port = self._endpoint.bind()
        except Exception as error:  # noqa: BLE001 - told to whoever starts it
            self._began.put(error)
            return
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self._began.put(port)
        try:
            await self._ended.wait()
        finally:
            self._endpoint.stop()

    async def _obey_later(self, command: str, arguments: CommandArguments) -> dict[str, Any]:
        return self._obey(command, arguments)

    def _obey(self, command: str, arguments: CommandArguments) -> dict[str, Any]:
        """Carry out a command; the answer is a copy, as another process would have sent it."""
        answer = json.dumps(COMMANDS[command](self._endpoint, arguments))
        copied: dict[str, Any] = json.loads(answer)
        return copied
