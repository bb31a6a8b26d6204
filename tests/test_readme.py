"""The README and the tables of the docs say what the code says; the README's examples run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
import click
import pytest

import quiver
from quiver import config, errors
from quiver.cli.main import main
from quiver.testing import Authority, LocalOrigin, Origin

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def page(name: str) -> str:
    """The text of a page of the docs."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def section(title: str, text: str) -> str:
    """The text below one of the headings."""
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def table(text: str) -> list[list[str]]:
    """The cells of the first table, without its head."""
    rows = text[text.index("\n|") :].strip().partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


OPTIONS = table(section("Of a pool", page("options.md")))
REQUEST_OPTIONS = table(section("Of a request", page("options.md")))
KINDS = table(page("errors.md"))
ERRORS = table(section("All of them", page("errors.md")))
COMMANDS = table(page("guides/command-line.md"))


def shown(default: object) -> str:
    """A default as the table writes it."""
    if default == 100 * config.MIB:
        return "100 MiB"
    return str(default)


def test_the_options_are_those_of_the_code() -> None:
    expected = [
        [f"`{each.name}`", shown(each.default), each.unit, each.meaning]
        for each in config.options()
    ]
    assert expected == OPTIONS


def test_the_limits_of_a_request_are_those_of_the_code() -> None:
    told = {name.strip("`"): default for name, default, _ in REQUEST_OPTIONS}
    limits = {each for each in attrs.fields_dict(quiver.Request) if each.endswith("timeout")}
    assert told.keys() == limits
    inherited = {name for name, default in told.items() if default == "the pool's"}
    assert inherited <= {each.name for each in config.options()}


def test_the_kinds_are_those_of_the_code() -> None:
    told = {(kind, base.strip("`")) for kind, base, _ in KINDS}
    assert told == {(each.kind, each.__name__) for each in errors.QuiverError.__subclasses__()}


def leaves(of: type[errors.QuiverError]) -> set[type[errors.QuiverError]]:
    """The errors that are raised: those of quiver.errors that have none below them there."""
    below = [each for each in of.__subclasses__() if each.__module__ == errors.__name__]
    return {of} if not below else set().union(*(leaves(each) for each in below))


def builtin_of(error: type[errors.QuiverError]) -> str:
    """The builtin that it derives from too."""
    others = [base for base in error.__bases__ if base.__module__ == "builtins"]
    return others[0].__name__ if others else ""


def test_the_errors_are_those_of_the_code() -> None:
    told: dict[str, tuple[str, str]] = {}
    for names, kind, builtin, _ in ERRORS:
        for name in re.findall(r"`(\w+)`", re.sub(r"\(.*\)", "", names)):
            told[name] = kind, builtin.strip("`")
    assert told == {
        error.__name__: (error.kind, builtin_of(error)) for error in leaves(errors.QuiverError)
    }
    assert set(told) <= set(quiver.__all__)


def test_the_attributes_that_the_table_names_are_there() -> None:
    given: dict[str, Any] = {"code": 1}
    for names, *_ in ERRORS:
        attributes = re.findall(r"`\.(\w+)`", names)
        if attributes:
            error = getattr(quiver, re.findall(r"`(\w+)`", names)[0])("said", **given)
            assert all(hasattr(error, attribute) for attribute in attributes)


def test_the_files_of_the_shape_are_there() -> None:
    named = re.findall(
        r"^ {4,}([\w/]+(?:\.py|/))", section("The shape of the code", README), re.MULTILINE
    )
    assert len(named) >= 8
    for name in named:
        assert (ROOT / "quiver" / name).exists(), name
    for name in re.findall(r"`((?:tests|examples)/[\w/]+\.py|[A-Z]+\.md)`", README):
        assert (ROOT / name).is_file(), name


def test_no_link_leads_into_the_repository() -> None:
    """On the page of an index, or in pip's metadata, there is no repository around the text."""
    links = re.findall(
        r"\]\(([^)\s]+)|^\[[^]]+\]:\s*(\S+)|(?:src|href)=[\"']([^\"']+)", README, re.M
    )
    targets = ["".join(each) for each in links]
    assert len(targets) >= 3
    assert [each for each in targets if not each.startswith("https://")] == []


RATES = {
    "Quiver, greenlets": "quiver-greenlets",
    "Quiver, threads": "quiver-threads",
    "curl_cffi, threads": "curl_cffi-threads",
    "niquests, threads": "niquests-threads",
    "aioquic's asyncio client": "aioquic-async",
    "a bare aioquic loop": "bare",
}


def test_the_rates_are_those_that_were_measured() -> None:
    measured = {
        (client, callers): rate.partition(" ")[0]
        for callers, client, rate, *_ in table(page("performance.md").partition("bench: rate ")[2])
    }
    callers = README[README.index("| requests per second") :].partition("\n")[0].split("|")[2:-1]
    told = table(README)
    assert [name for name, *_ in told] == list(RATES)
    for name, *rates in told:
        expected = [measured[RATES[name], each.strip()] for each in callers]
        assert rates == expected, name


def test_the_make_targets_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"make (\w+)", section("Two commands", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_examples_run(
    origin: Origin, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other in one namespace, as a reader would type them."""
    monkeypatch.setenv("SSL_CERT_FILE", origin.cafile)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 4
    namespace: dict[str, Any] = {}
    for block in blocks:
        code = block.replace("localhost:4443", f"localhost:{origin.port}")
        code = code.replace('"ca.pem"', repr(origin.cafile))
        exec(compile(code, "README.md", "exec"), namespace)
    assert namespace["response"].json() == {"id": 42}
    assert origin.requests_served("/items/42") >= 2
    assert not namespace["pool"].is_alive()
    with LocalOrigin(authority=authority) as http3_origin:
        namespace["test_hello"](http3_origin)
        assert http3_origin.requests_served("/hello") == 1


def test_the_commands_are_those_of_the_code() -> None:
    told = {re.findall(r"`quiver (\w+)", command)[0]: does for command, does in COMMANDS}
    assert set(told) == set(main.list_commands(click.Context(main)))
    for command, does in told.items():
        options = {option for each in main.load(command).params for option in each.opts}
        assert set(re.findall(r"`(-[\w-]+)", does)) <= options


def test_the_guides_are_there() -> None:
    for name in re.findall(r"`(docs/[\w/-]+\.md)`", README):
        assert (ROOT / name).is_file(), name
