"""One `quiver.Client` for each set of trust options: they are options of a whole pool."""

from __future__ import annotations

import os
import ssl
from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, cast

import attrs

from quiver.actors.actor import GeventActorRef
from quiver.adapters.shared.fork_safe_lock import ForkSafeLock
from quiver.chain_verifier import default_context, is_context
from quiver.client import Client
from quiver.config import OriginRules, PoolConfig
from quiver.errors import PoolStopped
from quiver.origin import Origin
from quiver.pool.protocols import H3_ALONE

__all__ = ["ClientsByTrust", "Trust"]

Pools = Mapping[str, Mapping[str, object]]

# The libraries above have time limits of their own, and None means none there. None of them ends a
# response because its reader is busy elsewhere. Each goes by its own name, or by none if asked to.
UNLIMITED: Final[Mapping[str, object]] = {
    "checkout_timeout": None,
    "receive_timeout": None,
    "stream_idle_timeout": None,
    "user_agent": None,
}

MOST: Final = 1_000  # clients, and as many of alternative services
_FOLDERS: Final = 32  # of roots, that are kept at most
_OF_ROOTS: Final = frozenset({"verify", "cafile", "cadata"})  # options that say who is trusted

Certificate = str | tuple[str, str] | None


@attrs.frozen(cache_hash=True)
class Trust:
    """Whom to believe, and what to show of oneself. Hashable: it names a client.

    Attributes:
        verify: whether the server needs a valid certificate, or who judges it.
        cafile: PEM file of the roots; None takes the pool's, or the usual ones.
        cadata: PEM of the roots.
        certfile: PEM file of our own certificate.
        keyfile: PEM file of its key.
        server_name: whom the server is to prove to be; None takes the pool's, or the host.
    """

    verify: bool | ssl.SSLContext = True
    cafile: str | None = None
    cadata: bytes | None = None
    certfile: str | None = None
    keyfile: str | None = None
    server_name: str | None = None

    @classmethod
    def of(cls, verify: bool | str | ssl.SSLContext, cert: Certificate = None) -> Trust:
        """Make a Trust from `verify=` and `cert=` as requests and httpx have them.

        A context verifies as it does over TCP. In a folder roots are looked for by OpenSSL, by the
        names that `openssl rehash` gives them.

        Raises:
            OSError: there is no such file or folder.
        """
        if verify is True and cert is None:
            return _USUAL
        certfile, keyfile = (cert, None) if cert is None or isinstance(cert, str) else cert
        own: dict[str, Any] = {
            "certfile": _existing(certfile, "the TLS certificate file"),
            "keyfile": _existing(keyfile, "the TLS key file"),
        }
        if isinstance(verify, bool):
            return cls(verify=verify, **own)
        if is_context(verify):
            return cls(verify=verify.verify_mode != ssl.CERT_NONE and verify, **own)
        verify = os.fsdecode(cast(str, verify))
        if os.path.isdir(verify):
            return cls(verify=_by_folder(verify), **own)
        return cls(cafile=_existing(verify, "a suitable TLS CA certificate bundle"), **own)

    @classmethod
    def by_folders(cls, folders: str) -> Trust:
        """Trust the roots in a folder, or in several with `os.pathsep` between them."""
        return cls(verify=_by_folder(folders))

    def applied(self, rule: Mapping[str, object]) -> dict[str, object]:
        """Return a pool's options with this trust, which takes precedence."""
        said = attrs.asdict(self, filter=lambda attribute, value: value != attribute.default)
        kept = dict(UNLIMITED) | dict(rule)
        if _OF_ROOTS & set(said):
            for option in _OF_ROOTS:
                kept.pop(option, None)
        return kept | said

    def unless_given(self, rule: Mapping[str, object]) -> Mapping[str, object]:
        """Return a pool's options, with this trust where they name no roots."""
        return rule if _OF_ROOTS & set(rule) else self.applied(rule)


_USUAL: Final = Trust()


def _existing(path: str | None, what: str) -> str | None:
    if path is not None and not os.path.exists(path):
        raise OSError(f"Could not find {what}, invalid path: {path}")
    return path


@lru_cache(_FOLDERS)
def _by_folder(folder: str) -> ssl.SSLContext:
    """The same for each call, so that there is one client for it."""
    context = default_context()
    context.load_verify_locations(capath=folder)
    return context


class ClientsByTrust:
    """Clients by trust, each made when it is first needed. For any number of threads.

    What is asked for at an alternative service has a client for its origin, all of whose pools have
    that origin's own rule, whatever the rules say of the place (RFC 7838 2.1). What goes through a
    proxy has clients of its own. There are at most MOST of either kind; the one used longest ago is
    let go of. None of them looks for proxies: the adapters do, or the libraries above.

    Args:
        pools: as `quiver.Client` has them.
        protocols: that they speak.
        usual: the trust of a rule that names no roots.

    Raises:
        InvalidOptions: a rule or an option in `pools` is wrong.
        ModuleNotFoundError: what a protocol needs is not installed.
    """

    def __init__(
        self,
        pools: Pools | None = None,
        protocols: tuple[str, ...] = H3_ALONE,
        usual: Trust | None = None,
    ) -> None:
        OriginRules(pools)  # refuses what is no mapping before it is taken for one
        self._pools = {"default": {}, **(pools or {})}
        if usual is not None:
            self._pools = {key: usual.unless_given(rule) for key, rule in self._pools.items()}
        self._protocols = protocols
        self._made: OrderedDict[tuple[Trust, str | None], Client] = OrderedDict()
        self._elsewhere: OrderedDict[tuple[Trust, Origin], Client] = OrderedDict()
        self._lock = ForkSafeLock()
        self.of(Trust())

    def of(self, trust: Trust, origin: Origin | None = None, *, proxy: str | None = None) -> Client:
        """Return the client with this trust, for the alternative services of `origin` if given.

        Args:
            proxy: the URL of that which it goes through.

        Raises:
            InvalidOptions: there is no certificate in a file, say.
        """
        with self._lock:
            if origin is not None:
                return self._for_alternatives(trust, origin)
            client = self._made.get((trust, proxy))
            if client is None:
                client = self._made[trust, proxy] = self._client(self._applied(trust), proxy)
                _bound(self._made)
            self._made.move_to_end((trust, proxy))
            return client

    def pool(
        self, trust: Trust, place: Origin, origin: Origin | None = None, *, proxy: str | None = None
    ) -> GeventActorRef[Any]:
        """Return the pool for a place, started if it is not there. Arguments as of `of`."""
        while True:
            client = self.of(trust, origin, proxy=proxy)
            try:
                return client.pool(str(place))
            except PoolStopped:
                if self.of(trust, origin, proxy=proxy) is client:
                    raise  # else they were closed in this moment, and there is another one

    def close(self) -> None:
        """Let go of them all, as `Client.release` does: a response that is read stays readable.

        They are made anew when they are needed again.
        """
        with self._lock:
            clients = [*self._made.values(), *self._elsewhere.values()]
            self._made.clear()
            self._elsewhere.clear()
        for client in clients:
            client.release()

    def _applied(self, trust: Trust) -> dict[str, dict[str, object]]:
        return {key: trust.applied(rule) for key, rule in self._pools.items()}

    def _for_alternatives(self, trust: Trust, origin: Origin) -> Client:
        client = self._elsewhere.get((trust, origin))
        if client is None:
            rule = OriginRules(self._applied(trust)).config_for(origin)
            options = {each.name: getattr(rule, each.name) for each in attrs.fields(PoolConfig)}
            options["server_name"] = rule.server_name or origin.host
            client = self._elsewhere[trust, origin] = self._client({"default": options})
            _bound(self._elsewhere)
        self._elsewhere.move_to_end((trust, origin))
        return client

    def _client(self, pools: dict[str, dict[str, object]], proxy: str | None = None) -> Client:
        return Client(pools=pools, trust_env=False, protocols=self._protocols, proxy=proxy)


def _bound(clients: OrderedDict[Any, Client]) -> None:
    if len(clients) > MOST:
        _, oldest = clients.popitem(last=False)
        oldest.release()
