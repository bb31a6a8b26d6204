"""A soak over HTTP/3, to an origin of Quiver's own that knows every fault of QUIC."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import quiver
from quiver.testing import Origin
from tests.soak.asks import KINDS
from tests.soak.faults import Faults
from tests.soak.run import Plan, Stage
from tests.support.network.relay_process import RelayProcess

__all__ = ["over_quic"]


@contextlib.contextmanager
def over_quic(plan: Plan) -> Iterator[Stage]:
    """One client of HTTP/3."""
    with (
        Origin(stateless_reset=True, session_tickets=True) as origin,
        RelayProcess(origin.port, plan.seed) as relay,
    ):

        def client() -> quiver.Client:
            options = {"receive_window": 32_768, "early_data": True}
            return quiver.Client(pools={"default": {"cafile": origin.cafile, **options}})

        def warm() -> None:
            with quiver.Client(pools={"default": {"cafile": origin.cafile}}) as first:
                first.get(origin.url + "/ok")

        yield Stage(
            url=relay.url,
            kinds=KINDS,
            clients=lambda: [client()],
            turns=lambda account: Faults(relay, origin, account, plan.period),
            warm=warm,
        )
