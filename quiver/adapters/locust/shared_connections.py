"""What both kinds of users have in common: whose connections they use, and which host they take."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, NoReturn, TypeVar

import gevent
from gevent.pool import Group as Greenlets
from locust import User
from locust.env import Environment
from locust.exception import StopTest

from quiver.adapters.shared.groups import Groups
from quiver.adapters.shared.request_translation import split
from quiver.errors import InvalidOptions, InvalidURL
from quiver.redaction import redacted_url

__all__ = ["SharedConnections", "refuse"]

T = TypeVar("T")
_groups: Final[weakref.WeakKeyDictionary[type, Groups[Any]]] = weakref.WeakKeyDictionary()


class SharedConnections(User):
    """A user whose connections are those of its group, which are closed when the last one stops."""

    abstract = True

    users_per_connection: ClassVar[int] = 50
    """How many users of the class share a connection to each origin. 1 gives each its own, as each
    browser has: it costs several times the CPU, and a server tells its load by connections."""

    pool_options: ClassVar[Mapping[str, object]] = {}
    """Options of the users' own pools, as `quiver.PoolConfig` has them: cafile, verify, ..."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self._leave: Callable[[], object] | None = None

    def start(self, group: Greenlets) -> gevent.Greenlet[..., Any]:
        """Called by Locust when the user begins."""
        greenlet: gevent.Greenlet[..., Any] = super().start(group)
        if self._leave is not None:
            leave = self._leave
            greenlet.link(lambda _: gevent.spawn(leave))  # a link may not wait itself
        return greenlet

    def check_host(self, instead: str) -> None:
        """Refuse a host that HTTP/3 does not know; `instead` is the class to derive from then."""
        host = str(self.host)
        try:
            split(host)
        except InvalidURL as error:
            said = f"{type(self).__name__}.host={redacted_url(host)!r}: "
            if not host.lower().startswith("http://"):
                refuse(self, said + error.message)
            plain = f"HTTP/3 has no http://: give an https:// host, or derive from {instead}"
            refuse(self, said + plain)

    def join(self, make: Callable[[], T], end: Callable[[T], object]) -> T:
        """Return what this user's group shares, `make` it for the first; `end` it with the last."""
        kind, size = type(self), self.users_per_connection
        if type(size) is not int or size < 1:
            refuse(self, f"{kind.__name__}.users_per_connection={size!r}: must be at least 1")
        groups: Groups[T] = _groups.setdefault(kind, Groups(size, end))
        try:
            group = groups.join(make)
        except InvalidOptions as error:
            refuse(self, f"{kind.__name__}: {error.message}")
        leave = weakref.finalize(self, groups.leave, group)  # also one that is never started
        leave.atexit = False
        self._leave = leave
        return group.shared


def refuse(user: User, why: str) -> NoReturn:
    """End the run, and have a headless one fail."""
    environment = user.environment
    options = environment.parsed_options
    if options is not None and getattr(options, "headless", False):
        environment.process_exit_code = 1
    raise StopTest(why) from None
