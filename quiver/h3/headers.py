"""Field sections, both ways: a Request as fields (RFC 9114 4.3.1), a response; and as blocks."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Final

import pylsqpack

from quiver import fields
from quiver.fields import Pairs
from quiver.h3.codes import ErrorCode
from quiver.h3.protocol_error import ProtocolError
from quiver.h3.settings import ServerSettings
from quiver.origin import Origin
from quiver.request import OpenChannel, Request
from quiver.request_options import HeaderPairs

__all__ = [
    "Fields",
    "Malformed",
    "Qpack",
    "content_length",
    "request_fields",
    "response_of",
    "section_size",
    "trailer_fields",
    "trailers_of",
]

Fields = list[tuple[bytes, bytes]]

_CONTENT_EXPECTED: Final = frozenset({"POST", "PUT", "PATCH"})
_STATUS: Final = re.compile(rb"[1-9][0-9][0-9]")
_PLAIN_VALUE: Final = re.compile(rb"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")

_NO_FIELDS: Final = b"\x00\x00"
"""A header block without fields (RFC 9204 4.5.1): trailers can be that, but ls-qpack refuses it."""


class Malformed(Exception):
    """A header section that makes its message malformed (RFC 9114 4.1.2); says how."""


# out ----------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _pseudo_headers(method: str, origin: Origin) -> Fields:
    """Those that many requests have in common."""
    authority = origin.authority.encode("ascii")
    return [
        (b":method", method.encode("ascii")),
        (b":scheme", b"https"),
        (b":authority", authority),
    ]


def request_fields(
    request: Request,
    origin: Origin,
    user_agent: str | None = None,
    alternative: str | None = None,
) -> Fields:
    """The fields of `request` for `origin`: pseudo-headers first, a `host` field among them.

    A body brings its content-length along if it is known, and so does its absence where one is
    expected: POST, PUT and PATCH without a body say 0 (RFC 9110 8.6). A request that names no user
    agent goes by `user_agent` (RFC 9110 10.1.5). One that goes to an `alternative` service, by host
    and port, says so (RFC 7838 5).
    """
    common = _pseudo_headers(request.method, origin)
    section = [*common, (b":path", request.target.encode("ascii"))]
    length_given, agent_given = False, False
    for name, value in request.headers:
        if name == "host":
            section[2] = (b":authority", value.encode("ascii"))
            continue
        length_given = length_given or name == "content-length"
        agent_given = agent_given or name == "user-agent"
        section.append((name.encode("ascii"), value.encode("latin-1")))
    if user_agent is not None and not agent_given:
        section.append((b"user-agent", user_agent.encode("latin-1")))
    if alternative is not None:
        section.append((b"alt-used", alternative.encode("ascii")))
    if isinstance(request, OpenChannel):
        if request.protocol is not None:
            section.insert(1, (b":protocol", request.protocol.encode("ascii")))
        return section
    if not length_given and (request.body is not None or request.method in _CONTENT_EXPECTED):
        length = request.content_length
        if length is not None:
            section.append((b"content-length", b"%d" % length))
    return section


def trailer_fields(trailers: HeaderPairs) -> Fields:
    """Trailers as they are sent."""
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in trailers]


# in -----------------------------------------------------------------------------------------


def section_size(section: Fields) -> int:
    """The size that MAX_FIELD_SECTION_SIZE limits: names, values and 32 each (RFC 9114 4.2.2)."""
    size = 32 * len(section)
    for name, value in section:
        size += len(name) + len(value)
    return size


def response_of(section: Fields, short: bool = False) -> tuple[int, Pairs]:
    """Status and fields of a response's header section, `short` if it can have no long ones.

    Raises Malformed.
    """
    if not section or section[0][0] != b":status":
        raise Malformed(_why_no_status(section))
    pair = _known_pair if short else _pair  # the cache is shared, and servers choose the fields
    return _status(section[0][1]), list(map(pair, section[1:]))


@cache  # there are 899 that are none of these faults
def _status(status: bytes) -> int:
    if not _STATUS.fullmatch(status):
        raise Malformed(f":status {_shown(status)} is not a number of three digits")
    if status == b"101":
        raise Malformed(":status 101 does not exist from HTTP/2 on (RFC 9114 4.5)")
    return int(status)


def trailers_of(section: Fields) -> Pairs:
    """The fields of a trailer section. Raises Malformed."""
    return list(map(_pair, section))


def _why_no_status(section: Fields) -> str:
    if any(name == b":status" for name, _ in section):
        return ":status is not the first field"
    return "the response has no :status"


def _pair(field: tuple[bytes, bytes]) -> tuple[str, str]:
    name, value = field
    return _name(name), _value(name, value)


_known_pair = lru_cache(maxsize=1024)(_pair)  # a server says most of its fields again and again


def _name(name: bytes) -> str:
    text = name.decode("latin-1")
    # The values that `te` may have are looked at below.
    fault = fields.name_fault(text) or fields.connection_fault(text, "trailers")
    if fault:
        raise Malformed(f"field name {_shown_name(text)} {fault}")
    return text


def _value(name: bytes, value: bytes) -> str:
    text = value.decode("latin-1")
    # Nearly all values are plain; the others are looked at more closely.
    if not _PLAIN_VALUE.fullmatch(value) or name == b"te":
        fault = fields.value_fault(text) or fields.connection_fault(name.decode("ascii"), text)
        if fault:
            raise Malformed(f"field {_shown(name)}: the value {fault}")  # which may be a cookie
    return text


def _shown(part: bytes) -> str:
    """A name or value for a message: quoted, and no longer than a line."""
    return repr(part[:60])[1:] + ("..." if len(part) > 60 else "")


def _shown_name(text: str) -> str:
    """As far as it is one: a whole line, with its value, may have been taken for it."""
    return _shown(fields.beginning_of_name(text).encode("latin-1"))


def content_length(headers: Pairs) -> int | None:
    """The declared length (RFC 9110 8.6). ValueError when it is none, or there are several."""
    by_name = dict(headers)
    value = by_name.get("content-length")
    if value is None:
        return None
    if len(by_name) < len(headers):  # some field comes twice
        declared = {each for name, each in headers if name == "content-length"}
        if len(declared) > 1:
            raise ValueError(f"content-length has several values: {sorted(declared)}")
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"content-length is {value!r}")
    return int(value)


# as blocks ----------------------------------------------------------------------------------


class Qpack:
    """One connection's encoder and decoder: sections as blocks, both ways (RFC 9204), by ls-qpack.

    Responses get no dynamic table, so a block never waits for another stream, and a refused one
    leaves no reference behind. With a table of 4,096 bytes, 64 KiB of references decode to 256 MiB.
    Requests use the table that the server offers.

    `encode(stream_id, fields)` returns what the encoder stream is to be told first, and the block.
    `encode_alone` does without the table: nothing has to be told. Both raise ValueError when a
    field is too long.
    """

    def __init__(self) -> None:
        self._encoder = pylsqpack.Encoder()
        self.encode_alone: Callable[[int, Fields], tuple[bytes, bytes]] = pylsqpack.Encoder().encode
        self._instructed: pylsqpack.Decoder | None = None  # once there are instructions
        self.encode: Callable[[int, Fields], tuple[bytes, bytes]] = self._encoder.encode

    def apply(self, settings: ServerSettings) -> bytes:
        """Use the table that the server allows. Returns what its encoder stream is to be told."""
        return self._encoder.apply_settings(
            max_table_capacity=settings.table_capacity, blocked_streams=settings.blocked_streams
        )

    def decode(self, stream_id: int, block: bytes) -> Fields:
        """The fields of a block. Raises ProtocolError."""
        if block == _NO_FIELDS:
            return []
        try:
            # What our decoder stream would have to tell is empty without a dynamic table. A decoder
            # takes four KiB, and a fifth of a microsecond: none is kept for what may come.
            return pylsqpack.Decoder(0, 0).feed_header(stream_id, block)[1]
        except (pylsqpack.DecompressionFailed, pylsqpack.StreamBlocked) as error:
            code, reason = ErrorCode.QPACK_DECOMPRESSION_FAILED, "a header block cannot be decoded"
            raise ProtocolError(code, reason) from error

    def take_encoder_stream(self, chunk: bytes) -> None:
        """Instructions for the table of responses (RFC 9204 4.3), which there is none of.

        Raises ProtocolError.
        """
        try:
            if self._instructed is None:
                self._instructed = pylsqpack.Decoder(0, 0)
            self._instructed.feed_encoder(chunk)
        except pylsqpack.EncoderStreamError as error:
            code, reason = ErrorCode.QPACK_ENCODER_STREAM_ERROR, "the QPACK table has no room"
            raise ProtocolError(code, reason) from error

    def take_decoder_stream(self, chunk: bytes) -> None:
        """What it has taken of the table of requests (RFC 9204 4.4). Raises ProtocolError."""
        try:
            self._encoder.feed_decoder(chunk)
        except pylsqpack.DecoderStreamError as error:
            code = ErrorCode.QPACK_DECODER_STREAM_ERROR
            raise ProtocolError(code, "it acknowledges what was not sent") from error
