from __future__ import annotations

import pytest
from aioquic.h3.connection import ErrorCode as TheirCode

from quiver.h3.codes import ErrorCode, name_of


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (0x10B, "H3_REQUEST_REJECTED (0x10b)"),
        (0x100, "H3_NO_ERROR (0x100)"),
        (0x202, "QPACK_DECODER_STREAM_ERROR (0x202)"),
        (0x1F0A, "code 0x1f0a"),
        (0, "code 0x0"),
    ],
)
def test_an_application_code_has_its_name(code: int, name: str) -> None:
    assert name_of(code) == name


def test_the_codes_are_the_ones_aioquic_has() -> None:
    assert {code.name: code.value for code in ErrorCode} == {
        code.name: code.value for code in TheirCode
    }
