"""The clients behind the functions of the module, by the options that a call has brought along.

A call without any goes through the one that all share (`quiver.client.shared`). One with options of
a pool or a client goes through one that is kept for the next call with the same: its connections
stay.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from quiver.actors.registry import Registry
from quiver.client import Client, shared
from quiver.config import PoolConfig
from quiver.pool.protocols import chosen
from quiver.pool_options import ClientOptions, SharedOptions, unknown
from quiver.request_options import CallOptions, ChannelCallOptions

__all__ = ["MOST", "client_for"]

MOST: Final = 16
"""Clients that are kept. The pools of one that is not any more end when they are idle."""

_OPTIONS: Final = tuple({**CallOptions.__annotations__, **ChannelCallOptions.__annotations__})
_lock = threading.Lock()
# The least recently used first.
_kept: OrderedDict[tuple[PoolConfig, str], Client] = OrderedDict()


@lru_cache(MOST, typed=True)
def _judged(**own: Any) -> PoolConfig:
    """Judge options once, not with each call: a context is asked to verify for that."""
    return PoolConfig.build(**own)


def client_for(options: dict[str, Any]) -> Client:
    """Return the client of a call; what is the client's or its pool's alone leaves `options`.

    Raises:
        TypeError: one is an option of none of them.
        InvalidOptions: one has a wrong value or contradicts another.
        ModuleNotFoundError: what one of the `protocols` needs is not installed.
    """
    wrong = next((name for name in options if name not in _OPTIONS), None)
    if wrong is not None:
        raise TypeError(unknown(wrong, "keyword", _OPTIONS))
    own = _taken(options, SharedOptions)
    of_client = _taken(options, ClientOptions)
    if of_client.get("protocols") is not None:
        of_client["protocols"] = chosen(of_client["protocols"])
    if isinstance(of_client.get("hints"), Iterable) and not isinstance(of_client["hints"], str):
        of_client["hints"] = tuple(of_client["hints"])  # they are read more than once
    if not own and not of_client:
        return shared
    try:
        config = _judged(**own)
    except TypeError:  # a mapping, say, has no hash
        config = PoolConfig.build(**own)
    key = config, repr(sorted(of_client.items()))
    with _lock:
        client = _kept.pop(key, None)
        if client is None:
            # With a registry given, it is dropped without a word: nobody could have closed it.
            named: dict[str, Any] = {"name": "shared with options", "registry": Registry()}
            client = Client(**named, **of_client, **own)
        _kept[key] = client
        if len(_kept) > MOST:
            _kept.popitem(last=False)
    return client


def _taken(options: dict[str, Any], kind: type) -> dict[str, Any]:
    """Those of `options` that are of this kind, which are no longer there."""
    return {name: options.pop(name) for name in list(options) if name in kind.__annotations__}
