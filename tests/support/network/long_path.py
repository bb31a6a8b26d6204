"""A path of UDP with delay, rate, queue and loss, between clients and a server on loopback.

    with LongPath(server_port, LinkConditions(delay=0.05, rate=5e6, loss=0.01), seed=1) as path:
        ...  # clients go to 127.0.0.1, path.port
    path.report  # what became of the packets

`Link` decides when a packet arrives. Here is what carries it: a program of its own, so that it
shares no interpreter with whom it serves. On Linux a row of datagrams that was sent in one call is
taken in one (UDP_GRO), and goes on in one (UDP_SEGMENT) as far as it arrives at once. So it keeps
up with 1,000 Mbit/s, at 4 to 8 µs of CPU a packet, where 20 to 100 are to be measured.

Beside this `relay.py` is for faults: it damages, doubles and reorders, and changes in the middle.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import attrs

from tests.support.network.link import Link, LinkConditions

__all__ = ["LongPath", "PathReport"]

_ROOT: Final = Path(__file__).resolve().parents[3]
_HOST: Final = "127.0.0.1"
_BUFFER: Final = 8 * 1024 * 1024  # bytes asked of the kernel
_ROW: Final = 64  # calls in a row for one socket, and datagrams of one call
_LARGEST: Final = 65_535
_PATIENCE: Final = 20.0  # seconds for its start and its end

_SOL_UDP: Final = 17  # linux/udp.h
_UDP_SEGMENT, _UDP_GRO = 103, 104
_LINUX: Final = sys.platform == "linux"
_SO_FORCED: Final = {socket.SO_RCVBUF: 33, socket.SO_SNDBUF: 32}  # as root: beyond the limit
_CONTROL: Final = socket.CMSG_SPACE(4)

_BOTH_WAYS: Final = ("carried", "lost", "dropped")

Address = tuple[str, int]
_Sent = tuple[float, bytes, "socket.socket", Address | None]


@attrs.frozen
class PathReport:
    """What became of the packets, by direction (up, down).

    Attributes:
        carried: arrived. lost: at random. dropped: at the tail of the queue.
        overflowed: never reached the path, since its sockets were full. It did not keep up.
        late: seconds that they arrived after their time, in the mean.
    """

    carried: tuple[int, int]
    lost: tuple[int, int]
    dropped: tuple[int, int]
    overflowed: int
    late: float

    def encoded(self) -> str:
        """Return it as JSON."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def decoded(cls, text: str) -> PathReport:
        """Make one from what `encoded` returned."""
        read = json.loads(text)
        (carried, lost, dropped), rest = (read.pop(name) for name in _BOTH_WAYS), read
        return cls(tuple(carried), tuple(lost), tuple(dropped), **rest)


class LongPath:
    """A path to the server at `server_port`, both ways the same unless `down` is given.

    A `with` starts and ends it; then there is a `report`. Clients have to themselves what loss the
    seed says, packet by packet, but share rate and queue.
    """

    report: PathReport

    def __init__(
        self,
        server_port: int,
        up: LinkConditions,
        down: LinkConditions | None = None,
        *,
        seed: int = 0,
    ) -> None:
        links = [attrs.asdict(up), attrs.asdict(up if down is None else down)]
        self._arguments = [str(server_port), json.dumps(links), str(seed)]
        self.port = 0

    def __enter__(self) -> Self:
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.support.network.long_path", *self._arguments],
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._program.stdout is not None
        said = self._program.stdout.readline()
        assert said, f"the path ended with {self._program.wait(_PATIENCE)}"
        self.port = int(said)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            said, _ = self._program.communicate(timeout=_PATIENCE)  # ends its input, and so it
        except BaseException:
            self._program.kill()
            self._program.communicate()
            raise
        assert self._program.returncode == 0, f"the path ended with {self._program.returncode}"
        self.report = PathReport.decoded(said)


# the program --------------------------------------------------------------------------------------


class _Path:
    """The sockets, and the packets that are on their way."""

    def __init__(self, server_port: int, up: Link, down: Link) -> None:
        self._server: Address = (_HOST, server_port)
        self._up, self._down = up, down
        self._going_up: deque[_Sent] = deque()
        self._going_down: deque[_Sent] = deque()
        self._flows: dict[Address, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._front = self._opened(None)
        self._front.bind((_HOST, 0))
        self.port: int = self._front.getsockname()[1]
        self._late = 0.0
        self._ended = False
        self._selector.register(sys.stdin, selectors.EVENT_READ, ())

    def run(self) -> None:
        """Carry until the input ends."""
        waits = [self._selector.fileno()]  # epoll's or kqueue's
        while not self._ended:
            # By select: the timeouts of epoll are of whole milliseconds.
            if select.select(waits, (), (), self._patience())[0]:
                for key, _ in self._selector.select(0):
                    self._take(*key.data)
            self._deliver(self._going_up)
            self._deliver(self._going_down)

    def report(self) -> PathReport:
        """What became of them all."""
        up, down = self._up, self._down
        return PathReport(
            (up.carried, down.carried),
            (up.lost, down.lost),
            (up.dropped, down.dropped),
            sum(map(_overflowed, (self._front, *self._flows.values()))),
            self._late / max(1, up.carried + down.carried),
        )

    def _patience(self) -> float | None:
        due = [going[0][0] for going in (self._going_up, self._going_down) if going]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _take(self, client: Address | None = None, upstream: Any = None) -> None:
        """Take what came for the server, from it to a client, or the end of the input."""
        if client is not None:
            self._carry(upstream, self._down, self._going_down, self._front, client)
        elif upstream is not None:
            self._carry(self._front, self._up, self._going_up, None, None)
        else:
            self._ended = True

    def _carry(
        self,
        taken: socket.socket,
        link: Link,
        going: deque[_Sent],
        out: socket.socket | None,
        to: Address | None,
    ) -> None:
        for datagrams, sender in _received(taken):
            way = self._flow(sender) if out is None else out
            now = time.monotonic()
            for datagram in datagrams:
                arrives = link.carry(len(datagram), now)
                if arrives is not None:
                    going.append((arrives, datagram, way, to))

    def _deliver(self, going: deque[_Sent]) -> None:
        now = time.monotonic()
        while going and going[0][0] <= now:
            due, first, way, to = going.popleft()
            row, size = [first], len(first)
            self._late += now - due
            while going and going[0][0] <= now and len(row) < _ROW:
                due, datagram, its_way, its_to = going[0]
                if its_way is not way or its_to != to or len(datagram) != size:
                    break
                if (len(row) + 1) * size > _LARGEST - 100:
                    break
                self._late += now - due
                row.append(datagram)
                going.popleft()
            with contextlib.suppress(OSError):  # refused, or no buffer: it is lost
                _send(way, row, to)

    # its sockets --------------------------------------------------------------------------------

    def _flow(self, client: Address) -> socket.socket:
        flow = self._flows.get(client)
        if flow is None:
            flow = self._flows[client] = self._opened(client)
            flow.connect(self._server)
        return flow

    def _opened(self, client: Address | None) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            made.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
            with contextlib.suppress(OSError):  # only for root
                if _LINUX:
                    made.setsockopt(socket.SOL_SOCKET, _SO_FORCED[option], _BUFFER)
        with contextlib.suppress(OSError):  # an old kernel: one by one
            if _LINUX:
                made.setsockopt(_SOL_UDP, _UDP_GRO, 1)
        self._selector.register(made, selectors.EVENT_READ, (client, made))
        return made


def _received(taken: socket.socket) -> Iterator[tuple[list[bytes], Address]]:
    """What came to a socket, as rows that were sent in one call."""
    for _ in range(_ROW):
        try:
            row, controls, _, sender = taken.recvmsg(_LARGEST, _CONTROL)
        except (
            OSError
        ):  # nothing more; or refused by the server, which is for the client to find out
            return
        size = len(row)
        for level, kind, value in controls:
            if level == _SOL_UDP and kind == _UDP_GRO:
                (size,) = struct.unpack("=i", value)
        if len(row) <= size:
            yield [row], sender
        else:
            yield [row[at : at + size] for at in range(0, len(row), size)], sender


def _send(way: socket.socket, row: list[bytes], to: Address | None) -> None:
    if len(row) > 1 and _LINUX:
        size = len(row[0]).to_bytes(2, sys.byteorder)
        segments = [(_SOL_UDP, _UDP_SEGMENT, size)]
        way.sendmsg(row, segments, 0, *(() if to is None else (to,)))
        return
    for datagram in row:
        if to is None:
            way.send(datagram)
        else:
            way.sendto(datagram, to)


def _overflowed(made: socket.socket) -> int:
    """Datagrams that found the socket's buffer full, as Linux counts them for each port."""
    if not _LINUX:
        return 0
    port = f":{made.getsockname()[1]:04X}"
    lines = (line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:])
    return sum(int(line[-1]) for line in lines if line[1].endswith(port))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("server_port", type=int)
    parser.add_argument("links", type=json.loads, help="LinkConditions up and down, as JSON")
    parser.add_argument("seed")
    given = parser.parse_args()
    up, down = (
        Link(LinkConditions(**each), f"{given.seed} {way}")
        for each, way in zip(given.links, ("up", "down"), strict=True)
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for whoever holds its input to end it
    path = _Path(given.server_port, up, down)
    print(path.port, flush=True)
    path.run()
    print(path.report().encoded(), flush=True)


if __name__ == "__main__":
    main()
