"""qlog files, one per connection, for people who look into connections.

An event is written when it happens: nothing is held, and what a crash leaves is complete up to it.
For that the end of the JSON follows each event, and the next one is put in its place. The files are
for their owner alone, and values of fields that may be credentials are left out, as are queries.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
from collections.abc import Sequence
from typing import Any, Final

from aioquic.quic.logger import QuicLogger, QuicLoggerTrace

from quiver.errors import InvalidOptions
from quiver.redaction import redacted_field

__all__ = ["QlogFolder", "QlogTrace"]

_logger = logging.getLogger("quiver.qlog")

_VERSION: Final = {"qlog_format": "JSON", "qlog_version": "0.3"}
_END: Final = b"]}]}"
_PACKETS: Final = frozenset(
    ("datagrams_received", "packet_received", "packet_sent", "datagrams_sent")
)
_RECEIVED: Final = "transport:packet_received"
_MOST_HELD: Final = 1_000  # events
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class QlogTrace(QuicLoggerTrace):
    """What happened on one connection; HTTP/3 adds its frames (`quiver.quic.engine.Trace`).

    Args:
        file: where it is written.
        credentials: whether all fields are written as they are.
    """

    def __init__(self, odcid: bytes, file: _QlogFile, *, credentials: bool) -> None:
        super().__init__(is_client=True, odcid=odcid)
        self._file = file
        self._credentials = credentials
        self._held: list[dict[str, Any]] = []  # what has happened in handling the last packet
        self.odcid = odcid
        begun = self.to_dict()
        head = {key: value for key, value in begun.items() if key != "events"}
        text = json.dumps({**_VERSION, "traces": [{**head, "events": []}]})
        file.begin(text.encode().removesuffix(_END))

    def log_event(self, *, category: str, event: str, data: dict[str, Any]) -> None:
        time = self.encode_time(datetime.datetime.now(datetime.UTC).timestamp())
        if event in _PACKETS or len(self._held) >= _MOST_HELD:
            self._write_held()
        self._held.append({"data": data, "name": f"{category}:{event}", "time": time})
        if self._held[0]["name"] != _RECEIVED:
            self._write_held()

    def _write_held(self) -> None:
        """Write a packet that has come, and what came of it: aioquic tells of it first, and fills
        the list of its frames as it takes them."""
        held, self._held = self._held, []
        for noted in held:
            self._file.add(json.dumps(noted).encode())

    def close(self) -> None:
        self._write_held()
        self._file.close()

    def headers(
        self, event: str, stream_id: int, size: int, fields: Sequence[tuple[bytes, bytes]]
    ) -> None:
        named = [self._field(name.decode("latin-1"), value) for name, value in fields]
        self._frame(event, stream_id, size, {"frame_type": "headers", "headers": named})

    def content(self, event: str, stream_id: int, size: int) -> None:
        self._frame(event, stream_id, size, {"frame_type": "data"})

    def stream_type(self, stream_id: int, name: str) -> None:
        set_to = {"new": name, "stream_id": stream_id}
        self.log_event(category="http", event="stream_type_set", data=set_to)

    def _field(self, name: str, value: bytes) -> dict[str, str]:
        text = value.decode("latin-1")
        return {"name": name, "value": text if self._credentials else redacted_field(name, text)}

    def _frame(self, event: str, stream_id: int, size: int, frame: dict[str, Any]) -> None:
        noted = {"frame": frame, "length": size, "stream_id": stream_id}
        self.log_event(category="http", event=event, data=noted)


class _QlogFile:
    """A JSON document whose last array grows. What the disk refuses is told once, and given up."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._size = 0  # of all but the end
        self._empty = True

    def begin(self, head: bytes) -> None:
        try:
            self._descriptor = os.open(self._path, _NEW, 0o600)
            self._put(head)
        except OSError:
            self._give_up()

    def add(self, event: bytes) -> None:
        if self._descriptor is None:
            return
        try:
            self._put(event if self._empty else b",\n" + event)
        except OSError:
            self._give_up()
        self._empty = False

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def __del__(self) -> None:
        self.close()  # of a connection that crashed, or of a parent's in a forked child

    def _put(self, text: bytes) -> None:
        assert self._descriptor is not None
        os.pwrite(self._descriptor, text + _END, self._size)
        self._size += len(text)

    def _give_up(self) -> None:
        """The folder is gone, or full: not a reason to lose a connection."""
        _logger.exception("no qlog written to %s", self._path)
        self.close()


class QlogFolder(QuicLogger):
    """Keeps a file in `path` for each connection. Raises InvalidOptions.

    Args:
        path: a folder that exists.
        credentials: whether all fields are written as they are, those with secrets, too.
    """

    def __init__(self, path: str, *, credentials: bool = False) -> None:
        if not os.path.isdir(path):
            raise InvalidOptions(f"qlog_dir={path!r}: must be the path of a folder that exists")
        super().__init__()
        self.path = path
        self._credentials = credentials
        self._open: dict[bytes, QlogTrace] = {}  # by the id that names the connection

    def start_trace(self, is_client: bool, odcid: bytes) -> QlogTrace:
        assert is_client
        file = _QlogFile(os.path.join(self.path, f"{odcid.hex()}.qlog"))
        trace = self._open[odcid] = QlogTrace(odcid, file, credentials=self._credentials)
        return trace

    def trace_of(self, odcid: bytes) -> QlogTrace | None:
        """That of the connection which was begun with this id, until it has ended."""
        return self._open.get(odcid)

    def end_trace(self, trace: QuicLoggerTrace) -> None:
        assert isinstance(trace, QlogTrace)
        self._open.pop(trace.odcid, None)
        trace.close()
