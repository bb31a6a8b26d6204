"""A copy of aioquic that is another release, or patched: it goes its own ways, or is refused."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from aioquic.tls import Context

ROOT = Path(__file__).parents[3]
IMPORT = "import warnings; import quiver.quic.aioquic.engine"
JUDGE = f"{IMPORT}; from quiver.quic.aioquic import required; print(required.why_not_fast())"


def copied(folder: Path, pattern: str, replacement: str) -> dict[str, str]:
    """The environment of a process that takes a changed copy of aioquic."""
    found = importlib.util.find_spec("aioquic")
    assert found is not None
    assert found.origin is not None
    shutil.copytree(Path(found.origin).parent, folder / "aioquic")
    changed = 0
    for path in (folder / "aioquic").rglob("*.py"):
        text, count = re.subn(pattern, replacement, path.read_text("utf-8"))
        path.write_text(text, "utf-8")
        changed += count
    assert changed
    path_of = os.pathsep.join([str(folder), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path_of, "PYTHONDONTWRITEBYTECODE": "1"}


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "name",
    [
        "_write_stream_limits",
        "_close_event",
        "_verify_mode",
        "cipher_suite",
        "key_phase",
        "_ranges",
    ],
)
def test_what_cannot_be_done_without_is_named_at_import(tmp_path: Path, name: str) -> None:
    done = run(copied(tmp_path, rf"\b{name}\b", f"{name}_moved"), "-c", IMPORT)
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert said.startswith("ImportError: Quiver cannot do with aioquic ")
    assert name in said
    assert "pip install" in said


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "name", ["_ack_eliciting_sent_since_receipt", "_confirm_handshake", "packet_time"]
)
def test_the_fast_paths_are_left_where_something_has_moved(tmp_path: Path, name: str) -> None:
    done = run(copied(tmp_path, rf"\b{name}\b", f"{name}_moved"), "-W", "error", "-c", JUDGE)
    assert name in done.stdout, done.stderr


def test_the_fast_paths_are_left_on_a_release_that_is_not_known(tmp_path: Path) -> None:
    copy = copied(tmp_path, r'__version__ = "[^"]*"', '__version__ = "1.99.0"')
    assert "none of those" in run(copy, "-c", JUDGE).stdout


CHANGES = {
    "a name that no table has": (r"\bwas_sent\b", "announced"),
    "a field more": (r"    is_crypto_packet: bool\n", "    is_crypto_packet: bool\n    ecn: int\n"),
    "other results": (
        r"return is_ack_eliciting, bool\(is_probing\)",
        "return bool(is_probing), is_ack_eliciting",
    ),
}


@pytest.mark.one_in(3)
@pytest.mark.parametrize("change", CHANGES)
def test_the_fast_paths_are_left_where_names_stayed_and_code_did_not(
    tmp_path: Path, change: str
) -> None:
    """Parameters, types, results: no table could say all of it."""
    done = run(copied(tmp_path, *CHANGES[change]), "-W", "error", "-c", JUDGE)
    assert done.stdout.startswith("its code has been changed"), (done.stdout, done.stderr)


def test_a_context_that_cannot_become_ours_is_named_at_import(tmp_path: Path) -> None:
    slots = tuple(sorted(vars(Context(is_client=True))))
    slotted = f"class Context:\n    __slots__ = {slots}\n"
    done = run(copied(tmp_path, "class Context:\n", slotted), "-c", IMPORT)
    assert done.returncode == 1
    assert "__dict__ of a tls.Context" in done.stderr.splitlines()[-1]


WITHOUT_EARLY_DATA = """
import sys
from quiver.config import PoolConfig
from quiver.quic.aioquic import required
from quiver.quic.engine import HandshakeCompleted, TicketReceived
from quiver.testing import Authority
from tests.support.engines.quic_wire import EngineWire

print(required.missing(required.EARLY_DATA), "quiver.quic.aioquic.early_data" in sys.modules)
with Authority() as authority:
    about = dict(certificate=authority.issue(), given={}, early=True, fast_paths=False)
    config, ticket = PoolConfig(cafile=authority.cafile), None
    for _ in range(2):
        wire = EngineWire(config, ticket=ticket, **about)
        wire.engine.connect(wire.now)
        assert not wire.engine.early and wire.engine.max_streams == 0
        wire.settle()
        print(wire.of(HandshakeCompleted))
        ticket = wire.of(TicketReceived)[-1].ticket
        opened = wire.engine.open_stream(b"asked", True, None)
        wire.settle()
        assert any(getattr(each, "data", b"") == b"asked" for each in wire.seen)
"""


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", ["_streams_blocked_uni", "delivery_handlers"])
def test_no_early_data_is_sent_where_what_it_takes_has_moved(tmp_path: Path, name: str) -> None:
    """Sessions are resumed all the same."""
    copy = copied(tmp_path, rf"\b{name}\b", f"{name}_moved")
    done = run(copy, "-c", WITHOUT_EARLY_DATA)
    assert done.returncode == 0, done.stderr
    lacks, *handshakes = done.stdout.splitlines()
    assert name in lacks and lacks.endswith(" False")
    assert handshakes == [
        f"[HandshakeCompleted(resumed={resumed}, early=None)]" for resumed in (False, True)
    ]


@pytest.mark.long
@pytest.mark.parametrize(
    "name", ["_ack_eliciting_sent_since_receipt", "_spin_highest_pn", "_events", "_pto_count"]
)
def test_everything_works_where_something_has_moved(tmp_path: Path, name: str) -> None:
    copy = copied(tmp_path, rf"\b{name}\b", f"{name}_moved")
    tests = "tests/quiver/quic/test_engine.py"
    done = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests, "-k", "plain")
    assert done.returncode == 0, done.stdout[-3_000:]
