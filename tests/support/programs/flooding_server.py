"""A server that answers the first request with a flood of QUIC's frames: see `quic_floods`.

    python flooding_server.py CERTIFICATE KEY FLOOD SECONDS

It writes its port to stdout. FLOOD "handshake: ..." is sent in the place of a handshake.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from aioquic._buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import StreamDataReceived
from aioquic.quic.packet import pull_quic_header
from aioquic.tls import Epoch

from quiver.quic.aioquic.fast_send import short_header
from tests.support.servers.initial_packets import Initials, crypto_frame
from tests.support.servers.quic_floods import FLOODS, Facts, payloads

BURST = 16  # datagrams
PAUSE = 0.0005  # seconds between two of them

HANDSHAKES: dict[str, Callable[[], Iterator[bytes]]] = {
    "handshake: CRYPTO with holes": lambda: (crypto_frame(n, b"x") for n in itertools.count(1, 2)),
    "handshake: the same CRYPTO": lambda: itertools.repeat(crypto_frame(3, b"x")),
    "handshake: a message of 16 MB": lambda: itertools.chain(
        [crypto_frame(0, b"\x02\xff\xff\xff")],
        (crypto_frame(4 + 900 * n, bytes(900)) for n in itertools.count()),
    ),
    "handshake: a message of 128 kB, byte by byte": lambda: itertools.chain(
        [crypto_frame(0, b"\x02\x02\x00\x00")],
        (crypto_frame(4 + n, b"x") for n in itertools.count()),
    ),
}


class Server(asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport

    def __init__(self, configuration: QuicConfiguration, flood: str, seconds: float) -> None:
        self._configuration = configuration
        self._flood = flood
        self._seconds = seconds
        self._quic: QuicConnection | None = None
        self._begun: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, datagram: bytes, address: Any) -> None:
        now = asyncio.get_running_loop().time()
        if self._begun:
            return None
        if self._flood in HANDSHAKES:
            return self._begin(self._of_handshake(datagram), address)
        if self._quic is None:
            header = pull_quic_header(Buffer(data=datagram), host_cid_length=8)
            self._quic = QuicConnection(
                configuration=self._configuration,
                original_destination_connection_id=header.destination_cid,
            )
        self._quic.receive_datagram(datagram, address, now)
        asked = False
        while (event := self._quic.next_event()) is not None:
            asked |= isinstance(event, StreamDataReceived) and event.stream_id == 0
        for each, to in self._quic.datagrams_to_send(now):
            self.transport.sendto(each, to)
        if asked:
            self._begin(self._of_connection(self._quic), address)
        return None

    def _begin(self, datagrams: Iterator[bytes], address: Any) -> None:
        self._begun.add(asyncio.get_running_loop().create_task(self._pour(datagrams, address)))

    async def _pour(self, datagrams: Iterator[bytes], address: Any) -> None:
        end, sent = time.monotonic() + self._seconds, 0
        while time.monotonic() < end:
            for each in itertools.islice(datagrams, BURST):
                self.transport.sendto(each, address)
                sent += len(each)
            await asyncio.sleep(PAUSE)
        print(sent, flush=True)

    def _of_handshake(self, first: bytes) -> Iterator[bytes]:
        initials = Initials(first)
        frames = HANDSHAKES[self._flood]
        return map(initials.packet, payloads(lambda _: frames(), Facts(0, 0)))

    def _of_connection(self, quic: Any) -> Iterator[bytes]:
        keys, cid = quic._cryptos[Epoch.ONE_RTT], quic._peer_cid.cid
        tls = quic._crypto_streams[Epoch.ONE_RTT].sender._buffer_stop
        facts = Facts(tls, quic._spaces[Epoch.ONE_RTT].largest_received_packet)
        for payload in payloads(FLOODS[self._flood], facts):
            number = quic._packet_number
            quic._packet_number += 1
            header = short_header(quic._spin_bit, keys.key_phase, cid, number)
            yield keys.encrypt_packet(header, payload.ljust(4, b"\x00"), number)


async def main(certificate: str, key: str, flood: str, seconds: str) -> None:
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    configuration.load_cert_chain(certificate, key)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Server(configuration, flood, float(seconds)), local_addr=("127.0.0.1", 0)
    )
    print(transport.get_extra_info("sockname")[1], flush=True)
    await asyncio.sleep(60.0)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
