"""What the server needs of aioquic's inside is looked for, named when missing, and in one file."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace

import aioquic
import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from quiver import testing
from quiver.required_names import missing
from quiver.testing.server import aioquic_internals
from quiver.testing.server.aioquic_internals import REQUIRED, require

NAMES = [(place, name) for place, names in REQUIRED.items() for name in names]
PLACES = {"a QuicConnection": "QuicConnection", "a QuicStream": "QuicStream"}


class Without:
    """An object of another release, in which one name is not there."""

    def __init__(self, real: object, name: str) -> None:
        self._real = real
        self._name, _, self._rest = name.partition(".")

    def __getattr__(self, name: str) -> object:
        if name != self._name:
            return getattr(self._real, name)
        if not self._rest:
            raise AttributeError(name)
        return Without(getattr(self._real, name), self._rest)


@pytest.mark.parametrize(("place", "name"), NAMES)
def test_a_name_that_is_missing_is_named(
    place: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = getattr(aioquic_internals, PLACES[place])
    monkeypatch.setattr(
        aioquic_internals, PLACES[place], lambda *a, **k: Without(make(*a, **k), name)
    )
    with pytest.raises(ImportError) as caught:
        require()
    said = str(caught.value)
    assert f"has not: {name} of {place}. " in said
    assert aioquic.__version__ in said
    assert f"pip install 'aioquic=={aioquic_internals.TRIED}'" in said


def test_all_that_is_missing_is_named_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioquic_internals, "QuicStream", lambda *_: SimpleNamespace())
    with pytest.raises(ImportError, match=r"sender\._buffer_start of a QuicStream, sender\._b"):
        require()


def test_a_name_that_means_something_else_is_missing() -> None:
    new = {"a QuicConnection": lambda: QuicConnection(configuration=QuicConfiguration())}
    assert missing({"a QuicConnection": {"_streams": list}}, new) == [
        "_streams of a QuicConnection"
    ]
    assert missing({"a QuicConnection": {"close": ("self", "code")}}, new) != []
    assert missing({"aioquic.quic.connection": {"Limit": type}}) == []
    assert missing({"aioquic.none": {"a": object}}) == ["a of aioquic.none"]


def test_what_is_installed_has_all() -> None:
    require()


def test_no_other_file_of_testing_reads_what_is_private_to_another() -> None:
    """In the file that may, everything private of aioquic's is in REQUIRED."""
    folder = Path(testing.__file__).parent
    files = {path: path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py"))}
    private = {
        str(path.relative_to(folder)): _foreign(text) - _own(text) for path, text in files.items()
    }
    inside = private.pop("server/aioquic_internals.py")
    assert {file: names for file, names in private.items() if names} == {}
    assert inside == {"_buffer_start", "_buffer_stop", "_reset_error_code"}
    needed = {part for _, name in NAMES for part in name.split(".") if part.startswith("_")}
    text = files[folder / "server/aioquic_internals.py"]
    own = {name for name in _own(text) | _defined(text) if name in needed}
    assert inside | own == needed


def test_the_http3_layer_reads_nothing_private_of_its_base() -> None:
    text = (Path(testing.__file__).parent / "server/http3.py").read_text(encoding="utf-8")
    assert _own(text) == {"_server_quic", "_unsaid"}


def _foreign(text: str) -> set[str]:
    return {
        node.attr
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and _private(node.attr)
        if ast.unparse(node.value) not in ("self", "cls", "super()")
    }


def _own(text: str) -> set[str]:
    return {
        node.attr
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Attribute) and _private(node.attr)
        if ast.unparse(node.value) == "self"
    }


def _defined(text: str) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)}


def _private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")
