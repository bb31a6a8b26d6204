"""The model of one pool's routing, with requests that go before a handshake is over."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.support.fuzz.routing_model import CHOICE, Routing

__all__ = ["Early"]


class Early(Routing):
    """The same events, and those of early data. What is out early waits for its own connection."""

    @rule(wait=st.sampled_from([None, 0.5, 3.0]))
    def submit_early(self, wait: float | None) -> None:
        self._submit(None if wait is None else self.now + wait, front=False, early=True)

    @rule(choice=CHOICE, streams=st.integers(0, 4))
    def early_room(self, choice: int, streams: int) -> None:
        number, connection = self._any(choice, "connecting")
        connects = connection is not None and connection.state == "connecting"
        if connection is not None and connects:
            if connection.sent or connection.early:
                return  # it has told
            connection.early = min(streams, self.cap, self.requests)
        self.obey(self.table.early_room(number, streams, self.now))

    @rule(choice=CHOICE)
    def early_late(self, choice: int) -> None:
        number, connection = self._any(choice, "connecting")
        if connection is not None:
            connection.early = 0
        self.held -= {ticket for ticket, where in self.out.items() if where == number}
        self.obey(self.table.early_late(number, self.now))

    @rule(choice=CHOICE, more=st.integers(0, 3))
    def accepted(self, choice: int, more: int) -> None:
        number, connection = self._any(choice, "connecting")
        if connection is not None and connection.state == "connecting":
            self._become_ready(number, connection, connection.sent + more, accepted=True)
