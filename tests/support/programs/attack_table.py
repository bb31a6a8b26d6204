"""How an origin is answered while others attack: a table, in Markdown.

    python -m tests.support.programs.attack_table [--attackers N] [--seconds S] [WORD ...]

Each attack is a row: N programs flood us, and another origin of the same client is asked meanwhile,
uploaded to and dialled anew, over and over. WORDs choose the rows whose names hold one of them.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import quiver
from quiver.testing import Authority, Origin
from tests.support.programs.flooding_server import OF_HANDSHAKE
from tests.support.servers.handshake_floods import HANDSHAKES
from tests.support.servers.packet_floods import PACKETS
from tests.support.servers.quic_floods import FLOODS, STREAMS

__all__ = ["ATTACKS", "flooding"]

ATTACKS = [*(OF_HANDSHAKE + each for each in HANDSHAKES), *FLOODS, *PACKETS]
UPLOAD = bytes(100_000)
WINDOW = 16 << 20


@contextlib.contextmanager
def flooding(authority: Authority, attack: str, seconds: float) -> Iterator[str]:
    """The URL of a server that answers with it, for so long."""
    arguments = [*authority.issue(), attack, str(seconds)]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.support.programs.flooding_server", *arguments],
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            yield f"https://127.0.0.1:{server.stdout.readline().strip()}/"
        finally:
            server.kill()


def attacked(client: quiver.Client, url: str, attack: str, seconds: float) -> threading.Thread:
    """Ask who attacks, for so long; the thread that does."""

    def ask() -> None:
        requests = STREAMS if "many requests" in attack else 1
        request = quiver.Request("GET", "/", timeout=seconds)
        asked = [client.pool(url).ask(request, block=False) for _ in range(requests)]
        for each in asked:
            with contextlib.suppress(quiver.QuiverError):
                each.get()

    thread = threading.Thread(target=ask)
    thread.start()
    return thread


def times(does: Callable[[], object], until: float) -> list[float]:
    """How long it took, each time until then."""
    took = list[float]()
    while time.monotonic() < until or not took:
        begun = time.monotonic()
        does()
        took.append(time.monotonic() - begun)
    return took


class Beside:
    """What is done with the good origin."""

    def __init__(self, client: quiver.Client, origin: Origin) -> None:
        self._client, self._origin = client, origin

    def get(self) -> None:
        assert self._client.get(self._origin.url + "/ok", timeout=30.0).status == 200

    def upload(self) -> None:
        sent = self._client.post(self._origin.url + "/digest", body=UPLOAD, timeout=30.0)
        assert sent.status == 200

    def dial(self) -> None:
        rule = {"cafile": self._origin.cafile}
        with quiver.Client(pools={"default": rule}) as fresh:
            assert fresh.get(self._origin.url + "/ok", timeout=30.0).status == 200


def cells(took: list[float]) -> str:
    return f"{statistics.median(took) * 1e3:.1f} | {max(took) * 1e3:.0f}"


def row(authority: Authority, origin: Origin, attack: str, attackers: int, seconds: float) -> str:
    """The attack, with a fresh client."""
    rule = {"cafile": authority.cafile, "shutdown_timeout": 0.1, "receive_window": WINDOW}
    found = list[str]()
    with quiver.Client(pools={"default": rule}) as client, contextlib.ExitStack() as ends:
        beside = Beside(client, origin)
        times(beside.get, time.monotonic() + 0.1)
        found.append(cells(times(beside.get, time.monotonic() + seconds / 2)))
        for does in (beside.get, beside.upload, beside.dial):
            urls = [
                ends.enter_context(flooding(authority, attack, seconds)) for _ in range(attackers)
            ]
            threads = [attacked(client, url, attack, seconds) for url in urls]
            found.append(cells(times(does, time.monotonic() + seconds)))
            for each in threads:
                each.join()
            ends.close()
    return f"| {attack} | {' | '.join(found)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD")
    parser.add_argument("--attackers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1.0)
    given = parser.parse_args()
    print("| milliseconds: median, worst | usual | | GET | | upload | | new origin | |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    with Authority() as authority, Origin(authority=authority) as origin:
        for attack in ATTACKS:
            if not given.words or any(word in attack for word in given.words):
                print(row(authority, origin, attack, given.attackers, given.seconds), flush=True)


if __name__ == "__main__":
    main()
