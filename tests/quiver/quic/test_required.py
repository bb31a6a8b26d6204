"""What of aioquic the engine stands on is in the tables, and what is missing is named."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aioquic import tls
from aioquic.quic.connection import QuicConnection
from aioquic.quic.logger import QuicLogger, QuicLoggerTrace
from aioquic.quic.recovery import QuicPacketPacer, QuicPacketRecovery
from aioquic.tls import Context

from quiver.quic.aioquic import certificates, qlog, recovery, required
from quiver.quic.aioquic.connection import Connection
from quiver.quic.aioquic.engine import AioquicEngine
from quiver.quic.aioquic.fast_connection import FastConnection

ROOM = Path(required.__file__).parent
FAST = {
    *("after_handshake", "bulk_send", "congestion", "fast_connection", "fast_receive"),
    *("fast_send", "lazy_stream", "packet_rows", "path_probe", "recovery", "row_frames"),
    "sent_runs",
}
OF_ITS_OWN = {"migration": required.MIGRATION, "early_data": required.EARLY_DATA}
"""Files that stand on tables of their own: without those, what they do is not done."""


def of(table: Any) -> set[str]:
    """The private names in a table."""
    return {
        step
        for names in table.values()
        for name in names
        for step in name.split(".")
        if step.startswith("_") and not step.startswith("__")
    }


def files(fast: bool) -> list[str]:
    found = {each.stem for each in ROOM.glob("*.py")} - {
        "__init__",
        "names",
        "required",
        *OF_ITS_OWN,
    }
    return sorted(each for each in found if (each in FAST) is fast)


def used(name: str) -> Iterator[str]:
    """aioquic's private names in a file of the room: those that it has not itself."""
    tree = ast.parse((ROOM / f"{name}.py").read_text("utf-8"))
    nodes = list(ast.walk(tree))
    own = {each.name for each in nodes if isinstance(each, ast.FunctionDef | ast.ClassDef)}
    own |= {
        each.attr
        for each in nodes
        if isinstance(each, ast.Attribute)
        and isinstance(each.ctx, ast.Store)
        and ast.unparse(each.value) == "self"
    }
    for each in nodes:
        if isinstance(each, ast.Attribute) and each.attr.startswith("_"):
            if not each.attr.startswith("__") and each.attr not in own:
                yield each.attr
        elif isinstance(each, ast.ImportFrom) and (each.module or "").startswith("aioquic"):
            yield from (step for step in (each.module or "").split(".") if step.startswith("_"))
            yield from (alias.name for alias in each.names if alias.name.startswith("_"))


MODULES = {"_buffer", "_crypto"}
"""aioquic's, which FAST_PATHS has as places."""


COMPOSED = {
    *("_remote_max_data", "_remote_max_data_used", "_remote_max_streams_uni"),
    *("_remote_max_stream_data_bidi_local", "_remote_max_stream_data_bidi_remote"),
    "_remote_max_stream_data_uni",
}
"""These are set by names that are put together, by aioquic or by us. If one is missing, it may read
the peer's limits into nowhere, and would never send."""

CORRECTED = {"_peer_certificate", "_remote_ack_delay_exponent", "_remote_max_idle_timeout"}
"""What is set, and never read: aioquic reads it."""


def test_the_room_is_looked_through() -> None:
    assert {each.stem for each in ROOM.glob("*.py")} >= FAST
    assert set(used("connection")) >= {"_peer_cid", "_state"}


@pytest.mark.parametrize("name", files(fast=False))
def test_what_is_used_always_is_needed(name: str) -> None:
    assert set(used(name)) <= of(required.NEEDED)


@pytest.mark.parametrize("name", files(fast=True))
def test_what_the_fast_paths_use_is_in_the_tables(name: str) -> None:
    assert set(used(name)) <= of(required.NEEDED) | of(required.FAST_PATHS) | MODULES


@pytest.mark.parametrize("name", OF_ITS_OWN)
def test_what_stands_on_a_table_of_its_own_is_in_that(name: str) -> None:
    table = OF_ITS_OWN[name]
    assert set(used(name)) <= of(required.NEEDED) | of(table)
    assert set(imported(name)) <= looked_for(required.NEEDED) | looked_for(table)


def imported(name: str) -> Iterator[tuple[str, str]]:
    """What a file imports of aioquic: module and name."""
    for each in ast.walk(ast.parse((ROOM / f"{name}.py").read_text("utf-8"))):
        if isinstance(each, ast.ImportFrom) and (each.module or "").startswith("aioquic"):
            yield from ((each.module or "", alias.name) for alias in each.names)


def looked_for(table: Any) -> set[tuple[str, str]]:
    return {(place, name.partition(".")[0]) for place, names in table.items() for name in names} | {
        tuple(place.rpartition(".")[::2]) for place in table
    }


@pytest.mark.parametrize("name", files(fast=False) + files(fast=True))
def test_what_is_imported_is_in_the_tables(name: str) -> None:
    """Else an ImportError could come from there, and name no release."""
    tables = looked_for(required.NEEDED)
    if name in FAST:
        tables |= looked_for(required.FAST_PATHS)
    assert set(imported(name)) <= tables


def test_nothing_is_in_the_tables_that_is_not_used() -> None:
    plain = {name for each in files(fast=False) for name in used(each)}
    assert of(required.NEEDED) - plain <= overridden() | COMPOSED | CORRECTED, (
        "it is not needed always"
    )
    fast = {name for each in files(fast=True) for name in used(each)}
    assert of(required.FAST_PATHS) - fast <= overridden() | REPLACED
    for name, table in OF_ITS_OWN.items():
        assert of(table) - set(used(name)) <= PUT_TOGETHER[name]


REPLACED = {
    *("_QuicConnection__frame_handlers", "_rtt_first_sample_time", "_rtt_initialized"),
    *("_rtt_latest", "_rtt_min", "_rtt_variance"),
}
"""What we set ourselves, in place of aioquic, and so looks like a name of ours."""

PUT_TOGETHER = {
    "migration": {"_cc", "_pto_count", "_rtt_initialized"},
    "early_data": {"_streams_queue", "_streams_blocked_bidi", "_streams_blocked_uni"},
}
"""What they set by names that they put together."""


def test_what_only_early_data_takes_is_not_needed() -> None:
    """A release without it is used, and sends none."""
    tables = (required.EARLY_DATA, required.NEEDED)
    ours, needed = ({(place, name) for place in each for name in each[place]} for each in tables)
    assert not ours & needed


def overridden() -> set[str]:
    pairs: list[tuple[type, type]] = [
        (Connection, QuicConnection),
        (FastConnection, QuicConnection),
        (vars(certificates)["_VerifyingContext"], Context),
        (recovery.Pacer, QuicPacketPacer),
        (recovery.Recovery, QuicPacketRecovery),
        (qlog.QlogFolder, QuicLogger),
        (qlog.QlogTrace, QuicLoggerTrace),
    ]
    return {
        name
        for ours, theirs in pairs
        for name in vars(ours)
        if hasattr(theirs, name) and not name.startswith("__") and name.startswith("_")
    }


def test_what_is_overridden_is_in_the_tables() -> None:
    assert overridden() <= of(required.NEEDED) | of(required.FAST_PATHS)


def test_all_is_there() -> None:
    assert required.missing(required.NEEDED) == []
    assert required.missing(required.FAST_PATHS) == []
    assert required.missing(required.MIGRATION) == [] and required.can_migrate()
    assert required.missing(required.EARLY_DATA) == [] and required.can_send_early()
    required.demand()


def test_this_release_is_proved() -> None:
    assert required.PROVED[required.version()] == required.fingerprint()
    assert required.why_not_fast() is None


class Sourceless:
    """A loader of modules that were compiled, and of which nothing else was installed."""

    def get_source(self, name: str) -> str | None:
        return None


class Unreadable:
    def get_source(self, name: str) -> str | None:
        raise ImportError("source not available")


@pytest.mark.parametrize("loader", [Sourceless(), Unreadable(), None])
def test_without_a_source_the_names_decide(monkeypatch: pytest.MonkeyPatch, loader: Any) -> None:
    monkeypatch.setattr(tls, "__loader__", loader)
    assert required.fingerprint() is None
    assert required.why_not_fast.__wrapped__() is None


# what becomes of it when it is not ------------------------------------------------------------


@pytest.fixture
def anew() -> Iterator[None]:
    """Have it judged again."""
    caches = required.why_not_fast, required.fast_paths
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()


def test_a_missing_name_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = {"a QuicConnection": {"_streams": list, "_nowhere": object}}
    monkeypatch.setattr(required, "NEEDED", gone)
    with pytest.raises(ImportError) as raised:
        required.demand()
    said = str(raised.value)
    assert "_streams of a QuicConnection, _nowhere of a QuicConnection" in said
    assert required.version() in said
    assert "pip install" in said


@pytest.mark.usefixtures("anew")
def test_another_release_goes_its_own_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(required, "PROVED", {"1.0.0": ""})
    with pytest.warns(required.ReleaseNotProved, match=r"1\.0\.0"):
        assert not required.fast_paths()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not required.fast_paths(), "it warns once"


@pytest.mark.usefixtures("anew")
def test_a_patched_release_goes_its_own_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(required, "FAST_PATHS", {"a QuicConnection": {"_gone": object}})
    with pytest.warns(required.ReleaseNotProved, match="_gone of a QuicConnection"):
        assert not required.fast_paths()


@pytest.mark.usefixtures("anew")
def test_changed_code_goes_its_own_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(required, "PROVED", {required.version(): "of other code"})
    with pytest.warns(required.ReleaseNotProved, match="its code has been changed"):
        assert not required.fast_paths()


@pytest.mark.usefixtures("anew")
def test_nobody_is_harmed_where_warnings_are_errors(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(required, "PROVED", {"1.0.0": ""})
    configuration: Any = certificates.Configuration(is_client=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        engine = AioquicEngine(configuration)
    assert type(engine.connection) is Connection
    assert "in its own ways" in caplog.text
