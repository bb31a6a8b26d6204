"""aioquic's asyncio client, set up as aioquic's HTTP/3 example has it."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import attrs
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ConnectionTerminated, QuicEvent

from benchmarks.workloads.closed_loop import TaskCallers
from benchmarks.workloads.load import Load, Settings, check

__all__ = ["AioquicTasks"]


@attrs.define(eq=False)
class _Answer:
    done: asyncio.Future[None]
    status: int = 0
    size: int = 0


class _Protocol(QuicConnectionProtocol):
    """One connection; `fetch` opens a stream and waits for its end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._h3 = H3Connection(self._quic)
        self._answers: dict[int, _Answer] = {}

    async def fetch(self, authority: bytes, path: bytes, body: bytes | None) -> _Answer:
        stream_id = self._quic.get_next_available_stream_id()
        fields = [
            (b":method", b"GET" if body is None else b"POST"),
            (b":scheme", b"https"),
            (b":authority", authority),
            (b":path", path),
        ]
        answer = self._answers[stream_id] = _Answer(self._loop.create_future())
        self._h3.send_headers(stream_id, fields, end_stream=body is None)
        if body is not None:
            self._h3.send_data(stream_id, body, end_stream=True)
        self.transmit()
        await answer.done
        return answer

    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, ConnectionTerminated):
            error = ConnectionError(event.reason_phrase or hex(event.error_code))
            for answer in self._answers.values():
                answer.done.set_exception(error)
            self._answers.clear()
        for h3_event in self._h3.handle_event(event):
            self._take(h3_event)

    def _take(self, event: H3Event) -> None:
        if not isinstance(event, HeadersReceived | DataReceived):
            return
        answer = self._answers[event.stream_id]
        if isinstance(event, HeadersReceived):
            answer.status = int(dict(event.headers).get(b":status", b"0"))
        else:
            answer.size += len(event.data)
        if event.stream_ended:
            del self._answers[event.stream_id]
            answer.done.set_result(None)


class AioquicTasks(TaskCallers):
    """One connection to each origin, shared by all tasks."""

    def __init__(self, settings: Settings) -> None:
        self._cafile = settings.cafile
        self._stack = AsyncExitStack()
        self._opened: dict[str, asyncio.Task[_Protocol]] = {}

    async def ask(self, url: str, load: Load) -> None:
        parts = urlsplit(url)
        if parts.netloc not in self._opened:
            self._opened[parts.netloc] = asyncio.ensure_future(self._open(parts.port or 443))
        protocol = await self._opened[parts.netloc]
        answer = await protocol.fetch(parts.netloc.encode(), parts.path.encode(), load.body)
        check(load, 3, 3, answer.status, answer.size)

    async def aclose(self) -> None:
        await self._stack.aclose()

    async def _open(self, port: int) -> _Protocol:
        configuration = QuicConfiguration(alpn_protocols=["h3"], server_name="localhost")
        configuration.load_verify_locations(self._cafile)
        opening = connect("127.0.0.1", port, configuration=configuration, create_protocol=_Protocol)
        protocol = await self._stack.enter_async_context(opening)
        assert isinstance(protocol, _Protocol)
        return protocol
