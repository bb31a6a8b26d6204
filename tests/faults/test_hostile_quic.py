"""A server that floods us with QUIC's frames, or TLS's: it costs its own connection only."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

import quiver
from quiver.testing import Authority, Origin
from tests.support.programs.flooding_server import HANDSHAKES
from tests.support.servers.quic_floods import FLOODS
from tests.support.short_form import cases

FLOODED = 0.8  # seconds
USUAL, WORST = 0.1, 0.25  # seconds that an answer of another origin takes, at the most
LONG = [*HANDSHAKES, *FLOODS]
SHORT = [
    "handshake: the same CRYPTO",
    "a byte of a stream, each with a hole",
    "the same CRYPTO",
    "the same ACK",
    "connection ids that are known",
    "PING",
]


@pytest.fixture(scope="module")
def client(authority: Authority) -> Iterator[quiver.Client]:
    rule = {"cafile": authority.cafile, "shutdown_timeout": 0.1, "receive_window": 16 << 20}
    with quiver.Client(pools={"default": rule}) as made:
        yield made


@pytest.fixture(scope="module")
def good(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


def answers(client: quiver.Client, origin: Origin, seconds: float) -> list[float]:
    """How long each of the answers took that were had in these seconds."""
    until, took = time.monotonic() + seconds, list[float]()
    while time.monotonic() < until or not took:
        asked = time.monotonic()
        assert client.get(origin.url + "/ok", timeout=30.0).status == 200
        took.append(time.monotonic() - asked)
    return took


@contextlib.contextmanager
def flooding(authority: Authority, flood: str) -> Iterator[str]:
    """The URL of a server that answers with it."""
    arguments = [*authority.issue(), flood, str(FLOODED)]
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


@pytest.mark.parametrize(
    "flood",
    cases(*((each,) for each in SHORT), long=((each,) for each in LONG if each not in SHORT)),
)
def test_another_origin_is_answered_as_ever(
    client: quiver.Client, good: Origin, authority: Authority, flood: str
) -> None:
    """Within the limits, and what a busy machine needs without any flood."""
    usual = answers(client, good, 0.3)
    with flooding(authority, flood) as url:

        def ask() -> None:
            with contextlib.suppress(quiver.QuiverError):
                client.get(url, timeout=FLOODED)

        asking = threading.Thread(target=ask)
        asking.start()
        took = answers(client, good, FLOODED)
        asking.join()
    assert statistics.median(took) < USUAL + 3 * statistics.median(usual)
    assert max(took) < WORST + 3 * max(usual)
