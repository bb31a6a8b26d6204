"""The options of an origin, the arguments of its commands, and the bodies it serves."""

from __future__ import annotations

from typing import Literal, TypedDict

import attrs

__all__ = ["CommandArguments", "OriginKeywords", "OriginOptions", "pattern"]


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
    `retry` has addresses validated (RFC 9000 8.1.2). `session_tickets` offers TLS resumption,
    and early data; with `early_data` "reject" it is left aside, with "too_early" answered by 425
    (RFC 8470 5.2).
    `stateless_reset` tells clients of connections that are forgotten so (RFC 9000 10.3).
    `datagrams` announces them, in the transport parameter and in SETTINGS (RFC 9297 2.1.1), the
    latter only with `datagram_setting`. `connect_protocol` is SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC
    9220 3), `max_field_section_size` SETTINGS_MAX_FIELD_SECTION_SIZE (RFC 9114 4.2.2), in bytes;
    what exceeds it is answered all the same. SETTINGS go out `settings_delay` after the handshake.
    Without `active_migration` clients are told to stay at their address (disable_active_migration,
    RFC 9000 18.2); without `spare_connection_ids` they have none to move with (RFC 9000 5.1.1).
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
    max_field_section_size: int | None = None
    settings_delay: float = 0.0
    session_tickets: bool = False
    early_data: Literal["accept", "reject", "too_early"] = "accept"
    stateless_reset: bool = False
    active_migration: bool = True
    spare_connection_ids: bool = True
    congestion_control: Literal["reno", "cubic"] = "cubic"

    def __attrs_post_init__(self) -> None:
        if not 0.0 <= self.loss < 1.0:
            raise ValueError(f"loss must be at least 0 and below 1, not {self.loss!r}")
        if self.max_streams < 0:
            raise ValueError(f"max_streams must not be negative, not {self.max_streams!r}")
        if self.at_limit not in ("goaway", "close"):
            raise ValueError(f"at_limit must be 'goaway' or 'close', not {self.at_limit!r}")
        if self.early_data not in ("accept", "reject", "too_early"):
            accepted = "'accept', 'reject' or 'too_early'"
            raise ValueError(f"early_data must be {accepted}, not {self.early_data!r}")
        if self.early_data != "accept" and not self.session_tickets:
            raise ValueError(f"early_data={self.early_data!r} needs session_tickets=True")


class OriginKeywords(TypedDict, total=False):
    """The options of OriginOptions, as origins take them."""

    port: int
    listen: tuple[str, ...]
    certfile: str
    keyfile: str
    alpn: tuple[str, ...]
    max_streams: int
    raise_streams: bool
    max_data: int
    max_stream_data: int
    idle_timeout: float
    delay: float
    loss: float
    seed: int
    retry: bool
    requests_per_connection: int | None
    at_limit: Literal["goaway", "close"]
    datagrams: bool
    datagram_setting: bool
    connect_protocol: bool
    max_field_section_size: int | None
    settings_delay: float
    session_tickets: bool
    early_data: Literal["accept", "reject", "too_early"]
    stateless_reset: bool
    active_migration: bool
    spare_connection_ids: bool
    congestion_control: Literal["reno", "cubic"]


class CommandArguments(TypedDict, total=False):
    """The arguments of the commands that a running origin takes."""

    last: int | None
    code: int
    reason: str
    frame_type: int | None
    streams: int


# A prime period, so that a piece put in the wrong place cannot look right.
_PERIOD = bytes(range(251))


def pattern(size: int) -> bytes:
    """Return the `size` bytes that `/bytes/SIZE` serves: the same each time, of period 251."""
    return (_PERIOD * (size // len(_PERIOD) + 1))[:size]
