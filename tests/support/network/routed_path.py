"""A path with a router in it: client, router and server, each in a namespace of its own.

client --near-- router --far-- server
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import attrs
import pytest

from quiver.testing import Authority
from tests.support.network.namespaces import Unavailable
from tests.support.network.programs import Caller, HostedOrigin
from tests.support.network.topology import Addresses, Family, Host, Link, Network

__all__ = ["RoutedPath", "routed_path"]

EVERYWHERE: Final = ("0.0.0.0", "::")


@attrs.frozen
class RoutedPath:
    """What the tests have in hand."""

    authority: Authority
    client: Host
    router: Host
    server: Host
    near: Link
    far: Link
    network: Network

    @property
    def there(self) -> Addresses:
        """The server's addresses."""
        return self.far.of(self.server)

    def origin(self, **options: Any) -> HostedOrigin:
        """A server, not started yet."""
        certfile, keyfile = self.authority.issue([self.there.ipv4, self.there.ipv6])
        more = {"certfile": certfile, "keyfile": keyfile, "listen": EVERYWHERE, **options}
        return HostedOrigin(self.server, authority=self.authority, **more)

    def caller(self, **options: Any) -> Caller:
        """A client, not started yet."""
        return Caller(self.client, cafile=self.authority.cafile, **options)

    def url(self, origin: HostedOrigin, family: Family) -> str:
        """Where the client finds the origin. What is posted there is answered by its digest."""
        host = self.there.ipv4 if family == "IPv4" else f"[{self.there.ipv6}]"
        return f"https://{host}:{origin.port}/digest"


@contextmanager
def routed_path(authority: Authority, *, mtu: int = 1500) -> Iterator[RoutedPath]:
    """A path whose far link takes packets of `mtu` bytes. Where there can be none the test is
    skipped, or fails with QUIVER_REQUIRE_SERVERS=1.
    """
    with Network() as network:
        try:
            made = _made(network, authority, mtu)
        except Unavailable as error:
            if os.environ.get("QUIVER_REQUIRE_SERVERS") == "1":
                pytest.fail(f"{error}")
            pytest.skip(f"{error}")
        yield made


def _made(network: Network, authority: Authority, mtu: int) -> RoutedPath:
    client, router, server = (network.host() for _ in range(3))
    near, far = network.link(client, router), network.link(router, server, mtu=mtu)
    router.forward()
    client.route("default", via=near.of(router))
    server.route("default", via=far.of(router))
    return RoutedPath(authority, client, router, server, near, far, network)
