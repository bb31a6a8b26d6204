"""A relay between clients and one TCP server on loopback, which breaks connections where told.

Bytes pass as they are. A `Fault` is met by the next connection that begins: after so many bytes one
way that connection ends, falls silent, becomes slow, or hears what nobody has said. Others are met
by all connections at once: they are cut, or kept waiting, and the port may refuse.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Literal, Self

import attrs

from tests.support.network.conditions import Direction

__all__ = ["Fault", "TcpRelay", "Way"]

Way = Literal["close", "reset", "stall", "drip", "insert"]
"""FIN both ways; RST both ways; nothing more this way; a byte at a time; bytes of another."""

_HOST: Final = "127.0.0.1"
_AT_ONCE: Final = 65_536
_WITHOUT_LINGERING: Final = struct.pack("ii", 1, 0)  # close() is a reset


@attrs.frozen
class Fault:
    """What happens after `after` bytes have passed in `direction`.

    Attributes:
        content: what "insert" inserts.
        pause: seconds between the bytes of "drip".
    """

    way: Way
    direction: Direction
    after: int
    content: bytes = b""
    pause: float = 0.01


class TcpRelay:
    """The relay; a `with` starts and ends it.

    Args:
        port: to listen at; 0 has the kernel choose.

    Attributes:
        port: where clients are to go.
        open: how many connections there are, of either end.
    """

    def __init__(self, server_port: int, port: int = 0) -> None:
        self._server = (_HOST, server_port)
        self._faults: queue.SimpleQueue[Fault] = queue.SimpleQueue()
        self._flows = threading.Event()
        self._flows.set()
        self._pairs: set[_Pair] = set()
        # Which keeps the port, as it is closed too: the kernel would give it to the next.
        self._holder = socket.socket()
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._holder.bind((_HOST, port))
        self.port: int = self._holder.getsockname()[1]
        self._listen()
        self.url = f"https://localhost:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close_port()
        self.resume()
        pairs = list(self._pairs)
        self.cut()
        for pair in pairs:
            pair.join()
        self._holder.close()

    def next(self, fault: Fault) -> None:
        """Have one of the next connections meet it, each another one, in order."""
        self._faults.put(fault)

    def forget(self) -> None:
        """Let those that come now meet none."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._faults.get_nowait()

    @property
    def open(self) -> int:
        return len(self._pairs)

    # all connections at once ----------------------------------------------------------------

    def cut(self, way: Literal["close", "reset"] = "close") -> None:
        """End those that there are, both ways."""
        for pair in list(self._pairs):
            pair.end(way)

    def pause(self) -> None:
        """Hold what comes, either way, until `resume`."""
        self._flows.clear()

    def resume(self) -> None:
        """Go on, with what was held first."""
        self._flows.set()

    def close_port(self) -> None:
        """Refuse those that come; those that there are go on. Nobody else gets the port."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def open_port(self) -> None:
        """Listen again, on the same port."""
        self._listen()
        self._thread.start()

    # its threads ----------------------------------------------------------------------------

    def _listen(self) -> None:
        self._listener = socket.create_server((_HOST, self.port))
        self._thread = threading.Thread(target=self._accept, name="tcp-relay", daemon=True)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            fault = None
            with contextlib.suppress(queue.Empty):
                fault = self._faults.get_nowait()
            try:
                server = socket.create_connection(self._server)
            except OSError:
                client.close()
                continue
            pair = _Pair(client, server, fault, self._flows, self._pairs.discard)
            self._pairs.add(pair)
            pair.start()


class _Pair:
    """One connection: two sockets, and a thread for each way."""

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        fault: Fault | None,
        flows: threading.Event,
        ended: Callable[[_Pair], object],
    ) -> None:
        self._sockets = (client, server)
        self._flows = flows
        self._ended = ended
        self._running = 2
        self._lock = threading.Lock()
        self._over = threading.Event()
        for each in self._sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ways = {Direction.UP: (client, server), Direction.DOWN: (server, client)}
        self._threads = [
            threading.Thread(
                target=self._run,
                args=(*ends, fault if fault is not None and fault.direction is way else None),
                daemon=True,
            )
            for way, ends in ways.items()
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self, way: Way) -> None:
        """End it both ways."""
        self._over.set()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                if way == "reset":
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _WITHOUT_LINGERING)
                each.shutdown(socket.SHUT_RD if way == "reset" else socket.SHUT_RDWR)

    def join(self) -> None:
        for thread in self._threads:
            thread.join(10)

    def _run(self, source: socket.socket, sink: socket.socket, fault: Fault | None) -> None:
        with contextlib.suppress(OSError):
            self._carry(source, sink, fault)
        if not self._over.is_set():
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)
        with self._lock:
            self._running -= 1
            if self._running:
                return
        for each in self._sockets:
            each.close()
        self._ended(self)

    def _carry(self, source: socket.socket, sink: socket.socket, fault: Fault | None) -> None:
        passed = 0
        while chunk := source.recv(_AT_ONCE):
            self._flows.wait()
            if fault is None or passed + len(chunk) < fault.after:
                sink.sendall(chunk)
                passed += len(chunk)
                continue
            before, rest = chunk[: fault.after - passed], chunk[fault.after - passed :]
            sink.sendall(before)
            match fault.way:
                case "close" | "reset":
                    return self.end(fault.way)
                case "stall":
                    while source.recv(_AT_ONCE):
                        pass
                    return None
                case "drip":
                    return self._drip(source, sink, rest, fault.pause)
                case "insert":
                    sink.sendall(fault.content + rest)
                    fault = None
        return None

    def _drip(self, source: socket.socket, sink: socket.socket, rest: bytes, pause: float) -> None:
        while rest:
            for byte in rest:
                if self._over.wait(pause):
                    return
                sink.sendall(bytes([byte]))
            rest = source.recv(_AT_ONCE)
