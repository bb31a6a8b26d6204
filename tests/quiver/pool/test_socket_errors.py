"""What an error of the socket means, and how it is put into words."""

from __future__ import annotations

import errno

import pytest

from quiver.pool.socket_errors import Meaning, SocketError


@pytest.mark.parametrize(
    ("number", "meaning"),
    [
        (errno.ECONNREFUSED, Meaning.REFUSED),
        *[
            (number, Meaning.UNREACHABLE)
            for number in (
                errno.EHOSTUNREACH,
                errno.ENETUNREACH,
                errno.EACCES,
                errno.EPERM,
                errno.EADDRNOTAVAIL,
                errno.EINVAL,
                errno.ENETDOWN,
                errno.ENOTCONN,
            )
        ],
        *[
            (number, Meaning.LOST)
            for number in (errno.ENOBUFS, errno.ENOMEM, errno.EIO, errno.EPROTO, errno.EPIPE)
        ],
        (0, Meaning.LOST),
        (100_000, Meaning.LOST),
    ],
)
@pytest.mark.parametrize("local", [True, False])
def test_meanings(number: int, meaning: Meaning, local: bool) -> None:
    assert SocketError(number, local).meaning is meaning


def test_only_the_link_itself_knows_what_is_too_long_for_it() -> None:
    """A router's word on the path is a stranger's; probes find out about it."""
    assert SocketError(errno.EMSGSIZE, local=True).meaning is Meaning.TOO_LONG
    assert SocketError(errno.EMSGSIZE, local=False).meaning is Meaning.LOST


def test_every_errno_has_a_meaning_and_words() -> None:
    for number in [*errno.errorcode, 100_000]:
        for local in (True, False):
            met = SocketError(number, local)
            assert met.meaning in Meaning and str(met)


@pytest.mark.parametrize(
    ("met", "said"),
    [
        (SocketError(errno.EHOSTUNREACH, local=False), "No route to host (EHOSTUNREACH)"),
        (
            SocketError(errno.EMSGSIZE, local=True),
            "Message too long (EMSGSIZE): a link of this machine takes no datagram of that size",
        ),
        (
            SocketError(errno.EPERM, local=True),
            "Operation not permitted (EPERM): a firewall or a route of this machine prohibits it",
        ),
        (SocketError(errno.EACCES, local=False), "Permission denied (EACCES)"),
    ],
)
def test_in_words(met: SocketError, said: str) -> None:
    assert str(met) == said
