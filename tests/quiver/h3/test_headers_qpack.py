from __future__ import annotations

import pylsqpack
import pytest

from quiver.h3.codes import ErrorCode
from quiver.h3.headers import Fields, Qpack
from quiver.h3.protocol_error import ProtocolError
from quiver.h3.settings import ServerSettings

GET: Fields = [(b":method", b"GET"), (b":path", b"/some/where"), (b"x-some", b"value" * 9)]
TABLE = ServerSettings({1: 4096, 7: 16})


def failed(fault: pytest.ExceptionInfo[ProtocolError]) -> ErrorCode:
    assert fault.value.reason
    return fault.value.code


def test_without_settings_there_is_no_table() -> None:
    qpack, server = Qpack(), pylsqpack.Decoder(0, 0)
    for stream_id in (0, 4):
        instructions, block = qpack.encode(stream_id, GET)
        assert instructions == b""
        assert server.feed_header(stream_id, block) == (b"", GET)


def test_the_table_of_the_server_is_used() -> None:
    qpack, server = Qpack(), pylsqpack.Decoder(4096, 16)
    server.feed_encoder(qpack.apply(TABLE))
    sizes = []
    for stream_id in (0, 4, 8):
        instructions, block = qpack.encode(stream_id, GET)
        server.feed_encoder(instructions)
        acknowledged, fields = server.feed_header(stream_id, block)
        qpack.take_decoder_stream(acknowledged)
        sizes.append(len(instructions) + len(block))
        assert fields == GET
    assert sizes[-1] < 10 < sizes[0]


def test_a_server_without_a_table_is_told_nothing() -> None:
    assert Qpack().apply(ServerSettings({})) == b""


def test_a_block_without_fields() -> None:
    assert Qpack().decode(0, b"\x00\x00") == []


@pytest.mark.parametrize("block", [b"", b"\x00", b"\x02\x00\x80", b"\x00\x00\xff\x24", b"\xff" * 9])
def test_a_bad_block(block: bytes) -> None:
    with pytest.raises(ProtocolError) as fault:
        Qpack().decode(0, block)
    assert failed(fault) is ErrorCode.QPACK_DECOMPRESSION_FAILED


def test_half_an_instruction_is_of_its_own_connection() -> None:
    one, other = Qpack(), Qpack()
    one.take_encoder_stream(b"\x3f")  # of two octets at least
    with pytest.raises(ProtocolError):
        one.take_encoder_stream(b"\x20")  # and so of a size that there is no room for
    other.take_encoder_stream(b"\x20")


def test_a_bad_block_leaves_nothing_behind() -> None:
    """Of the same stream, which a decoder would take for one that waits."""
    qpack = Qpack()
    for bad in (b"\x02\x00\x80", b"\x00\x00\xff"):
        with pytest.raises(ProtocolError):
            qpack.decode(0, bad)
        assert qpack.decode(0, b"\x00\x00\xd9") == [(b":status", b"200")]


def test_no_decoder_is_kept_for_instructions_that_do_not_come() -> None:
    qpack = Qpack()
    qpack.decode(0, b"\x00\x00\xd9")
    assert not [each for each in vars(qpack).values() if isinstance(each, pylsqpack.Decoder)]


@pytest.mark.parametrize("octets", [b"\x3f\xe1\x1f", b"\x44abcd\x01x", b"\x5f\xff\xff\xff\xff\x03"])
def test_the_encoder_stream_may_not_fill_a_table(octets: bytes) -> None:
    with pytest.raises(ProtocolError) as fault:
        Qpack().take_encoder_stream(octets)
    assert failed(fault) is ErrorCode.QPACK_ENCODER_STREAM_ERROR
    Qpack().take_encoder_stream(b"\x20")  # of size 0


@pytest.mark.parametrize("octets", [b"\xfa", b"\x00"])
def test_the_decoder_stream_may_not_acknowledge_what_was_not_sent(octets: bytes) -> None:
    with pytest.raises(ProtocolError) as fault:
        Qpack().take_decoder_stream(octets)
    assert failed(fault) is ErrorCode.QPACK_DECODER_STREAM_ERROR


# what it relies on of ls-qpack --------------------------------------------------------------


def test_a_decoder_without_a_table_refuses_what_needs_one() -> None:
    with pytest.raises(pylsqpack.EncoderStreamError):
        pylsqpack.Decoder(0, 0).feed_encoder(b"\x3f\xe1\x1f")
    with pytest.raises(pylsqpack.DecompressionFailed):
        pylsqpack.Decoder(0, 0).feed_header(0, b"\x02\x00\x80")
    assert pylsqpack.Decoder(0, 0).feed_header(0, b"\x00\x00\xd9") == (b"", [(b":status", b"200")])
    assert pylsqpack.Decoder(0, 0).cancel_stream(0) == b""


def test_what_is_too_long_for_the_encoder_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="too long"):
        Qpack().encode(0, [(b"x", b"a" * 65_536)])
