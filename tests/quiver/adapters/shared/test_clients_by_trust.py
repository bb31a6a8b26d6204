"""Trust, and a client for each: what `verify` and `cert` of other libraries come to."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest

import quiver
from quiver.adapters.shared import clients_by_trust
from quiver.adapters.shared.clients_by_trust import ClientsByTrust, Trust
from quiver.testing import Authority, Origin


def test_of(tmp_path: Path, authority: Authority) -> None:
    assert Trust.of(True) == Trust()
    assert Trust.of(False) == Trust(verify=False)
    assert Trust.of(authority.cafile) == Trust(cafile=authority.cafile)
    assert Trust.of(True, authority.cafile) == Trust(certfile=authority.cafile)
    pair = (authority.cafile, str(tmp_path / "a.pem"))
    (tmp_path / "a.pem").write_bytes(authority.cadata)
    assert Trust.of(True, pair) == Trust(certfile=pair[0], keyfile=pair[1])
    folder = Trust.of(str(tmp_path))
    assert isinstance(folder.verify, ssl.SSLContext)
    assert Trust.of(str(tmp_path)) == folder, "there would be a client for each request"


def test_of_a_context(authority: Authority) -> None:
    context = ssl.create_default_context(cafile=authority.cafile)
    assert Trust.of(context) == Trust(verify=context)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    assert Trust.of(context) == Trust(verify=False)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("/nowhere",), "a suitable TLS CA certificate bundle"),
        ((True, "/nowhere"), "the TLS certificate file"),
        ((True, (__file__, "/nowhere")), "the TLS key file"),
    ],
)
def test_no_such_file(arguments: tuple[bool | str, str | None], what: str) -> None:
    with pytest.raises(OSError, match=f"^Could not find {what}, invalid path: /nowhere$"):
        Trust.of(*arguments)


def test_applied() -> None:
    limits = ("checkout_timeout", "receive_timeout", "stream_idle_timeout")
    unlimited: dict[str, object] = dict.fromkeys((*limits, "user_agent"))
    assert Trust().applied({}) == unlimited
    rule = {"cafile": "/a.pem", "receive_timeout": 3.0}
    assert Trust().applied(rule) == {**unlimited, **rule}
    own = Trust(verify=False).applied(rule)
    assert own == {**unlimited, "receive_timeout": 3.0, "verify": False}


def test_the_one_used_longest_ago_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients_by_trust, "MOST", 2)
    clients = ClientsByTrust()
    names = [Trust(server_name=f"{name}.example") for name in "abc"]
    first, second = clients.of(names[0]), clients.of(names[1])
    assert clients.of(names[0]) is first
    clients.of(names[2])
    assert clients.of(names[0]) is first
    with pytest.raises(quiver.PoolStopped):
        second.get("https://localhost:1/")
    assert clients.of(names[1]) is not second
    clients.close()


def test_the_name_to_prove_takes_precedence() -> None:
    rule: dict[str, object] = {"server_name": "rule.example", "cafile": "/a.pem"}
    applied = Trust(server_name="own.example").applied(rule)
    assert (applied["server_name"], applied["cafile"]) == ("own.example", "/a.pem")
    assert Trust().applied(rule)["server_name"] == "rule.example"


def test_one_client_for_each_trust(origin: Origin) -> None:
    clients = ClientsByTrust({"default": {"max_connections": 1}})
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
        ClientsByTrust({"default": {"max_conections": 1}})
    rules: Any = {"max_connections": 4}
    with pytest.raises(quiver.InvalidOptions, match="is a int: must map option names"):
        ClientsByTrust(rules)
