"""Bodies that end as soon as they are looked at: the end of the stream must not be lost."""

from __future__ import annotations

import pytest

import quiver
from quiver.testing import Origin


@pytest.mark.parametrize("pieces", [[], [b"x"]])
def test_a_body_that_ends_at_once(
    pieces: list[bytes], client: quiver.Client, origin: Origin
) -> None:
    """Its thread ends it between two looks of the connection."""
    for _ in range(20):
        with client.stream("POST", origin.url + "/echo", body=iter(pieces), timeout=5.0) as got:
            assert got.read() == b"".join(pieces)
