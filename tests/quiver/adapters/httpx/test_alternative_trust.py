"""An alternative is held to the rule of its origin (RFC 7838 2.1), not to that of its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import httpx
import pytest

from quiver.adapters.httpx import HTTP3Transport
from quiver.adapters.policy import Policy
from quiver.origin import Origin
from quiver.testing import Authority, LocalOrigin

ORIGIN = "https://origin.example"


@pytest.fixture(scope="module")
def other() -> Iterator[Authority]:
    with Authority("another CA") as made:
        yield made


def ask(place: LocalOrigin, pools: Mapping[str, Mapping[str, object]], origin: str = ORIGIN) -> str:
    policy = Policy("alt-svc")
    policy.heard(Origin.parse(origin), f'h3="127.0.0.1:{place.port}"')
    transport = HTTP3Transport(policy=policy, pools=pools, fallback=False)
    with httpx.Client(transport=transport) as client:
        return client.get(origin + "/ok", timeout=10).text


@pytest.fixture
def place(other: Authority) -> Iterator[LocalOrigin]:
    """Where the alternative is, with a certificate for the origin's name by the other CA."""
    certfile, keyfile = other.issue(("origin.example",))
    with LocalOrigin(certfile=certfile, keyfile=keyfile) as started:
        yield started


@pytest.mark.parametrize("kind", ["place", "default"])
def test_a_laxer_rule_is_not_taken(
    kind: str, place: LocalOrigin, authority: Authority, other: Authority
) -> None:
    there = f"https://127.0.0.1:{place.port}"
    lax = {there: {"verify": False}} if kind == "place" else {"default": {"cafile": other.cafile}}
    with pytest.raises(httpx.ConnectError, match="certificate"):
        ask(place, {ORIGIN: {"cafile": authority.cafile}, **lax})
    assert place.requests_served() == 0


def test_the_origins_rule_is(place: LocalOrigin, authority: Authority, other: Authority) -> None:
    pools = {ORIGIN: {"cafile": other.cafile}, "default": {"cafile": authority.cafile}}
    assert ask(place, pools) == "ok"


def test_its_server_name_as_well(
    place: LocalOrigin, authority: Authority, other: Authority
) -> None:
    rule = {"cafile": other.cafile, "server_name": "origin.example"}
    assert ask(place, {"https://b.example": rule}, "https://b.example") == "ok"
    with pytest.raises(httpx.ConnectError, match=r"not for b\.example|certificate"):
        ask(place, {"https://b.example": {"cafile": other.cafile}}, "https://b.example")
