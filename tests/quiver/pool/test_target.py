"""What all connections of a pool share, judged where the pool is started."""

from __future__ import annotations

from pathlib import Path

import pytest

import quiver
from quiver.actors import log

ORIGIN = "https://localhost:4443"  # never asked


@pytest.mark.parametrize("option", ["SSL_CERT_FILE", "cafile"])
def test_roots_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    option: str,
) -> None:
    """Only those who open a file can tell: at the first request, and in these words."""
    roots = tmp_path / "roots.pem"
    roots.write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    options = {"cafile": str(roots)} if option == "cafile" else {}
    with (
        quiver.Client(pools={"default": options}) as client,
        pytest.raises(quiver.InvalidOptions, match=f"{option}='{roots}'") as caught,
    ):
        client.get(ORIGIN + "/ok")
    assert caught.value.origin == ORIGIN
    log.flush(10.0)
    assert caplog.records == []


def test_a_pool_of_ones_own_is_refused_likewise(tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_text("no certificate")
    with pytest.raises(quiver.InvalidOptions, match=f"cafile='{roots}'"):
        quiver.HTTP3Pool.start(ORIGIN, cafile=roots)
