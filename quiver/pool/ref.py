"""PoolRef: a pool's ActorRef, how long holding it keeps the pool, and the errors of its asks.

`ReplyPolicy` answers where Pykka has errors of its own: the pool is gone, late, or its inbox full.
"""

from __future__ import annotations

import contextlib
import time
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, overload

import pykka

from quiver import telemetry
from quiver.actors.actor import GeventActor, GeventActorRef
from quiver.actors.handle import Handle
from quiver.actors.reply import Reply
from quiver.config import PoolConfig
from quiver.errors import InvalidOptions, QueueFull, RequestCancelled
from quiver.models import ConnectionStats, GetConnections, GetStats, Response, Stats
from quiver.pool.checkout import PoolTimeout, too_late
from quiver.pool.messages import PoolAnswer, PoolQuestion, PoolReply
from quiver.pool.reports import ask_observed
from quiver.request import OpenChannel, Request, StreamRequest
from quiver.streams.channel import Channel
from quiver.streams.response import StreamedResponse

if TYPE_CHECKING:
    from quiver.pool.coordinator import OriginPool

__all__ = ["LentRef", "PoolLifetime", "PoolRef", "ReplyPolicy", "RequestReply"]

GRACE: Final = 2.0  # seconds that the loop has to tell of a timeout, which it can tell best
ENDS_WITHIN: Final = 5.0  # seconds: a pool that is ending


class PoolLifetime:
    """The holders of a pool, which does not end for idleness while there are any; and its end.

    It takes no lock: see `ends_unless`.
    """

    def __init__(self) -> None:
        self.ending = False  # for nobody needs it: what comes now goes to its successor
        self.failure: str | None = None  # what it ended of, when nobody has stopped it
        self.kept = False  # by a program that found it by its origin: that gets no ref of its own
        self._holders: dict[int, weakref.ref[LentRef]] = {}

    def hold(self, ref: LentRef) -> None:
        """Keep the pool until `ref` is dropped."""
        key, holders = id(ref), self._holders
        holders[key] = weakref.ref(ref, lambda _: holders.pop(key, None))

    def lent_to(self, owner: object) -> LentRef | None:
        """The ref that `owner` has been lent already, if it is still held."""
        for holder in list(self._holders.values()):
            ref = holder()
            if ref is not None and ref.owner is owner:
                return ref
        return None

    def ends_unless(self, needed: Callable[[], bool]) -> bool:
        """Say that the pool ends for idleness; take it back if it is held, or `needed()`."""
        # Lock-free under the GIL, by the order of two steps: who takes a ref is counted, and then
        # looks whether the pool is `ending`; the pool says so, and then looks whether it is `held`.
        self.ending = True
        self.ending = not (self.held or needed())
        return self.ending

    @property
    def held(self) -> bool:
        return self.kept or bool(self._holders)


class PoolRef(GeventActorRef["OriginPool"]):
    """What the world holds of a pool: `ask` it a Request from any thread, greenlet or task.

    The `timeout` of a request holds for whoever waits also when something blocks the loop.

    Attributes:
        origin: what the pool is of, as text.
        config: its options, the limits among them, as a `PoolConfig`.
    """

    def __init__(self, pool: OriginPool) -> None:
        super().__init__(pool)
        self.origin = pool.target.name
        self.config = pool.target.config
        self.lifetime = pool.lifetime
        self.dials = pool.dials

    def __repr__(self) -> str:
        return f"<PoolRef of {self.origin} ({self.actor_urn})>"

    def __eq__(self, other: object) -> bool:
        """Refs are equal when they are of one pool."""
        return isinstance(other, pykka.ActorRef) and other.actor_urn == self.actor_urn

    def __hash__(self) -> int:
        return hash(self.actor_urn)

    def check_options(self, given: PoolConfig, names: Iterable[str] | None = None) -> None:
        """Raise InvalidOptions if the pool has others: of those named, or of all."""
        names = PoolConfig.__annotations__ if names is None else names
        other = [name for name in names if getattr(given, name) != getattr(self.config, name)]
        if other:
            said = f"its pool runs already, with another {', '.join(other)}"
            raise InvalidOptions(f"{said}: stop it first, or leave that out", origin=self.origin)

    def ended(self) -> bool:
        """Whether the pool ends for idleness; then wait until it has: a turn of the loop.

        It may also think better of it, since somebody holds it.
        """
        due = time.monotonic() + ENDS_WITHIN
        while self.lifetime.ending and self.is_alive() and time.monotonic() < due:
            with contextlib.suppress(pykka.Timeout):
                Reply[None]().get(timeout=0.001)
        return self.lifetime.ending

    # The kinds of Request first, which each bring something else than a Response.
    @overload  # type: ignore[override]  # it takes what a pool answers
    def ask(  # type: ignore[overload-overlap]
        self, message: StreamRequest, *, block: Literal[True] = ..., timeout: float | None = ...
    ) -> StreamedResponse: ...
    @overload
    def ask(  # type: ignore[overload-overlap]
        self, message: OpenChannel, *, block: Literal[True] = ..., timeout: float | None = ...
    ) -> Channel: ...
    @overload
    def ask(
        self, message: Request, *, block: Literal[True] = ..., timeout: float | None = ...
    ) -> Response: ...
    @overload
    def ask(
        self, message: GetStats, *, block: Literal[True] = ..., timeout: float | None = ...
    ) -> Stats: ...
    @overload
    def ask(
        self, message: GetConnections, *, block: Literal[True] = ..., timeout: float | None = ...
    ) -> list[ConnectionStats]: ...
    @overload
    def ask(  # type: ignore[overload-overlap]
        self, message: StreamRequest, *, block: Literal[False], timeout: float | None = ...
    ) -> Handle[StreamedResponse]: ...
    @overload
    def ask(  # type: ignore[overload-overlap]
        self, message: OpenChannel, *, block: Literal[False], timeout: float | None = ...
    ) -> Handle[Channel]: ...
    @overload
    def ask(
        self, message: Request, *, block: Literal[False], timeout: float | None = ...
    ) -> Handle[Response]: ...
    @overload
    def ask(
        self, message: GetStats, *, block: Literal[False], timeout: float | None = ...
    ) -> Handle[Stats]: ...
    @overload
    def ask(
        self, message: GetConnections, *, block: Literal[False], timeout: float | None = ...
    ) -> Handle[list[ConnectionStats]]: ...
    @overload
    def ask(
        self, message: PoolQuestion, *, block: bool, timeout: float | None = ...
    ) -> PoolAnswer | Handle[PoolAnswer]: ...
    def ask(
        self, message: PoolQuestion, *, block: bool = True, timeout: float | None = None
    ) -> object:
        """Send a request, or a question about the pool, and wait for the answer.

        Here whoever observes requests sees them in the caller's thread; otherwise as of
        GeventActorRef.
        """
        if timeout is None and isinstance(message, Request):
            _, within = message.answered_within(None)
            timeout = None if within is None else within + GRACE
        observer = telemetry.observer
        if observer is None or not isinstance(message, Request):
            return GeventActorRef.ask(self, message, block=block, timeout=timeout)
        ask = partial(super().ask, block=block, timeout=timeout)
        return ask_observed(observer, self.origin, message, ask)


class LentRef(PoolRef):
    """A ref of somebody's own: while it lives, so do the pool and `owner`."""

    def __init__(self, pool: PoolRef, owner: object) -> None:
        self.__dict__.update(vars(pool))  # what the pool's own ref says, this one says
        self._lender = pool
        self.owner = owner
        self.lifetime.hold(self)

    def is_alive(self) -> bool:
        return self._lender.is_alive()  # in a forked child only that one is told


class RequestReply(PoolReply):
    """The reply of a request, with the time of the ask: the request's limits begin there.

    With thousands of callers at once, a request may lie in the pool's inbox for a while.
    """

    def __init__(self) -> None:
        Reply.__init__(self, _request_cancelled)  # for each request: `super` costs as much again
        self.since = time.monotonic()


def _request_cancelled() -> RequestCancelled:
    return RequestCancelled("the caller gave up")


class ReplyPolicy(GeventActor):
    """The answers where the coordinator has none: it is gone, late, or its inbox is full."""

    @classmethod
    def new_reply(cls) -> PoolReply:
        return RequestReply()

    @classmethod
    def dead_error(cls, ref: Any, message: object) -> Exception:  # noqa: ARG003
        return too_late(ref.origin, ref.lifetime.failure, idled=ref.lifetime.ending)

    @classmethod
    def timeout_error(cls, ref: Any, message: object, timeout: float | None) -> Exception:
        asked = message if isinstance(message, Request) else None
        if asked is None or not ref.dials.waited_for or _is_grace(asked, timeout):
            return PoolTimeout(f"no answer within timeout={timeout} seconds", origin=ref.origin)
        cause = ref.dials.too_slow(f"the ask's timeout={timeout} seconds", ref.origin)
        error = PoolTimeout(cause.message, origin=ref.origin)
        error.__cause__ = cause
        return error

    @classmethod
    def overflow_error(cls, ref: Any, message: object) -> Exception:  # noqa: ARG003
        limit = ref.actor_inbox.limit
        return QueueFull(f"{limit} asks lie in the pool's inbox already", origin=ref.origin)


def _is_grace(request: Request, timeout: float | None) -> bool:
    """Whether the request's own time was up before: what holds it up is the loop then."""
    _, within = request.answered_within(None)
    return within is not None and (timeout is None or within < timeout)
