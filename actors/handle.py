"""Handle: what an asker holds of its ask, which ends with it, or with the actor that asked.

An ask that does not block goes on while nobody waits. Two things tell that nobody will: the actor
that asked has ended (`OpenAsks`), or the caller has dropped the `Handle` it was given. Either
cancels the Reply, which travels apart from both; so a forwarded ask is still its first asker's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Never, TypeVar

import pykka
from greenlet import getcurrent

from quiver.actors.hub import spawn_if_running
from quiver.actors.reply import AnyReply, ExcInfo, Reply

__all__ = ["Handle", "OpenAsks", "open_asks_of_caller"]

T = TypeVar("T")


class OpenAsks:
    """The asks that one actor has out. They are cancelled at its end, whatever that was."""

    def __init__(self) -> None:
        self._open: dict[AnyReply, None] = {}  # a set, of which an empty one is smaller

    def __len__(self) -> int:
        return len(self._open)

    def add(self, reply: AnyReply) -> None:
        """Keep it until it is answered."""
        self._open[reply] = None
        reply.when_done(partial(self._open.pop, reply, None))

    def cancel(self) -> None:
        """Nobody is there any more to read what is answered."""
        for reply in list(self._open):  # others answer meanwhile, in their threads
            reply.cancel()


def open_asks_of_caller() -> OpenAsks | None:
    """Those of the actor whose greenlet this is; None in any other greenlet or thread."""
    asks: OpenAsks | None = getattr(getattr(getcurrent(), "resident", None), "open_asks", None)
    return asks


class Handle(pykka.Future[T]):
    """The future of an ask that does not block, as its caller holds it.

    The ask is cancelled when nobody holds it any more: not by a variable, nor as the source of a
    `map` or `join`, nor by waiting, nor by a call left with `when_done`.

    Attributes:
        reply: what travels with the message, and keeps no ask going.
    """

    def __init__(self, reply: Reply[T] | None = None) -> None:
        super().__init__()
        self.reply: Reply[T] = Reply() if reply is None else reply
        self._of_ask = reply is not None  # else Pykka has made it, of others: by `map`, say

    def __repr__(self) -> str:
        return f"<Handle of {self.reply!r}>"

    @property
    def done(self) -> bool:
        """Whether it has been answered, also with an error or by `cancel()`."""
        return self.reply.done

    @property
    def cancelled(self) -> bool:
        """Whether `cancel()`, or the end of the actor that asked, came before the answer."""
        return self.reply.cancelled

    @property
    def outcome(self) -> Any:
        """The answer of one that is done, or the error that `get` raises: to look at it only."""
        return self.reply.outcome

    def get(self, *, timeout: float | None = None) -> T:
        """Wait for the answer and return or raise it.

        Args:
            timeout: seconds to wait; None waits as long as it takes.

        Raises:
            pykka.Timeout: nothing came in time. The ask itself goes on: see `cancel()`.
        """
        try:
            return self.reply.get(timeout=timeout)
        finally:
            del self  # else the error holds this frame, which holds the error: a cycle

    def cancel(self) -> bool:
        """Give up on the answer and tell whoever holds the request now.

        Returns:
            True if the ask was still open; `get` then raises the cancellation.
        """
        return self.reply.cancel()

    def when_done(self, call: Callable[[], object]) -> None:
        """Call `call` once, from the answering thread, or now when already answered."""
        self.reply.when_done(partial(_make, call, self))

    def set(self, value: T | None = None) -> None:
        self.reply.set(value)

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        self.reply.set_exception(exc_info)

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        self.reply.set_get_hook(func)

    def __await__(self) -> Generator[Any, None, T]:
        """Wait in an asyncio task; cancelling the task cancels the ask."""
        try:
            return (yield from self.reply.__await__())
        finally:
            del self  # as in `get`

    __iter__ = __await__

    def __reduce__(self) -> Never:
        raise TypeError("the handle of an ask cannot be copied or pickled")

    def __del__(self) -> None:
        """Cancel, but not here: the collector may come in the middle of anything."""
        if self._of_ask and not self.reply.done:
            spawn_if_running(self.reply.cancel)


def _make(call: Callable[[], object], _handle: object) -> None:
    call()
