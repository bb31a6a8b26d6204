"""What one who has seen our first packet can do to a handshake: end it, and no more than that."""

from __future__ import annotations

import pytest

from quiver.config import PoolConfig
from quiver.origin import Origin
from quiver.quic.aioquic.configuration import make_configuration
from quiver.quic.aioquic.engine import AioquicEngine
from quiver.quic.codes import CRYPTO_ERROR, TransportCode
from quiver.quic.engine import ConnectionClosed, Event
from tests.support.servers.initial_packets import Initials, crypto_frame

UNKNOWN = 0x1A2A3A4A
DECODE_ERROR = CRYPTO_ERROR + 50


class Dialled:
    """An engine whose first packet is on its way."""

    def __init__(self, fast_paths: bool = True) -> None:
        configuration = make_configuration(PoolConfig(verify=False), Origin("https", "a", 443))
        self.engine = AioquicEngine(configuration, fast_paths=fast_paths)
        self.engine.connect(0.0)
        self.initials = Initials(self.sent()[0])

    def sent(self) -> list[bytes]:
        return self.engine.datagrams(0.0)

    def take(self, *datagrams: bytes) -> list[Event]:
        self.engine.receive(datagrams, 0.0)
        return list(self.engine.events())


@pytest.fixture(params=[True, False], ids=["fast", "plain"])
def dialled(request: pytest.FixtureRequest) -> Dialled:
    return Dialled(request.param)


# Version Negotiation (RFC 9000 6.2) ------------------------------------------------------------


def test_it_ends_the_handshake_if_both_ids_are_right(dialled: Dialled) -> None:
    (closed,) = dialled.take(dialled.initials.negotiation(UNKNOWN))
    assert isinstance(closed, ConnectionClosed)
    assert "common protocol version" in closed.reason


@pytest.mark.parametrize("source", [b"", b"another!"])
def test_one_from_another_id_is_not_the_servers(dialled: Dialled, source: bytes) -> None:
    assert dialled.take(dialled.initials.negotiation(UNKNOWN, source=source)) == []
    assert not dialled.engine.answered


def test_one_that_comes_after_a_retry_is_too_late(dialled: Dialled) -> None:
    assert dialled.take(dialled.initials.retry()) == []
    anew = Initials(dialled.sent()[0])
    assert anew.chosen != dialled.initials.chosen
    for each in (dialled.initials, anew):
        assert dialled.take(each.negotiation(UNKNOWN)) == []
    assert not dialled.engine.answered


# TLS messages ----------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [False, True])
def test_a_message_of_16_megabytes_is_refused_at_its_head(dialled: Dialled, again: bool) -> None:
    """Also after a Retry, with which TLS begins anew."""
    if again:
        dialled.take(dialled.initials.retry())
        dialled.initials = Initials(dialled.sent()[0])
    head = b"\x02\xff\xff\xff"
    (closed,) = dialled.take(dialled.initials.packet(crypto_frame(0, head)))
    assert isinstance(closed, ConnectionClosed)
    assert closed.code == DECODE_ERROR
    assert "16777215 bytes was announced" in closed.reason


# CRYPTO frames with holes before them (RFC 9000 7.5) ----------------------------------------------


def test_pieces_that_wait_are_bounded_before_any_certificate_was_seen(dialled: Dialled) -> None:
    frames = [crypto_frame(offset, b"x") for offset in range(2, 600, 2)]
    (closed,) = dialled.take(
        *[dialled.initials.packet(b"".join(frames[at : at + 100])) for at in range(0, 300, 100)]
    )
    assert isinstance(closed, ConnectionClosed)
    assert closed.code == TransportCode.CRYPTO_BUFFER_EXCEEDED
    assert "257 pieces within 515 bytes of TLS wait, above 256 or 131072" in closed.reason


def test_so_are_the_bytes_up_to_them(dialled: Dialled) -> None:
    assert dialled.take(dialled.initials.packet(crypto_frame(128 * 1024 - 1, b"x"))) == []
    (closed,) = dialled.take(dialled.initials.packet(crypto_frame(128 * 1024, b"x")))
    assert isinstance(closed, ConnectionClosed)
    assert closed.code == TransportCode.CRYPTO_BUFFER_EXCEEDED
