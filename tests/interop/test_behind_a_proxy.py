"""What the guide "On real networks" says of servers that choose by a name, and of proxies."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import quiver
from quiver.testing import Authority
from tests.support.servers.http1_backend import backend
from tests.support.servers.independent import Caddy

LIMIT = 30.0  # seconds, on a slow machine
BODY = b"four" * 5_000
MORE = """
  handle /host {{
    respond "{{http.request.host}}" 200
  }}
  handle /back/* {{
    reverse_proxy 127.0.0.1:{port}
  }}
"""


def _caddy(authority: Authority, port: int) -> Caddy:
    """Who names nothing is shown no certificate, as by a Caddy that was told nothing of that."""
    nowhere = "default_sni nowhere.example"
    return Caddy(authority, more=MORE.format(port=port), options=nowhere)


@pytest.fixture(scope="module")
def caddy(authority: Authority) -> Iterator[Caddy]:
    with backend() as port, _caddy(authority, port) as started:
        yield started


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_one_that_chooses_by_the_name_is_told_it(caddy: Caddy, host: str) -> None:
    """By SNI; :authority is what was asked for."""
    rule = {"cafile": caddy.cafile, "server_name": "localhost"}
    with quiver.Client(pools={"default": rule}) as client:
        assert client.get(f"https://{host}:{caddy.port}/host", timeout=LIMIT).text == host


@pytest.mark.parametrize("length_known", [True, False], ids=["bytes", "given"])
def test_a_body_whose_length_is_told_arrives_behind_a_proxy(
    caddy: Caddy, length_known: bool
) -> None:
    """Of one without, Caddy 2.6 hands on nothing."""
    body = BODY if length_known else iter([BODY])
    headers = {} if length_known else {"content-length": str(len(BODY))}
    with quiver.Client(pools={"default": {"cafile": caddy.cafile}}) as client:
        answer = client.post(f"{caddy.url}/back/echo", body=body, headers=headers, timeout=LIMIT)
        assert answer.json()["body"].encode() == BODY
