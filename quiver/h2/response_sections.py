"""The sections of one response as events: what HTTP/3 takes and refuses, HTTP/2 does (RFC 9113 8).

A section that is malformed or too large becomes the event that says so, the last of its stream.
"""

from __future__ import annotations

from typing import Final

from quiver.h3 import events
from quiver.h3.headers import Fields, Malformed, response_of, section_size, trailers_of

__all__ = ["Response"]

_SHORT: Final = 16_384  # bytes of a section whose fields are worth to be remembered


class Response:
    """What has come of one.

    Args:
        limit: bytes of a section, as RFC 9113 10.5.1 counts; of interim ones all together, or they
            could go on for ever.
    """

    __slots__ = ("_interim", "_limit", "_stream_id")

    def __init__(self, stream_id: int, limit: int) -> None:
        self._stream_id = stream_id
        self._limit = limit
        self._interim = 0

    def final(self, section: Fields, ended: bool) -> events.Event:
        """The final header section."""
        size = section_size(section)
        if size > self._limit:
            return events.HeadersTooLarge(self._stream_id, size, self._limit)
        try:
            status, fields = response_of(section, size <= _SHORT)
        except Malformed as fault:
            return events.StreamMalformed(self._stream_id, str(fault))
        return events.Headers(self._stream_id, status, fields, ended)

    def interim(self, section: Fields) -> events.Event:
        """One of an interim response."""
        self._interim += section_size(section)
        if self._interim > self._limit:
            return events.HeadersTooLarge(self._stream_id, self._interim, self._limit)
        try:
            status, fields = response_of(section)
        except Malformed as fault:
            return events.StreamMalformed(self._stream_id, str(fault))
        return events.Informational(self._stream_id, status, fields)

    def trailers(self, section: Fields) -> events.Event:
        """The trailer section."""
        size = section_size(section)
        if size > self._limit:
            return events.HeadersTooLarge(self._stream_id, size, self._limit)
        try:
            return events.TrailersReceived(self._stream_id, trailers_of(section))
        except Malformed as fault:
            return events.StreamMalformed(self._stream_id, str(fault))
