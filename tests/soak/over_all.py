"""A soak over HTTP/3, HTTP/2 and HTTP/1.1 at once, to one Caddy, while UDP is blocked in turns.

Caddy's own log is the account of what it has carried out, by id and by version.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from unittest import mock

import quiver
from quiver.pool import fallback_table
from quiver.testing import Authority
from tests.soak.account import Account
from tests.soak.asks_of_caddy import CADDY_KINDS, MIDDLE, ROUTES
from tests.soak.run import Plan, Stage
from tests.soak.turns import CLEAR, Turns
from tests.support.network.conditions import Conditions, Direction
from tests.support.network.relay_process import RelayProcess
from tests.support.servers.packaged import CurrentCaddy

__all__ = ["SoakedCaddy", "TurnsOfAll", "over_all"]

VERSIONS: Final = ("HTTP/3.0", "HTTP/2.0", "HTTP/1.1")  # as Caddy writes them
PROTOCOLS: Final = (
    ("h3", "h2", "http/1.1"),
    ("h3", "http/1.1"),
    ("h2", "http/1.1"),
    ("http/1.1",),
)
"""Of each client: so all are spoken at once, and two of them have a lane over each."""

CONNECTIONS: Final = 2  # of each client; over HTTP/1.1 four times as many
ROOM: Final = 2 * CONNECTIONS * 4 * len(PROTOCOLS)

_LOG: Final = """
  log {
    output file %s {
      roll_disabled
    }
    format filter {
      wrap json
      fields {
        request>headers delete
        request>tls delete
        resp_headers delete
      }
    }
  }
"""
_CARRIED_OUT: Final = re.compile(rb'"proto":"([^"]+)".*?"uri":"[^"]*[?&]id=([0-9]+)"')
_QUIET: Final = 0.05  # seconds without a line in the log, when all that is under way is in it


class SoakedCaddy(CurrentCaddy):
    """It answers `CADDY_KINDS`, and keeps a log of what it has carried out."""

    def __init__(self, authority: Authority, folder: Path) -> None:
        self._log = folder / "access.log"
        super().__init__(authority, more=_LOG % self._log + ROUTES, options="grace_period 2s")

    def _lay_out(self, folder: Path) -> None:
        super()._lay_out(folder)
        (folder / "www" / "middle").write_bytes(MIDDLE)

    def logged(self) -> int:
        """Bytes of its log."""
        return self._log.stat().st_size

    def take_log(self) -> tuple[Counter[str], Counter[str]]:
        """How often it took up each id, and over which versions, since this was asked last.

        It does not run meanwhile.
        """
        ids: Counter[str] = Counter()
        versions: Counter[str] = Counter()
        with self._log.open("rb") as lines:
            for line in lines:
                found = _CARRIED_OUT.search(line)
                if found is not None:
                    versions[found[1].decode()] += 1
                    ids[found[2].decode()] += 1
        os.truncate(self._log, 0)
        return ids, versions


class TurnsOfAll(Turns):
    """In each `period` of seconds: a fault while UDP is open, UDP is blocked, a fault while it is
    blocked, and a restart of the server, which is killed or says goodbye."""

    def __init__(
        self, relay: RelayProcess, caddy: SoakedCaddy, account: Account, period: float
    ) -> None:
        super().__init__(period)
        self._relay = relay
        self._caddy = caddy
        self._account = account
        self._orders: dict[str, Callable[[], object]] = {
            CLEAR: lambda: None,
            "silent": relay.blackhole,
            "refused": relay.close_port,
            "lossy": lambda: relay.become(Conditions(loss=0.05), Conditions(loss=0.05)),
            "cut": relay.tcp.cut,
            "reset": lambda: relay.tcp.cut("reset"),
            "stall": self._stall,
            "rebinding": relay.rebind,
            "no TCP": self._refuse,
            "killed": self._kill,
            "stopped": self._stop,
        }

    def turns(self) -> Iterator[tuple[str, float]]:
        events = itertools.cycle(("cut", "no TCP", "reset", "stall", "rebinding"))
        ends = itertools.cycle(("killed", "stopped"))
        quarter = self.period / 4
        for block in itertools.cycle(("silent", "refused")):
            yield CLEAR, quarter
            yield f"lossy {next(events)}", quarter
            yield block, quarter
            yield f"{block} {next(events)}", quarter
            yield next(ends), 0.0

    def bring(self, name: str) -> None:
        order = self._orders.get(name)
        if order is not None:
            order()
            return
        network, _, event = name.partition(" ")
        self._orders[network]()
        self._orders[event]()

    def clear_up(self) -> None:
        self._relay.open_port()
        self._relay.become()
        self._relay.tcp.resume()

    def _stall(self) -> None:
        self._relay.tcp.pause()
        self.wait(self.period / 20)
        self._relay.tcp.resume()

    def _refuse(self) -> None:
        self._relay.tcp.close_port()
        self._relay.tcp.cut()
        self.wait(self.period / 20)
        self._relay.tcp.open_port()

    def _kill(self) -> None:
        """Once all that it has carried out is in its log. Nothing reaches it in between."""
        self._relay.blackhole(Direction.UP)
        self._relay.tcp.pause()
        written = -1
        while written != (written := self._caddy.logged()):
            time.sleep(_QUIET)
        self._caddy.kill()
        self.settle()
        self._caddy.start()

    def _stop(self) -> None:
        """It says GOAWAY, and ends what is open within its grace."""
        self._caddy.stop()
        self.settle()
        self._caddy.start()

    def settle(self) -> None:
        self._caddy.kill()  # at the end it still runs
        ids, versions = self._caddy.take_log()
        self._account.executed(ids)
        self._account.versions.update(versions)


@contextlib.contextmanager
def over_all(plan: Plan, folder: Path) -> Iterator[Stage]:
    """Four clients, of which two choose between UDP and TCP; HTTP/3 is soon asked again."""
    with (
        Authority() as authority,
        SoakedCaddy(authority, folder) as caddy,
        RelayProcess(caddy.port, plan.seed, tcp=True) as relay,
        mock.patch.object(fallback_table, "FIRST_PAUSE", plan.period / 16),
        mock.patch.object(fallback_table, "LONGEST_PAUSE", plan.period / 8),
    ):
        sizes: dict[str, Any] = {
            "cafile": authority.cafile,
            "max_connections": CONNECTIONS,
            "max_connections_http1": 4 * CONNECTIONS,
            "receive_window": 32_768,
        }

        def clients() -> list[quiver.Client]:
            return [quiver.Client(protocols=protocols, **sizes) for protocols in PROTOCOLS]

        def warm() -> None:
            for client in clients():
                with client:
                    client.get(caddy.url + "/own")

        yield Stage(
            url=relay.url,
            kinds=CADDY_KINDS,
            clients=clients,
            turns=lambda account: TurnsOfAll(relay, caddy, account, plan.period),
            warm=warm,
            versions=VERSIONS,
            room=ROOM,
        )
