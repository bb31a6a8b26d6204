"""The site: every piece of Python in it and in the README runs, and what it names is there."""

from __future__ import annotations

import ast
import importlib.util
import re
import textwrap
from pathlib import Path
from typing import Final

import pytest

import quiver
from quiver import telemetry, testing
from quiver.testing import Origin
from tests.support.programs.runner import ROOT, run_program, run_script

PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GUIDES: Final = [page for page in PAGES if page.parent.name == "guides"]

# Programs of their own, and what they print. Other guides are run by tests/test_guides.py, that on
# testing by tests/quiver/testing/test_plugin.py, that for those who come from other libraries by
# tests/test_coming_from.py, the README by tests/test_readme.py.
PROGRAMS: Final = {
    "docs/index.md": [
        "200 application/json {'id': 42}",
        "200 found on 2 connections",
        "RequestTimeout transient",
    ],
    "docs/options.md": ["True True", "{'early_data.sent': 1, 'early_data.accepted': 1}"],
    "docs/guides/gevent.md": ["500 found", "gave up"],
}
# Blocks that are shown and not run: how many on a page, and why.
SHOWN: Final = {
    "docs/index.md": (1, "it serves until somebody presses Enter"),
    "docs/guides/requests.md": (
        1,
        "tests/quiver/adapters/requests/test_adapter.py makes such a class",
    ),
    "docs/guides/actors.md": (
        1,
        "it needs a server of HTTP/2; tests/interop/test_http2.py has one",
    ),
    "docs/guides/locust.md": (4, "Locust runs them; tests/quiver/adapters/test_locust.py does so"),
}
OTHER_LANGUAGES: Final = {"", "text", "sh", "console", "toml", "ini"}
BLOCK: Final = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[tuple[str, str]]:
    """What stands behind the fence, and the text, of each fenced block."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def indented(page: Path) -> list[str]:
    """The blocks that are marked by four spaces alone, outside of the fenced ones."""
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    found = re.findall(r"(?:(?<=\n\n)|\A)((?: {4}.*\n|\n)+)", text)
    return [textwrap.dedent(each) for each in found if each.strip()]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=named)
def test_code_fits(page: Path) -> None:
    """The site shows 80 characters of a block, and scrolls for more."""
    lines = "\n".join([*(code for _, code in blocks(page)), *indented(page)]).splitlines()
    assert [line for line in lines if len(line) > 80] == []


def is_python(code: str) -> bool:
    """Whether it says more in Python than a word or two that would also be a shell's."""
    try:
        return not all(isinstance(each, ast.Expr) for each in ast.parse(code).body)
    except SyntaxError:
        return False


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_python_escapes(page: Path) -> None:
    """A block is `python`, and run; or `py`, and in SHOWN with its reason."""
    text = page.read_text(encoding="utf-8")
    assert len(re.findall(r"^ *(?:```|~~~)", text, re.MULTILINE)) == 2 * len(blocks(page))
    languages = [language for language, _ in blocks(page)]
    assert set(languages) <= {"python", "py", *OTHER_LANGUAGES}
    assert languages.count("py") == SHOWN.get(named(page), (0, ""))[0]
    if "python" in languages:
        assert page in GUIDES or named(page) in {"README.md", *PROGRAMS}
    plain = [code for language, code in blocks(page) if language in OTHER_LANGUAGES]
    assert [code for code in [*plain, *indented(page)] if is_python(code)] == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_program_runs(name: str, origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", origin.cafile)
    code = "\n".join(code for language, code in blocks(ROOT / name) if language == "python")
    printed = run_script(code.replace("localhost:4443", f"localhost:{origin.port}"), timeout=50.0)
    assert printed.splitlines() == PROGRAMS[name]


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="the extra docs has mkdocs")
def test_the_site_is_built_without_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    build = ("-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path))
    run_program(*build, timeout=250.0)
    pages = {str(page.relative_to(ROOT / "docs").with_suffix("")) for page in PAGES[1:]}
    built = {page.removesuffix("index").rstrip("/") for page in pages}
    assert [name for name in built if not (tmp_path / name / "index.html").is_file()] == []


def reference(name: str) -> str:
    return (ROOT / "docs" / "reference" / f"{name}.md").read_text(encoding="utf-8")


def documented(name: str) -> set[str]:
    return set(re.findall(r"^::: ([\w.]+)$", reference(name), re.MULTILINE))


def test_the_reference_has_every_public_name() -> None:
    told = documented("quiver") | documented("telemetry") | quiver_names_in_prose()
    assert told == {f"quiver.{name}" for name in quiver.__all__}
    assert documented("testing") == {f"quiver.testing.{name}" for name in testing.__all__}
    assert documented("telemetry") == {telemetry.__name__}


def quiver_names_in_prose() -> set[str]:
    """Errors stand in a table of their own page, the shared client's methods in a sentence."""
    sentence = reference("quiver").partition("## Client")[2].partition(":::")[0]
    methods = re.findall(r"`(?:quiver\.)?(\w+)`", sentence)
    errors = [name for name in quiver.__all__ if is_error(name)]
    return {f"quiver.{name}" for name in [*methods, *errors, "PoolConfig"]}


def is_error(name: str) -> bool:
    value = getattr(quiver, name)
    return isinstance(value, type) and issubclass(value, quiver.QuiverError)


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=named
)
def test_what_the_page_names_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = set(re.findall(r"`((?:quiver|actors|tests|benchmarks|examples|docs)/[\w/.]*)`", text))
    assert [each for each in sorted(found) if not (ROOT / each).exists()] == []


def test_the_design_has_every_room() -> None:
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rooms = set(re.findall(r"`(quiver/\w+/)`", text))
    folders = {f"quiver/{each.parent.name}/" for each in (ROOT / "quiver").glob("*/__init__.py")}
    assert folders - {"quiver/actors/"} <= rooms


def test_the_map_has_every_file() -> None:
    """Of the rooms whose files are told apart; in the others a sentence does."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rooms = ["quiver", *(f"quiver/{room}" for room in ("quic", "quic/aioquic", "h3", "streams"))]
    files = [
        str(file.relative_to(ROOT))
        for room in (*rooms, "quiver/pool", "actors")
        for file in sorted((ROOT / room).glob("*.py"))
        if not file.stem.startswith("__")
    ]
    assert len(files) > 60
    assert [file for file in files if f"`{file}`" not in text] == []
