"""From which address a server is reached."""

from __future__ import annotations

import errno
import socket
import sys
from typing import Any

import pytest

from quiver.pool import local_address
from quiver.pool.local_address import host_of, is_of_link_alone, is_ours, local_host_to

LOOPBACK = (socket.AF_INET, ("127.0.0.1", 443))


def test_the_loopback_is_reached_from_there() -> None:
    assert local_host_to(LOOPBACK) == "127.0.0.1"


def test_what_cannot_be_reached_raises() -> None:
    with pytest.raises(OSError):
        local_host_to((socket.AF_INET, ("255.255.255.255", 443)))


def test_a_host_has_its_scope() -> None:
    assert host_of(("127.0.0.1", 443)) == "127.0.0.1"
    assert host_of(("2001:db8::1", 443, 0, 0)) == "2001:db8::1"
    assert host_of(("fe80::1", 443, 0, 2)) == "fe80::1%2" != host_of(("fe80::1", 443, 0, 3))


def test_which_hosts_are_of_a_link_alone() -> None:
    for host in ("fe80::1", "fe80::1%2", "febf::1%eth0"):
        assert is_of_link_alone(host)
    for host in ("127.0.0.1", "169.254.1.1", "::1", "2001:db8::1", "fd00::1", "fec0::1"):
        assert not is_of_link_alone(host)


@pytest.mark.skipif(sys.platform != "linux", reason="others have one address there")
def test_whose_an_address_is() -> None:
    assert is_ours(socket.AF_INET, ("127.0.0.77", 5000))
    assert not is_ours(socket.AF_INET, ("192.0.2.1", 5000))


def test_without_a_descriptor_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: Any) -> Any:
        raise OSError(errno.EMFILE, "none")

    monkeypatch.setattr(local_address, "_Socket", none_left)
    assert local_host_to(LOOPBACK) is None
    assert is_ours(socket.AF_INET, ("192.0.2.1", 5000))
