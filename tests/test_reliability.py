"""docs/reliability.md names a test for each promise: every one of them exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def rows() -> list[str]:
    """The rows of the page's tables, their heads and rules left out."""
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    heads = {number - 1 for number, line in enumerate(lines) if set(line) <= set("|-")}
    return [line for n, line in enumerate(lines) if n not in heads and n - 1 not in heads]


def defined_in(path: Path) -> set[str]:
    defined = ast.parse(path.read_text()).body
    return {each.name for each in defined if isinstance(each, ast.FunctionDef)}


def test_every_row_names_a_test_that_exists() -> None:
    assert len(rows()) > 20, "the tables were not found"
    for row in rows():
        found = NAMED.findall(row)
        assert found, f"no test is named: {row}"
        for path, name in found:
            assert (ROOT / path).is_file(), f"{path} is missing: {row}"
            assert name in defined_in(ROOT / path), f"{path} has no {name}"
