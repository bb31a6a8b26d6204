"""Hosts, links between them and routes: a network made of namespaces, with real ICMP.

    with Network() as network:
        client, router, server = (network.host() for _ in range(3))
        near, far = network.link(client, router), network.link(router, server, mtu=1400)
        router.forward()
        client.route("default", via=near.of(router))
        server.route("default", via=far.of(router))

Each link has a net of its own, for IPv4 and IPv6; each end of it has an address of both.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import Final, Literal, NamedTuple

from tests.support.network.namespaces import Namespace, Unavailable

__all__ = ["FAMILIES", "Addresses", "Family", "Host", "Link", "Network"]

Family = Literal["IPv4", "IPv6"]
FAMILIES: Final[tuple[Family, ...]] = ("IPv4", "IPv6")

_DEFAULTS: Final = {
    # No ICMP message is held back: it must come when it is waited for.
    "net.ipv4.icmp_ratelimit": "0",
    "net.ipv6.icmp.ratelimit": "0",
    # Addresses are unique here, and good at once.
    "net.ipv6.conf.all.accept_dad": "0",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.default.dad_transmits": "0",
    # A link that was down has the same addresses when it is up again, as with IPv4.
    "net.ipv6.conf.all.keep_addr_on_down": "1",
    "net.ipv6.conf.default.keep_addr_on_down": "1",
}


class Addresses(NamedTuple):
    """The addresses of one host on one link."""

    ipv4: str
    ipv6: str

    def of(self, family: Family) -> str:
        """Return the address of that family."""
        return self.ipv4 if family == "IPv4" else self.ipv6


class Host:
    """A namespace with links. A host of two links that is told to `forward` is a router."""

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.ip("link set lo up")
        self.sysctl(_DEFAULTS)

    def ip(self, *commands: str) -> None:
        """Carry out commands of `ip`, as it takes them after its name."""
        self.namespace.run(["ip", "-batch", "-"], "".join(f"{each}\n" for each in commands))

    def sysctl(self, values: dict[str, str]) -> None:
        """Set what the kernel has for this namespace alone.

        Raises:
            Unavailable: it is read-only here.
        """
        lines = [f"echo {v} > /proc/sys/{name.replace('.', '/')}" for name, v in values.items()]
        try:
            self.namespace.run(["sh", "-ec", "\n".join(lines)])
        except AssertionError as error:
            raise Unavailable(f"the network's settings are read-only here: {error}") from error

    def counted(self, name: str) -> int:
        """Read a count of the kernel: "Icmp OutDestUnreachs", "Icmp6OutPktTooBigs" ..."""
        table, _, column = name.rpartition(" ")
        if not table:
            lines = self.namespace.run(["cat", "/proc/net/snmp6"]).splitlines()
            return next(int(line.split()[1]) for line in lines if line.split()[0] == name)
        lines = self.namespace.run(["cat", "/proc/net/snmp"]).splitlines()
        names, values = [line.split() for line in lines if line.startswith(f"{table}:")]
        return int(values[names.index(column)])

    def forward(self) -> None:
        """Forward packets: be a router."""
        self.sysctl({"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"})

    def route(self, to: str | Addresses, via: Addresses | str) -> None:
        """Route `to` a host, or "default", by a neighbour; or to a dead end, by the name that `ip`
        has for it: "prohibit", "unreachable", "blackhole". A route that was there goes.
        """
        commands = []
        for family in FAMILIES:
            destination = to if isinstance(to, str) else to.of(family)
            way = f"via {via.of(family)}" if isinstance(via, Addresses) else ""
            kind = via if isinstance(via, str) else ""
            six = "-6 " if family == "IPv6" else ""
            commands.append(f"{six}route replace {kind} {destination} {way}")
        self._routes(commands)

    def unroute(self, to: Addresses, kind: str = "") -> None:
        """Take back what `route` did for a host."""
        self._routes([f"route del {kind} {to.ipv4}", f"-6 route del {kind} {to.ipv6}"])

    def _routes(self, commands: list[str]) -> None:
        self.ip_of("IPv4", *(each for each in commands if not each.startswith("-6 ")))
        sixes = [each.removeprefix("-6 ") for each in commands if each.startswith("-6 ")]
        self.ip_of("IPv6", *sixes)

    def ip_of(self, family: Family, *commands: str) -> None:
        """Carry out commands for one family: `ip -batch` has one for all."""
        text = "".join(f"{each}\n" for each in commands)
        self.namespace.run(["ip", "-4" if family == "IPv4" else "-6", "-batch", "-"], text)


class Link:
    """A wire between two hosts, whose ends are named alike on both."""

    def __init__(self, number: int, one: Host, other: Host, mtu: int) -> None:
        self.name = f"wire{number}"
        self._ends = {
            one: Addresses(f"10.77.{number}.1", f"fd77:0:0:{number}::1"),
            other: Addresses(f"10.77.{number}.2", f"fd77:0:0:{number}::2"),
        }
        peer = f"{self.name} netns {other.namespace.pid}"
        one.ip(f"link add name {self.name} type veth peer name {peer}")
        for host, addresses in self._ends.items():
            host.ip(
                f"link set {self.name} mtu {mtu} up",
                f"addr add {addresses.ipv4}/24 dev {self.name}",
                f"addr add {addresses.ipv6}/64 dev {self.name} nodad",
            )

    def of(self, host: Host) -> Addresses:
        """Return the addresses of one end."""
        return self._ends[host]

    def readdress(self, host: Host, number: int) -> Addresses:
        """Give one end other addresses, the last part of which is `number`; the former are gone,
        and with them the routes by neighbours there."""
        former, net = self._ends[host], self._ends[host].ipv4.rsplit(".", 1)[0]
        new = Addresses(f"{net}.{number}", f"{former.ipv6.rsplit(':', 1)[0]}:{number}")
        self.take_addresses(host)
        self.give_addresses(host, new)
        return new

    def take_addresses(self, host: Host) -> None:
        """Leave one end without any."""
        host.ip(f"addr flush dev {self.name} scope global")

    def give_addresses(self, host: Host, addresses: Addresses) -> None:
        """Give one end, which has none, these."""
        self._ends[host] = addresses
        host.ip(
            f"addr add {addresses.ipv4}/24 dev {self.name}",
            f"addr add {addresses.ipv6}/64 dev {self.name} nodad",
        )

    def set(self, what: str) -> None:
        """Change both ends: "mtu 1280", say."""
        for host in self._ends:
            self.set_at(host, what)

    def set_at(self, host: Host, what: str) -> None:
        """Change one end: "down", say. That takes the routes by it away too."""
        host.ip(f"link set {self.name} {what}")


class Network(contextlib.ExitStack):
    """Hosts and links that are gone at the end of the `with`."""

    def __init__(self) -> None:
        super().__init__()
        self._first: Namespace | None = None
        self._numbers = itertools.count(1)

    def host(self) -> Host:
        """Make a host, linked to nobody.

        Raises:
            Unavailable: this machine has none for us.
        """
        namespace = Namespace(self._first)
        self._first = self._first or namespace
        self.callback(namespace.close)
        return Host(namespace)

    def link(self, one: Host, other: Host, *, mtu: int = 1500) -> Link:
        """Make a wire between two hosts."""
        return Link(next(self._numbers), one, other, mtu)
