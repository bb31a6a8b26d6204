"""Trust, and a client for each: what `verify` and `cert` of other libraries come to."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

import quiver
from quiver.adapters.clients import Clients, Trust
from quiver.testing import Authority, Origin


def test_of(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "a.pem").write_bytes(authority.cadata)
    (tmp_path / "readme").write_text("no certificate")
    assert Trust.of(True) == Trust()
    assert Trust.of(False) == Trust(verify=False)
    assert Trust.of(authority.cafile) == Trust(cafile=authority.cafile)
    assert Trust.of(str(tmp_path)) == Trust(cadata=authority.cadata)
    assert Trust.of(True, authority.cafile) == Trust(certfile=authority.cafile)
    pair = (authority.cafile, str(tmp_path / "a.pem"))
    assert Trust.of(True, pair) == Trust(certfile=pair[0], keyfile=pair[1])


def test_of_a_context(authority: Authority) -> None:
    context = ssl.create_default_context(cafile=authority.cafile)
    cadata = Trust.of(context).cadata
    assert cadata is not None and b"BEGIN CERTIFICATE" in cadata
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    assert Trust.of(context) == Trust(verify=False)


@pytest.mark.parametrize(
    "arguments", [("/nowhere",), (True, "/nowhere"), (True, (__file__, "/no"))]
)
def test_no_such_file(arguments: tuple[bool | str, str | None]) -> None:
    with pytest.raises(OSError, match="invalid path"):
        Trust.of(*arguments)


def test_applied() -> None:
    unlimited = {"checkout_timeout": None, "receive_timeout": None}
    assert Trust().applied({}) == unlimited
    rule = {"cafile": "/a.pem", "receive_timeout": 3.0}
    assert Trust().applied(rule) == {**unlimited, **rule}
    own = Trust(verify=False, server_name="b").applied(rule)
    assert own == {**unlimited, "receive_timeout": 3.0, "verify": False, "server_name": "b"}


def test_one_client_for_each_trust(origin: Origin) -> None:
    clients = Clients({"default": {"max_connections": 1}})
    trusting, careless = Trust(cafile=origin.cafile), Trust(verify=False)
    assert clients.of(trusting) is clients.of(trusting) is not clients.of(careless)
    first = clients.of(trusting)
    assert first.get(origin.url + "/ok").status == 200
    clients.close()
    with pytest.raises(quiver.PoolStopped):
        first.get(origin.url + "/ok")
    assert clients.of(trusting).get(origin.url + "/ok").status == 200
    clients.close()


def test_wrong_options_are_refused_at_once() -> None:
    with pytest.raises(quiver.InvalidOptions, match="max_conections"):
        Clients({"default": {"max_conections": 1}})
