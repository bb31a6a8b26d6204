"""An inbox that any thread may put into: many puts, one wake-up of the loop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gevent import get_hub, getcurrent

from quiver.actors.monitor import DeathWatch

if TYPE_CHECKING:
    from greenlet import greenlet

    from quiver.actors.wait_queue import LoopWakeup


class Mailbox:
    """One actor's queue of envelopes.

    Lock-free under the GIL: of two who race, each writes before it reads what the other writes.
    """

    def __init__(self) -> None:
        self.death_watch = DeathWatch()
        self.limit: int | None = None  # items beyond which an ask is refused
        self._items: deque[Any] = deque()
        self._aside: list[Any] = []
        self._awake = True  # until its actor first waits
        self._sleeper: greenlet | None = None
        self._wakeup: LoopWakeup | None = None
        self._refuse: Callable[[Any], None] | None = None

    def put(self, item: object, *, wakes: bool = True) -> None:
        """Append `item`; wake the actor if it waits, or leave that to `wake`. From any thread."""
        # First the item, then the look at `_refuse` and `_awake`: whoever sets one of them looks at
        # the items afterwards. So one of the two sees it, and none is left lying.
        self._items.append(item)
        if self._refuse is not None:
            self._return_all()
        elif wakes and not self._awake:
            self._ring()

    def wake(self) -> None:
        """Wake the actor if it waits and there is something that it has not heard of."""
        if self._items and not self._awake and self._refuse is None:
            self._ring()

    def _ring(self) -> None:
        assert self._wakeup is not None
        try:
            self._awake = True
            self._wakeup.call_soon(self._resume)
        except BaseException:  # a signal's, before it was called: the next put wakes it
            self._awake = False
            raise

    def set_aside(self, item: object) -> None:
        """Keep `item` until `bring_back`. From the actor's own greenlet, as `bring_back` is."""
        self._aside.append(item)

    def bring_back(self) -> None:
        """Put what was set aside before all others, in its order."""
        aside, self._aside = self._aside, []
        self._items.extendleft(reversed(aside))

    def get(self) -> Any:
        """The oldest item. Raises IndexError when there is none: `wait` first."""
        return self._items.popleft()

    @property
    def full(self) -> bool:
        return self.limit is not None and len(self._items) + len(self._aside) >= self.limit

    def empty(self) -> bool:
        return not self._items

    def __len__(self) -> int:
        return len(self._items)

    def wait(self) -> None:
        """Block the calling greenlet, the actor's own, until there is an item."""
        while not self._items:
            self._awake = False
            if self._items:  # put just before that, by one who saw that the actor was awake
                break
            self._sleeper = getcurrent()
            try:
                get_hub().switch()
            finally:
                self._sleeper = None
        self._awake = True

    def attach(self, wakeup: LoopWakeup) -> None:
        """Name the loop whose greenlet will wait here."""
        self._wakeup = wakeup

    def close(self, refuse: Callable[[Any], None]) -> None:
        """Hand everything here, and everything put from now on, to `refuse`, each item once."""
        self.bring_back()
        self._refuse = refuse  # and then those that were put by who did not see it
        self._return_all()

    def _return_all(self) -> None:
        assert self._refuse is not None
        while True:
            try:
                item = self._items.popleft()
            except IndexError:  # others may be at it in their threads: each item is popped once
                return
            self._refuse(item)

    def _resume(self) -> None:
        sleeper, self._sleeper = self._sleeper, None
        if sleeper is not None:
            sleeper.switch()
