"""aioquic's connection with the fast paths in it: what it calls of them is handed over."""

from __future__ import annotations

from typing import Any

from aioquic._buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.tls import Epoch

from quiver.quic.aioquic.after_handshake import FrameHandlers, forget_handshake
from quiver.quic.aioquic.congestion import CONTROLS
from quiver.quic.aioquic.connection import Connection, stream_of
from quiver.quic.aioquic.fast_receive import FastReceive
from quiver.quic.aioquic.fast_send import FastSend
from quiver.quic.aioquic.recovery import Pacer, Recovery
from quiver.quic.engine import SessionTicket
from quiver.quic.send_pieces import SendPieces

__all__ = ["FastConnection"]


class FastConnection(Connection):
    """Holds `fast_send` and `fast_receive`; on a release of aioquic that they are proved with."""

    def __init__(
        self,
        configuration: QuicConfiguration,
        ticket: SessionTicket | None = None,
        early: bool = False,
    ) -> None:
        self.fast_send = FastSend(self, configuration.max_datagram_size)
        self.fast_receive = FastReceive(self, self.fast_send)
        # In place of a method: aioquic looks its handlers up once, when it is made, and calls this
        # one for most frames.
        self._handle_stream_frame = self.fast_receive.stream_frame  # type: ignore[method-assign]
        super().__init__(configuration, ticket, early)
        self._QuicConnection__frame_handlers: Any = FrameHandlers(
            self, self._QuicConnection__frame_handlers
        )
        loss: Any = Recovery(
            congestion_control_algorithm=configuration.congestion_control_algorithm,
            initial_rtt=configuration.initial_rtt,
            logger=self._logger,
            max_datagram_size=self._max_datagram_size,
            peer_completed_address_validation=False,
            quic_logger=self._quic_logger,
            send_probe=self._send_probe,
        )
        made = CONTROLS[configuration.congestion_control_algorithm]
        loss._cc = made(max_datagram_size=self._max_datagram_size)
        loss._pacer = Pacer(loss, max_datagram_size=self._max_datagram_size)
        self._loss = loss

    def _parse_transport_parameters(self, data: bytes, from_session_ticket: bool = False) -> None:
        super()._parse_transport_parameters(data, from_session_ticket)
        self.fast_send.path.bound(self.peer_parameters.max_udp_payload_size)

    def _get_or_create_stream_for_send(self, stream_id: int) -> Any:
        self.fast_send.serve(stream_id)
        stream: Any = super()._get_or_create_stream_for_send(stream_id)
        if not stream.sender._buffer_stop:  # it is new
            stream.sender._buffer = SendPieces()
        return stream

    def forget_streams(self) -> None:
        super().forget_streams()
        self.fast_send.forget_streams()

    def _confirm_handshake(self) -> None:
        super()._confirm_handshake()
        forget_handshake(self)
        if self._quic_logger is not None:
            return  # only aioquic's own ways tell it what passes
        space, keys = self._spaces[Epoch.ONE_RTT], self._cryptos[Epoch.ONE_RTT]
        self.fast_send.confirmed(space, keys)
        self.fast_receive.confirmed(space, keys)

    def _handle_padding_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        # aioquic goes through it byte by byte, and it is most of a first packet.
        at, end = buf.tell(), buf.capacity
        buf.seek(end - len(buf.data_slice(at, end).lstrip(b"\0")))
        super()._handle_padding_frame(context, frame_type, buf)

    def _handle_reset_stream_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        self.fast_send.serve(stream_of(buf))
        super()._handle_reset_stream_frame(context, frame_type, buf)

    def _handle_stop_sending_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        self.fast_send.serve(stream_of(buf))
        super()._handle_stop_sending_frame(context, frame_type, buf)
