"""The clients behind the functions of the module, by the options that a call has brought along.

A call without any goes through the one that all share (`quiver.client.shared`). One with options
of a pool goes through a client that is kept for the next call with the same: its connections stay.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import lru_cache
from typing import Any, Final

from quiver.actors.registry import Registry
from quiver.client import Client, shared
from quiver.config import PoolConfig
from quiver.pool_options import SharedOptions, unknown
from quiver.request_options import CallOptions, ChannelCallOptions

__all__ = ["MOST", "client_for"]

MOST: Final = 16
"""Clients that are kept. The pools of one that is not any more end when they are idle."""

_OPTIONS: Final = tuple({**CallOptions.__annotations__, **ChannelCallOptions.__annotations__})
_lock = threading.Lock()
_kept: OrderedDict[PoolConfig, Client] = OrderedDict()  # the least recently used first


@lru_cache(MOST, typed=True)
def _judged(**own: Any) -> PoolConfig:
    """Judge options once, not with each call: a context is asked to verify for that."""
    return PoolConfig.build(**own)


def client_for(options: dict[str, Any]) -> Client:
    """Return the client of a call; what is its pool's alone leaves `options`.

    Raises:
        TypeError: one is an option of neither.
        InvalidOptions: one has a wrong value or contradicts another.
    """
    wrong = next((name for name in options if name not in _OPTIONS), None)
    if wrong is not None:
        raise TypeError(unknown(wrong, "keyword", _OPTIONS))
    names = [name for name in options if name in SharedOptions.__annotations__]
    if not names:
        return shared
    own = {name: options.pop(name) for name in names}
    try:
        config = _judged(**own)
    except TypeError:  # a mapping, say, has no hash
        config = PoolConfig.build(**own)
    with _lock:
        client = _kept.pop(config, None)
        if client is None:
            # With a registry given, it is dropped without a word: nobody could have closed it.
            client = Client(name="shared with options", registry=Registry(), **own)
        _kept[config] = client
        if len(_kept) > MOST:
            _kept.popitem(last=False)
    return client
