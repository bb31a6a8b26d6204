"""What an origin can be told when it is started, and the bodies it serves."""

from __future__ import annotations

from typing import Literal

import attrs

__all__ = ["OriginOptions", "pattern"]


@attrs.frozen(kw_only=True)
class OriginOptions:
    """How the server behaves. Durations in seconds.

    `listen` are the addresses bound, all to one port (`port`, 0 for any that is free); an IPv6
    address is left out where the machine has none. `max_streams` is the initial MAX_STREAMS for
    requests (RFC 9000 4.6); credit comes back as streams end, so it also bounds how many are open,
    unless `raise_streams` is off: then only `Origin.allow_streams` gives more.
    `delay` holds back every answer to a whole request. `loss` is the share of datagrams dropped,
    each way. After `requests_per_connection` requests a connection takes no more: with `at_limit`
    "goaway" it says so first, with "close" it closes without a word once the earlier ones are
    answered.
    `retry` has addresses validated (RFC 9000 8.1.2). `session_tickets` offers TLS resumption.
    `stateless_reset` tells clients of connections that are forgotten so (RFC 9000 10.3).
    `datagrams` announces them, in the transport parameter and in SETTINGS (RFC 9297 2.1.1), the
    latter only with `datagram_setting`. `connect_protocol` is SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC
    9220 3). SETTINGS go out `settings_delay` after the handshake.
    """

    port: int = 0
    listen: tuple[str, ...] = ("127.0.0.1", "::1")
    certfile: str = ""
    keyfile: str = ""
    alpn: tuple[str, ...] = ("h3",)
    max_streams: int = 128
    raise_streams: bool = True
    max_data: int = 4 * 1024 * 1024
    max_stream_data: int = 1024 * 1024
    idle_timeout: float = 60.0
    delay: float = 0.0
    loss: float = 0.0
    seed: int = 0
    retry: bool = False
    requests_per_connection: int | None = None
    at_limit: Literal["goaway", "close"] = "goaway"
    datagrams: bool = True
    datagram_setting: bool = True
    connect_protocol: bool = True
    settings_delay: float = 0.0
    session_tickets: bool = False
    stateless_reset: bool = False
    congestion_control: Literal["reno", "cubic"] = "cubic"

    def __attrs_post_init__(self) -> None:
        if not 0.0 <= self.loss < 1.0:
            raise ValueError(f"loss must be at least 0 and below 1, not {self.loss!r}")
        if self.max_streams < 0:
            raise ValueError(f"max_streams must not be negative, not {self.max_streams!r}")
        if self.at_limit not in ("goaway", "close"):
            raise ValueError(f"at_limit must be 'goaway' or 'close', not {self.at_limit!r}")


# A prime period, so that a piece put in the wrong place cannot look right.
_PERIOD = bytes(range(251))


def pattern(size: int) -> bytes:
    """Return the `size` bytes that `/bytes/SIZE` serves: the same each time, of period 251."""
    return (_PERIOD * (size // len(_PERIOD) + 1))[:size]
