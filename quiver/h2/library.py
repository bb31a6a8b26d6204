"""h2's connection, where a pool needs it otherwise. No other file knows h2's inside.

* h2 takes no frame after a GOAWAY, and drops what it was to send; but the streams up to the last
  id go on (RFC 9113 6.8).
* It answers each DATA frame of a stream that we have reset by another RST_STREAM. Of a long answer
  hundreds are on their way then, and servers take so many resets for an attack (CVE-2023-44487).
* A response whose length is not what its content-length says costs the connection. It is the
  stream's fault alone (8.1.1), and whoever counts its bytes anyway sees to it.
* It lets a server begin by another frame than SETTINGS, and reset what was never opened.
* What it reports of frames before one that breaks HTTP/2 is lost with that. So it is asked frame by
  frame.

Fields are checked by no code of h2's, in neither direction: requests are checked when they are
made, responses where HTTP/3's are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event
from h2.exceptions import FrameTooLargeError, ProtocolError
from h2.stream import H2Stream
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import DataFrame, SettingsFrame

from quiver.h2.field_blocks import FieldDecoder, FieldEncoder

if TYPE_CHECKING:
    from h2.exceptions import StreamClosedError
    from hyperframe.frame import Frame, GoAwayFrame, RstStreamFrame

__all__ = ["Library", "NothingSaid"]

_CONFIGURATION: Final = H2Configuration(
    client_side=True,
    header_encoding=None,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
)


_SPARE: Final = 64


class NothingSaid(Event):
    """A frame that means nothing any more, such as a reset of what is gone."""


_NOTHING: Final[list[Event]] = [NothingSaid()]


class Library(H2Connection):
    """A client's connection, which takes header sections of up to `max_header_size` bytes."""

    MAX_CLOSED_STREAMS = 4096  # whose late frames are known for what they are

    def __init__(self, max_header_size: int) -> None:
        super().__init__(_CONFIGURATION)
        self.encoder, self.decoder = FieldEncoder(), FieldDecoder(max_header_size)
        self._greeted = False
        self._look_at = _SPARE  # how many streams are kept before it is looked which have closed

    def take(self, content: bytes) -> Iterator[Event]:
        """What each frame says, in its turn; a NothingSaid for one that says nothing.

        Raises h2.exceptions.ProtocolError at the first that breaks HTTP/2.
        """
        frames = self.incoming_buffer
        frames.add_data(content)
        frames.max_frame_size = self.max_inbound_frame_size
        try:
            for frame in frames:
                if not self._greeted:
                    self._greet(frame)
                yield from self._receive_frame(frame) or _NOTHING
        except HyperframeError as error:
            raise ProtocolError(f"{error}") from error
        # h2 itself looks when the whole of a frame is there.
        if int.from_bytes(frames._data[:3], "big") > frames.max_frame_size:
            raise FrameTooLargeError("Received overlong frame")

    def _receive_frame(self, frame: Frame) -> list[Event]:
        """Those that bodies come in go by h2's log, which describes each: that takes as long as all
        the rest."""
        if type(frame) is not DataFrame:
            return super()._receive_frame(frame)
        frames, events = self._receive_data_frame(frame)
        self._prepare_for_sending(frames)
        return events

    def _greet(self, frame: Frame) -> None:
        """The first one: it has to be SETTINGS (RFC 9113 3.4)."""
        if not isinstance(frame, SettingsFrame) or "ACK" in frame.flags:
            raise ProtocolError("the first frame is no SETTINGS")
        self._greeted = True

    def _receive_rst_stream_frame(self, frame: RstStreamFrame) -> tuple[list[Frame], list[Event]]:
        """RFC 9113 6.4 lets nobody reset what was never opened."""
        if not frame.stream_id & 1 or frame.stream_id > self.highest_outbound_stream_id:
            raise ProtocolError(f"RST_STREAM of stream {frame.stream_id}, which was never opened")
        return super()._receive_rst_stream_frame(frame)

    @property
    def open_outbound_streams(self) -> int:
        """Whoever opens streams knows how many are open: it is not counted anew for each. What has
        closed is let go now and then."""
        if len(self.streams) >= self._look_at:
            self._look_at = super().open_outbound_streams + _SPARE
        return 0

    def _begin_new_stream(self, stream_id: int, allowed_ids: Any) -> H2Stream:
        stream = super()._begin_new_stream(stream_id, allowed_ids)
        stream.__class__ = _Stream
        return stream

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> tuple[list[Frame], list[Event]]:
        said = ConnectionTerminated()
        said.error_code, said.last_stream_id = frame.error_code, frame.last_stream_id
        said.additional_data = frame.additional_data
        return [], [said]

    def _handle_data_on_closed_stream(
        self,
        events: list[Event],
        exc: StreamClosedError,  # noqa: ARG002
        frame: DataFrame,
    ) -> tuple[list[Frame], list[Event]]:
        late = DataReceived(stream_id=frame.stream_id)
        late.data, late.flow_controlled_length = b"", frame.flow_controlled_length
        return [], [*events, late]


class _Stream(H2Stream):
    def _initialize_content_length(self, headers: Iterable[Any]) -> None:
        """Leave it to whoever counts."""

    def _track_content_length(self, length: int, end_stream: bool) -> None:
        """As above."""
