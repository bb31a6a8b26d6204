"""Each row of the pages on reliability and security names a test: every one of them exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import quiver

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("reliability", "security")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def text_of(page: str) -> str:
    return (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")


def rows(page: str) -> list[str]:
    """The rows of the page's tables, their heads and rules left out."""
    lines = [line for line in text_of(page).splitlines() if line.startswith("|")]
    heads = {number - 1 for number, line in enumerate(lines) if set(line) <= set("|-")}
    return [line for n, line in enumerate(lines) if n not in heads and n - 1 not in heads]


def defined_in(path: Path) -> set[str]:
    defined = ast.parse(path.read_text()).body
    return {each.name for each in defined if isinstance(each, ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES)
def test_every_row_names_a_test_that_exists(page: str) -> None:
    assert len(rows(page)) > 20, "the tables were not found"
    for row in rows(page):
        found = NAMED.findall(row)
        assert found, f"no test is named: {row}"
        for path, name in found:
            assert (ROOT / path).is_file(), f"{path} is missing: {row}"
            assert name in defined_in(ROOT / path), f"{path} has no {name}"


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_a_test_that_is_named_exists(page: Path) -> None:
    for path, name in NAMED.findall(page.read_text(encoding="utf-8")):
        assert name in defined_in(ROOT / path), f"{path} has no {name}"


def test_each_attack_is_on_an_asset_that_is_told() -> None:
    assets = set(re.findall(r"^- \*\*(\w+)\*\*:", text_of("security"), re.MULTILINE))
    attacked = {row.split("|")[1].strip() for row in rows("security")}
    assert assets == attacked


def test_the_version_that_there_is_is_mended() -> None:
    said = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    minor = ".".join(quiver.__version__.split(".")[:2])
    assert f"| {minor}, the newest release of it | yes |" in said
