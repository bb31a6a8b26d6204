"""Turns: what is wrong in the course of a soak, in a thread of its own."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Final

__all__ = ["CLEAR", "Turns"]

CLEAR: Final = "clear"


class Turns(ABC):
    """Faults that come and go, one after the other, until they are stopped.

    Attributes:
        now: the name of what is the case.
        period: seconds between restarts of the server.
    """

    def __init__(self, period: float) -> None:
        self.now = CLEAR
        self.period = period
        self._failure: BaseException | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faults", daemon=True)

    @abstractmethod
    def turns(self) -> Iterator[tuple[str, float]]:
        """Names of what is to be brought, each with the seconds that it stays; without end."""

    @abstractmethod
    def bring(self, name: str) -> None:
        """Have it so."""

    @abstractmethod
    def clear_up(self) -> None:
        """Have nothing be wrong."""

    @abstractmethod
    def settle(self) -> None:
        """Learn what the server has done since it was started."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let it clear up, and learn what the last server has done."""
        self._ending.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the faults do not end"
        if self._failure is not None:
            raise self._failure
        self.settle()

    def wait(self, seconds: float) -> None:
        """For so long, or until it ends."""
        self._ending.wait(seconds)

    def _run(self) -> None:
        try:
            self._take_turns()
        except BaseException as error:  # noqa: BLE001 - whoever stops it is told
            self._failure = error

    def _take_turns(self) -> None:
        for name, seconds in self.turns():
            self.now = name
            self.bring(name)
            self.wait(seconds)
            self.clear_up()
            if self._ending.is_set():
                break
        self.now = CLEAR
