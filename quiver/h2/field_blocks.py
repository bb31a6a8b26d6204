"""Header sections as blocks (RFC 7541): hpack's tables and codes, as a pool needs them.

* Requests and responses of one kind are alike. While a table stays as it is, a section becomes the
  same block, and a block the same section: these are remembered, until it changes.
* hpack takes time by the square of a value's length for Huffman's code, seconds for 64 KiB, and of
  a block's length for the fields in it. So long values go as they are, and blocks are read here.
* A section beyond the limit has to be decoded for those that follow it, but nobody needs its
  fields. So they are dropped, and it costs its stream alone. One that exceeds the limit by far is
  a bomb, and costs the connection.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Generic, TypeVar

from hpack import Decoder, Encoder, HPACKDecodingError, HPACKError
from hpack.hpack import decode_integer
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from quiver.h2.codes import ErrorCode, FramesFault
from quiver.h3.headers import Fields

__all__ = ["LONGEST", "MARGIN", "FieldDecoder", "FieldEncoder"]

MARGIN: Final = 1024 * 1024
"""Bytes by which a section may exceed the limit at the cost of its stream alone."""

LONGEST: Final = 262_144
"""Bytes of one block, in which those of a section are fewer, unless it is made to cost time."""

_TABLE: Final = HeaderTable.DEFAULT_SIZE
"""Bytes of the table by which we write, at the most: a server may allow any size."""

_REMEMBERED: Final = 64  # sections
_SHORT: Final = 4_096  # bytes of one that is
_LONG: Final = 1_024  # bytes of a value for which Huffman's code is too slow
_FIELD: Final = 32  # bytes that each is counted with (RFC 9113 10.5.1)
_AN_INTEGER: Final = 8  # bytes that one takes at the most, and more

_K = TypeVar("_K")
_V = TypeVar("_V")


class _Memory(Generic[_K, _V]):
    """What was made by a table, as long as that stays as it is."""

    def __init__(self, table: HeaderTable) -> None:
        self._table = table
        self._known: dict[_K, _V] = {}
        self._state = self._look()

    def _look(self) -> tuple[object, int]:
        """What tells whether it has changed: entries come at one end, and leave when one comes."""
        entries = self._table.dynamic_entries
        return entries[0] if entries else None, self._table.maxsize

    def get(self, key: _K) -> _V | None:
        newest, size = self._look()
        known, was = self._state
        return self._known.get(key) if newest is known and size == was else None

    def put(self, key: _K, made: _V) -> None:
        """Remember it, if making it has changed nothing."""
        now, was = self._look(), self._state
        if now[0] is not was[0] or now[1] != was[1]:
            self._known.clear()
            self._state = now
        elif len(self._known) < _REMEMBERED:
            self._known[key] = made


class FieldEncoder(Encoder):
    """Sections to blocks."""

    def __init__(self) -> None:
        super().__init__()
        self._memory: _Memory[tuple[Any, ...], bytes] = _Memory(self.header_table)

    @property
    def header_table_size(self) -> int:
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        """The server has to be told of the least since the last block, and of the last (4.2). hpack
        tells of all, and of none when the last one is told twice."""
        value = min(value, _TABLE)
        if value != self.header_table.maxsize:
            self.header_table.maxsize = value
            least = min([value, *self.table_size_changes])
            self.table_size_changes = [value] if least == value else [least, value]

    def encode(self, headers: Iterable[Any], huffman: bool = True) -> bytes:
        key = tuple(headers)
        block = None if self.header_table.resized else self._memory.get(key)
        if block is None:
            block = super().encode(key, huffman)
            if len(block) <= _SHORT:
                self._memory.put(key, block)
        return block

    def add(self, to_add: tuple[bytes, bytes], sensitive: bool, huffman: bool = False) -> bytes:
        return super().add(to_add, sensitive, huffman and len(to_add[1]) <= _LONG)


class FieldDecoder(Decoder):
    """Blocks to sections. One that exceeds `limit` loses the fields that come after that."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._memory: _Memory[bytes, Fields] = _Memory(self.header_table)

    def decode(self, data: bytes, raw: bool = False) -> Any:  # noqa: ARG002 - always
        """The section of a block; what it returns is not to be changed.

        Raises FramesFault: it cannot be read, or is a bomb.
        """
        section = self._memory.get(data)
        if section is None:
            if len(data) > LONGEST:
                raise _bomb(f"block of {len(data)}")
            try:
                section = self._decode(data)
            except HPACKError as fault:
                raise FramesFault(ErrorCode.COMPRESSION_ERROR, str(fault)) from fault
            if len(data) <= _SHORT:
                self._memory.put(data, section)
        return section

    def _decode(self, data: bytes) -> Fields:
        section: Fields = []
        at, end, size = 0, len(data), 0
        table = self.header_table
        while at < end:
            first = data[at]
            if first & 0x80:  # it is in the table
                index = first & 0x7F
                if index == 0x7F:
                    index, at = _integer(data, at, 7)
                else:
                    at += 1
                field = table.get_by_index(index)
            elif first & 0xE0 == 0x20:
                at = self._resize(data, at, allowed=not size)
                continue
            else:
                field, at = self._literal(data, at, indexed=bool(first & 0x40))
            if size <= self._limit:
                section.append(field)
            size += len(field[0]) + len(field[1]) + _FIELD
            if size > self._limit + MARGIN:
                raise _bomb(f"section of {size} and more")
        if table.maxsize > self.max_allowed_table_size:
            raise HPACKDecodingError("the table was not made smaller")
        return section

    def _literal(self, data: bytes, at: int, *, indexed: bool) -> tuple[tuple[bytes, bytes], int]:
        index, at = _integer(data, at, 6 if indexed else 4)
        if index:
            name = self.header_table.get_by_index(index)[0]
        else:
            name, at = _string(data, at)
        value, at = _string(data, at)
        if indexed:
            self.header_table.add(name, value)
        return (name, value), at

    def _resize(self, data: bytes, at: int, *, allowed: bool) -> int:
        if not allowed:
            raise HPACKDecodingError("a table's size may change before the first field alone")
        size, at = _integer(data, at, 5)
        if size > self.max_allowed_table_size:
            raise HPACKDecodingError(f"a table of {size} bytes was not allowed")
        self.header_table_size = size
        return at


def _bomb(what: str) -> FramesFault:
    return FramesFault(ErrorCode.ENHANCE_YOUR_CALM, f"a header {what} bytes")


def _integer(data: bytes, at: int, prefix: int) -> tuple[int, int]:
    """An integer (RFC 7541 5.1), and where it ends."""
    value, consumed = decode_integer(data[at : at + _AN_INTEGER], prefix)
    return value, at + consumed


def _string(data: bytes, at: int) -> tuple[bytes, int]:
    """A string (5.2), and where it ends."""
    if at >= len(data):
        raise HPACKDecodingError("a header block breaks off")
    coded = data[at] & 0x80
    length, at = _integer(data, at, 7)
    content = data[at : at + length]
    if len(content) != length:
        raise HPACKDecodingError("a header block breaks off")
    return decode_huffman(content) if coded else content, at + length
