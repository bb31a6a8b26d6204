"""What goes wrong in the world is no crash: however often, it does not end the pool."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator

import pytest

import quiver
from quiver.pool.coordinator import MAX_CRASHES
from quiver.testing import Authority, Origin
from tests.support.chaos.background_load import run_callers
from tests.support.descriptor_limit import none_left

CALLERS = 2 * MAX_CRASHES


@pytest.fixture
def client(authority: Authority) -> Iterator[quiver.Client]:
    options = {"cafile": authority.cafile, "max_connections": CALLERS}
    with quiver.Client(pools={"default": options}) as made:
        yield made


def outlives(client: quiver.Client, url: str, error: type[quiver.QuiverError]) -> None:
    """Many dials fail together by `error`, and the pool is the same afterwards."""
    pool, said = client.pool(url), Counter[type[BaseException]]()

    def ask(_: int) -> None:
        with pytest.raises(quiver.QuiverError) as caught:
            client.get(url + "/ok", timeout=10.0)
        said[caught.type] += 1

    run_callers("threads", CALLERS, ask)
    assert said == {error: CALLERS}
    assert client.pool(url) is pool
    assert pool.is_alive()


def test_a_closed_port(client: quiver.Client) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    outlives(client, f"https://127.0.0.1:{port}", quiver.ConnectionRefused)


def test_a_certificate_that_is_refused(client: quiver.Client) -> None:
    with Authority() as stranger, Origin(authority=stranger) as origin:
        outlives(client, origin.url, quiver.CertificateInvalid)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_descriptor(client: quiver.Client, origin: Origin, host: str) -> None:
    url = f"https://{host}:{origin.port}"
    client.pool(url)
    with none_left():
        outlives(client, url, quiver.ResourceExhausted)
    assert client.get(url + "/ok", timeout=10.0).status == 200
