"""An inbox that any thread may put into: many puts, one wake-up of the loop."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from quiver.actors.monitor import DeathWatch

if TYPE_CHECKING:
    from quiver.actors.wait_queue import LoopWakeup


_BACKLOG: Final = 256  # items left behind a turn with which the next waits for sockets and threads


def _nothing() -> None:
    pass


class Mailbox:
    """One actor's queue of messages, each with the reply of who asked.

    Lock-free under the GIL: of two who race, each writes before it reads what the other writes.

    Attributes:
        items: what is there, the oldest first. Its actor takes from them at once.
    """

    def __init__(self) -> None:
        self.death_watch = DeathWatch()
        self.limit = math.inf  # items beyond which an ask is refused; 0 when its actor has ended
        self.items: deque[Any] = deque()
        self._aside: list[Any] = []
        self._awake = True  # until its actor first rests
        self._wakeup: LoopWakeup  # from `attach` on
        self._call_soon: Callable[[Callable[[], object]], None]  # its own, bound once
        self._turn: Callable[[], object] = _nothing
        self._refuse: Callable[[Any], None] | None = None

    def put(self, item: object, *, wakes: bool = True) -> None:
        """Append `item`; wake the actor if it waits, or leave that to `wake`. From any thread."""
        # First the item, then the look at `_refuse` and `_awake`: whoever sets one of them looks at
        # the items afterwards. So one of the two sees it, and none is left lying.
        self.items.append(item)
        if self._refuse is not None:
            self._return_all()
        elif wakes and not self._awake:
            self._ring(self._call_soon)

    def get(self) -> Any:
        """Take the oldest item. Raises IndexError when there is none."""
        return self.items.popleft()

    def wake(self) -> None:
        """Wake the actor if it waits and there is something that it has not heard of."""
        if self.items and not self._awake and self._refuse is None:
            self._ring(self._call_soon)

    def _ring(self, call: Callable[[Callable[[], object]], None]) -> None:
        try:
            self._awake = True
            call(self._turn)
        except BaseException:  # a signal's, before it was called: the next put wakes it
            self._awake = False
            raise

    def set_aside(self, item: object) -> None:
        """Keep `item` until `bring_back`. From the actor's own greenlet, as `bring_back` is."""
        self._aside.append(item)

    def bring_back(self) -> None:
        """Put what was set aside before all others, in its order."""
        aside, self._aside = self._aside, []
        self.items.extendleft(reversed(aside))

    @property
    def full(self) -> bool:
        return len(self.items) + len(self._aside) >= self.limit

    def empty(self) -> bool:
        return not self.items

    def __len__(self) -> int:
        return len(self.items)

    def rest(self) -> None:
        """Have the actor woken when there is an item, or at once. At the end of its turn."""
        self._awake = False
        if self.items:  # also if put just before that, by one who saw that it was awake
            backlog = len(self.items) >= _BACKLOG
            self._ring(self._wakeup.call_after_look if backlog else self._call_soon)

    def attach(self, wakeup: LoopWakeup, turn: Callable[[], object]) -> None:
        """Name the loop of the actor, and what gives the actor a turn there."""
        self._wakeup, self._call_soon, self._turn = wakeup, wakeup.call_soon, turn

    def close(self, refuse: Callable[[Any], None]) -> None:
        """Hand everything here, and everything put from now on, to `refuse`, each item once."""
        self.bring_back()
        self._turn = _nothing  # an actor that has ended is freed at once
        self._refuse = refuse  # and then those that were put by who did not see it
        self._return_all()

    def _return_all(self) -> None:
        assert self._refuse is not None
        while True:
            try:
                item = self.items.popleft()
            except IndexError:  # others may be at it in their threads: each item is popped once
                return
            self._refuse(item)
