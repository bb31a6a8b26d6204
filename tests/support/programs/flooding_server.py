"""A server that answers the first request with a flood of frames or packets of QUIC.

See the tables `quic_floods`, `packet_floods` and `handshake_floods`.

    python flooding_server.py CERTIFICATE KEY FLOOD SECONDS

It writes its port to stdout, and in the end how many bytes it has sent. FLOOD "handshake: ..." is
sent in the place of a handshake.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Iterator
from typing import Any

from aioquic._buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ProtocolNegotiated, StreamDataReceived
from aioquic.quic.packet import pull_quic_header

from tests.support.servers.frames import SETTINGS
from tests.support.servers.handshake_floods import HANDSHAKES
from tests.support.servers.initial_packets import Initials
from tests.support.servers.packet_floods import PACKETS, Sealer
from tests.support.servers.quic_floods import FLOODS

BURST = 16  # datagrams
PAUSE = 0.0005  # seconds between two of them

OF_HANDSHAKE = "handshake: "
"""What the names of floods begin with that come in the place of a handshake."""


class Server(asyncio.DatagramProtocol):
    transport: asyncio.DatagramTransport

    def __init__(self, configuration: QuicConfiguration, flood: str, seconds: float) -> None:
        self._configuration = configuration
        self._flood = flood
        self._seconds = seconds
        self._quic: QuicConnection | None = None
        self._sealer: Sealer | None = None  # of who wants to hear what the client sends
        self._begun: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, datagram: bytes, address: Any) -> None:
        now = asyncio.get_running_loop().time()
        if self._begun:
            return None if self._sealer is None else self._sealer.take([datagram], now)
        if self._flood.startswith(OF_HANDSHAKE):
            flood = HANDSHAKES[self._flood.removeprefix(OF_HANDSHAKE)]
            return self._begin(flood(Initials(datagram)), address)
        if self._quic is None:
            header = pull_quic_header(Buffer(data=datagram), host_cid_length=8)
            self._quic = QuicConnection(
                configuration=self._configuration,
                original_destination_connection_id=header.destination_cid,
            )
        self._quic.receive_datagram(datagram, address, now)
        asked = False
        while (event := self._quic.next_event()) is not None:
            if isinstance(event, ProtocolNegotiated):
                for each in (b"\x00" + SETTINGS, b"\x02", b"\x03"):  # RFC 9114 6.2, 9204 4.2
                    free = self._quic.get_next_available_stream_id(is_unidirectional=True)
                    self._quic.send_stream_data(free, each)
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

    def _of_connection(self, quic: Any) -> Iterator[bytes]:
        sealer = Sealer(quic)
        if self._flood == "key updates":
            self._sealer = sealer
        if self._flood in PACKETS:
            return PACKETS[self._flood](sealer)
        return sealer.all_packets(FLOODS[self._flood])


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
