"""AsyncUpload: reads an async iterable into an outlet, in a task of the loop that it belongs to."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import AsyncIterator

from quiver.request import Request
from quiver.source import AsyncSource, Source
from quiver.upload import Errands, Outlet, Upload

__all__ = ["AsyncUpload", "upload_of"]


class AsyncUpload(Upload):
    """An upload that blocks no thread: filling it is a task, which ends when the outlet is full."""

    _task: concurrent.futures.Future[None] | None = None

    def start(self, errands: Errands, *, apart: bool) -> None:  # noqa: ARG002 - it needs neither
        source = self._source
        assert isinstance(source, AsyncSource)
        filling = self._fill(source)
        try:
            self._task = asyncio.run_coroutine_threadsafe(filling, source.loop)
        except RuntimeError as error:  # the loop is closed
            filling.close()
            self.filling = False
            self.outlet.fail(error)

    async def _fill(self, source: AsyncSource) -> None:
        outlet = self.outlet
        try:
            if self._pieces is None and not outlet.closed and self._claim.acquire(False):
                self._pieces = source.aopen()
            while not (outlet.closed or outlet.ended or outlet.full):
                self._take(source.checked(await self._next()))
        except asyncio.CancelledError as error:
            outlet.fail(error)
            raise
        except Exception as error:  # noqa: BLE001 - whatever the iterator raised is the answer
            outlet.fail(error)
        finally:
            self.filling = False
            outlet.tell()
        if outlet.closed:
            await self._aclose()

    async def _next(self) -> bytes:
        """The next piece that is not empty; an empty one at the end."""
        pieces: AsyncIterator[bytes] = self._pieces
        async for piece in pieces:
            if piece:
                return piece
        return b""

    async def _aclose(self) -> None:
        pieces, self._pieces = self._pieces, None
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()


def upload_of(request: Request, outlet: Outlet) -> Upload:
    """The upload that reads this request's body."""
    body: bytes | Source | None = request.body
    return (AsyncUpload if isinstance(body, AsyncSource) else Upload)(request, outlet)
