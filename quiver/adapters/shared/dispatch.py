"""The decision for each request: HTTP/3 by a pool of ours, or TCP by the other library."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar, Unpack

from quiver.actors.actor import GeventActorRef
from quiver.adapters.policy import Policy, cause_of, withdrawn
from quiver.adapters.shared.clients_by_trust import ClientsByTrust, Pools, Trust
from quiver.adapters.shared.request_translation import Options, split, translated
from quiver.errors import CertificateInvalid, InvalidRequest, InvalidURL, QuiverError
from quiver.fields import LONGEST
from quiver.pool.fallback_table import Route
from quiver.request import StreamRequest
from quiver.streams.response import StreamedResponse

__all__ = ["Dispatch", "FellBack", "kind_of", "leaving_the_odd", "said_of", "with_notes"]

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)
Fields = Iterable[tuple[str | bytes, str | bytes]]


class FellBack(Exception):
    """HTTP/3 did not come about, nothing was lost, and the request may go out over TCP."""


class Dispatch:
    """What all adapters decide alike.

    Args:
        policy: when HTTP/3 is tried; a `Policy()` by default, which tries it first.
        pools: as `quiver.Client` has them.
        falls_back: whether there is TCP to fall back to.
        usual: the trust of a rule in `pools` that names no roots.

    Raises:
        InvalidOptions: a rule or an option in `pools` is wrong.
        TypeError: what is given as a policy is none.
    """

    name: Final = "HTTP/3"

    def __init__(
        self,
        policy: Policy | None,
        pools: Pools | None,
        *,
        falls_back: bool,
        usual: Trust | None = None,
    ) -> None:
        if not isinstance(policy, Policy | None):
            raise TypeError(f"policy={policy!r} is no Policy: write Policy({policy!r})")
        self.policy = policy or Policy()
        self.clients = ClientsByTrust(pools, usual=usual)
        self.falls_back = falls_back

    def takes(self, url: str) -> bool:
        """Tell whether HTTP/3 knows such URLs. Raises InvalidURL if not, and there is no TCP."""
        try:
            split(url)
        except InvalidURL:
            if not self.falls_back:
                raise
            return False
        return True

    def route(self, url: str, trust: Trust) -> tuple[Route | None, str]:
        """Return where HTTP/3 is to be tried, None for TCP; and the request's target.

        Raises:
            InvalidURL: it names no origin of HTTP/3, and there is no TCP that may know better.
        """
        try:
            origin, target = split(url)
        except InvalidURL:
            if self.falls_back:
                return None, ""
            raise
        route = self.policy.route(origin, trust)
        return route or (None if self.falls_back else Route(origin, origin)), target

    def asked(
        self,
        route: Route,
        method: str,
        target: str,
        headers: Fields,
        **options: Unpack[Options],
    ) -> StreamRequest:
        """Make the request for a route, as `translated` does.

        Raises:
            FellBack: HTTP/3 refuses the Host, an empty one, say, or a length; TCP may take it.
            InvalidRequest: there is no TCP, or it is something else that is wrong.
        """
        headers = list(headers)
        if not self.falls_back:
            return translated(route, method, target, headers, **options)
        with leaving_the_odd(target, headers):
            return translated(route, method, target, headers, **options)

    def pool(self, trust: Trust, route: Route) -> GeventActorRef[Any]:
        """Return the pool for a route, started if it is not there."""
        return self.clients.pool(trust, route.place, route.origin if route.elsewhere else None)

    def connect_timeout(self, given: float | None) -> float | None:
        """Return min(given, policy.fallback_after) seconds; `given` where there is no TCP."""
        if not self.falls_back:
            return given
        return min(given or self.policy.fallback_after, self.policy.fallback_after)

    @contextlib.contextmanager
    def falling_back(self, route: Route, asked: StreamRequest, trust: Trust) -> Iterator[None]:
        """Raise FellBack in place of an error on which the request may go out over TCP."""
        try:
            yield
        except QuiverError as error:
            if self.gives_way(route, asked, error, trust):
                raise FellBack from None
            raise

    def gives_way(
        self, route: Route, asked: StreamRequest, error: QuiverError, trust: Trust
    ) -> bool:
        """Tell whether the request, which has failed over HTTP/3, may go out over TCP."""
        return self.falls_back and self.policy.gives_way(route.origin, asked, error, trust)

    def close(self) -> None:
        """Stop the pools, and write what the policy has to keep."""
        self.clients.close()
        self.policy.flush()

    def answered(
        self, route: Route, asked: StreamRequest, streamed: StreamedResponse, trust: Trust
    ) -> None:
        """Take in that HTTP/3 has answered, and what the origin says of other places.

        Raises:
            FellBack: who is at an alternative does not answer for the origin, and was not to act
                upon the request, which goes to the origin itself (RFC 9110 15.5.20).
        """
        if streamed.status == 421:  # RFC 7838 6: what it says of places counts for nothing
            if route.elsewhere:
                self.policy.misdirected(route)
                if self.falls_back and withdrawn(asked):
                    streamed.close()
                    raise FellBack
            return
        self.policy.succeeded(route.origin, trust)
        self.policy.heard(route.origin, streamed.header("alt-svc"))

    def answered_over_tcp(self, url: str, alt_svc: str | None) -> None:
        """Take in an Alt-Svc field: only the origin's own word over TLS counts (RFC 7838 2.1)."""
        if alt_svc is not None and url.lower().startswith("https:"):
            with contextlib.suppress(InvalidURL):  # an origin that HTTP/3 refuses has none
                self.policy.heard(split(url)[0], alt_svc)


@contextlib.contextmanager
def leaving_the_odd(
    target: str, headers: Iterable[tuple[str | bytes, str | bytes]]
) -> Iterator[None]:
    """Raise FellBack for a Host that Quiver refuses, an empty one, say, or for a length."""
    try:
        yield
    except InvalidRequest as error:
        if error.message.startswith("header host") or _too_long(target, headers):
            raise FellBack from None
        raise


def _too_long(target: str, headers: Fields) -> bool:
    """Whether HTTP/3 has no field line for one of them, where HTTP/1.1 may have."""
    return any(len(name) + len(value) > LONGEST for name, value in [(":path", target), *headers])


def with_notes(made: E, error: QuiverError) -> E:
    """Return what another library calls an error, with the notes of that."""
    for note in getattr(error, "__notes__", ()):
        made.add_note(note)
    return made


def kind_of(error: QuiverError, names: tuple[tuple[type[QuiverError], T], ...]) -> T:
    """Return what another library calls an error: the first entry that its cause is one of."""
    cause = cause_of(error)
    return next(theirs for ours, theirs in names if isinstance(cause, ours))


def said_of(error: QuiverError) -> str:
    """Return what an error says; of a refused certificate with the words that ssl has for that.

    Programs look for them.
    """
    if not isinstance(cause_of(error), CertificateInvalid):
        return str(error)
    return f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {error}"
