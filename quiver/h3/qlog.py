"""qlog files, one per connection, for people who look into connections."""

from __future__ import annotations

import logging
import os
from typing import Any

from aioquic.quic.logger import QuicFileLogger, QuicLoggerTrace

from quiver.errors import InvalidOptions

__all__ = ["QlogFolder"]

_logger = logging.getLogger("quiver.qlog")


class _Trace(QuicLoggerTrace):
    def _encode_http3_headers(self, headers: list[tuple[bytes, bytes]]) -> list[dict[str, Any]]:
        # aioquic takes every value for UTF-8, and fails on those that are not.
        return [
            {"name": name.decode("latin-1"), "value": value.decode("latin-1")}
            for name, value in headers
        ]


class QlogFolder(QuicFileLogger):
    """Writes one file into `path` when a connection has ended. Raises InvalidOptions."""

    def __init__(self, path: str) -> None:
        if not os.path.isdir(path):
            raise InvalidOptions(f"qlog_dir={path!r}: must be the path of a folder that exists")
        super().__init__(path)

    def start_trace(self, is_client: bool, odcid: bytes) -> QuicLoggerTrace:
        trace = _Trace(is_client=is_client, odcid=odcid)
        self._traces.append(trace)
        return trace

    def end_trace(self, trace: QuicLoggerTrace) -> None:
        try:
            super().end_trace(trace)
        except OSError:  # the folder is gone, or full: not a reason to lose a connection
            _logger.exception("no qlog written to %s", self.path)
            self._traces.remove(trace)
