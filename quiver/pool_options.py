"""PoolOptions: the options of PoolConfig as a caller writes them, by keyword."""

from __future__ import annotations

import os
import ssl
from typing import TypedDict

from quiver.name_options import HostAddresses, HostAddressesGiven, Resolver

__all__ = ["PoolOptions"]


class PoolOptions(TypedDict, total=False):
    """The options of PoolConfig, as `HTTP3Pool.start` takes them."""

    max_connections: int
    max_streams_per_connection: int
    max_waiting: int
    connect_timeout: float | None
    checkout_timeout: float | None
    receive_timeout: float | None
    timeout: float | None
    stream_idle_timeout: float | None
    idle_timeout: float | None
    pool_idle_timeout: float | None
    keep_alive: float | None
    max_age: float | None
    max_requests_per_connection: int | None
    shutdown_timeout: float | None
    max_header_size: int
    max_body_size: int | None
    receive_window: int
    receive_window_max: int
    send_buffer: int
    verify: bool | ssl.SSLContext
    cafile: str | os.PathLike[str] | None
    cadata: bytes | str | None
    certfile: str | os.PathLike[str] | None
    keyfile: str | os.PathLike[str] | None
    server_name: str | None
    resolver: Resolver | None
    resolve: HostAddresses | HostAddressesGiven | None
    qlog_dir: str | os.PathLike[str] | None
    qlog_credentials: bool
    congestion_control: str
    max_datagrams: int
    datagrams: bool
