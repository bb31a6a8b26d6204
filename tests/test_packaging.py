"""What is installed: the distribution `quiver-http3`, with the package `quiver` alone."""

from __future__ import annotations

import ast
import configparser
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from fnmatch import fnmatchcase
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest
from packaging.specifiers import SpecifierSet

import quiver

ROOT = Path(__file__).resolve().parents[1]

# What each part that is not needed by all has to bring along.
EXTRAS = {
    "requests": {"requests", "urllib3"},
    "httpx": {"httpx"},
    "httpx2": {"httpx2"},
    "locust": {"locust"},
    "cli": {"click", "rich"},
    "plot": {"matplotlib"},
    "otel": {"opentelemetry-api"},
    "prometheus": {"prometheus-client"},
    "testing": {"pytest", "aioquic"},
}


# Where what an extra brings is imported.
USED_IN = {
    "quiver/adapters/requests/*": "requests",
    "quiver/adapters/httpx/*": "httpx",
    "quiver/adapters/locust.py": "locust",
    "quiver/adapters/opentelemetry/*": "otel",
    "quiver/adapters/prometheus.py": "prometheus",
    "quiver/cli/*": "cli",
    "quiver/cli/bench_report.py": "plot",
    "quiver/testing/*": "testing",
}


def declared() -> dict[str, list[str]]:
    """The requirements of all ("") and of each extra, as setup.cfg has them."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    extras = dict(setup["options.extras_require"])
    said = {"": setup["options"]["install_requires"], **extras}
    return {extra: [line for line in text.split("\n") if line] for extra, text in said.items()}


def name_of(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def imported(path: Path) -> Iterator[str]:
    """The packages of others that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            top = name.partition(".")[0]
            if top not in sys.stdlib_module_names and top not in {"quiver", "actors"}:
                yield top


def test_every_import_is_declared() -> None:
    brings = packages_distributions()
    said = declared()
    given = {extra: {name_of(each) for each in said[extra]} for extra in ("", *USED_IN.values())}
    files = [*(ROOT / "quiver").rglob("*.py"), *(ROOT / "actors").glob("*.py")]
    assert len(files) > 100
    for path in files:
        place = str(path.relative_to(ROOT))
        extras = [extra for pattern, extra in USED_IN.items() if fnmatchcase(place, pattern)]
        allowed = given[""].union(*(given[extra] for extra in extras))
        for package in imported(path):
            ours = {name_of(each) for each in brings[package]}
            assert ours & allowed, f"{place} imports {package}, of {ours}: not in setup.cfg"


def test_every_requirement_of_the_library_is_used_and_has_a_lowest_release() -> None:
    brings = packages_distributions()
    files = [*(ROOT / "quiver").rglob("*.py"), *(ROOT / "actors").glob("*.py")]
    used = {name_of(each) for path in files for name in imported(path) for each in brings[name]}
    for requirement in declared()[""]:
        assert name_of(requirement) in used, f"{requirement} is needed by nothing"
        assert ">=" in requirement or requirement == "certifi", "roots are to be the newest"


# bounds ---------------------------------------------------------------------------------------

BOUND: Final = re.compile(r"(?:>=|<|==|!=|~=)")
LOWEST: Final = re.compile(r">=([\d.]+)")
REASON: Final = re.compile(r"^# ([\w.-]+(?:,\s+(?:# )?[\w.-]+)*): \w", re.MULTILINE)


def bounded() -> dict[str, set[str]]:
    """Names of requirements with a bound: those of all, and those of extras."""
    said = declared()
    of_extras = [each for extra, given in said.items() if extra for each in given]
    return {
        "options": {name_of(each) for each in said[""] if BOUND.search(each)},
        "options.extras_require": {name_of(each) for each in of_extras if BOUND.search(each)},
    }


def test_each_bound_has_its_reason() -> None:
    """In the comment above; and no reason is left of a bound that went."""
    text = (ROOT / "setup.cfg").read_text("utf-8")
    comments = {
        "options": text.partition("install_requires =")[0],
        "options.extras_require": text.partition("[options.extras_require]")[0].rpartition("]\n")[
            2
        ],
    }
    for section, names in bounded().items():
        told = " ".join(REASON.findall(comments[section])).replace(",", " ").replace("#", " ")
        assert set(told.split()) == names, section


def test_the_oldest_releases_are_those_that_the_bounds_allow() -> None:
    """`>=2.3` is 2.3.0, or 2.3.1 where that was withdrawn. The highest bound of a name counts."""
    least: dict[str, list[int]] = {}
    for extra, given in declared().items():
        for requirement in given if extra not in {"bench", "docs", "dev"} else ():
            if found := LOWEST.search(requirement):
                name = name_of(requirement)
                least[name] = max(least.get(name, []), parts(found[1]))
    for line in (ROOT / ".ci" / "oldest.txt").read_text("utf-8").splitlines():
        release, _, excuse = line.partition("#")
        name, _, version = release.strip().partition("==")
        if name:
            bound = least.pop(name, [] if excuse else None)
            assert bound is not None, f"{name} has no bound"
            assert parts(version) >= bound, line
            assert excuse or parts(version)[: len(bound)] == bound, line
    assert least == {}, "these are missing"


def parts(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def test_what_is_locked_is_what_is_declared() -> None:
    """Each name of the extra `dev` and of what it brings, in a release that its bounds allow."""
    text = (ROOT / ".ci" / "locked.txt").read_text("utf-8")
    blocks = re.findall(
        r"^([\w.-]+)==([\w.]+)((?:.*\n)(?: +--hash=sha256:\w{64}.*\n)+)", text, re.M
    )
    assert len(blocks) == len(re.findall(r"^[\w.-]+==", text, re.MULTILINE)), "some have no hash"
    locked = {name: version for name, version, _ in blocks}
    said = declared()
    for extra in said.keys() - {"bench"}:
        for requirement in said[extra]:
            if requirement.startswith("%"):
                continue
            version = locked[name_of(requirement)]
            specifier = re.sub(r"^[\w.-]+(?:\[\w+\])?", "", requirement)
            assert SpecifierSet(specifier).contains(version), requirement


# what is built --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy, so that nothing is left in the sources."""
    folder = tmp_path_factory.mktemp("packaging")
    source = folder / "source"
    source.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    unneeded = shutil.ignore_patterns("__pycache__")
    for name in ("actors", "quiver"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=unneeded)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "-w",
        str(folder),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (built,) = folder.glob("*.whl")
    return built


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_actors_come_as_a_part_of_quiver(wheel: Path) -> None:
    ours = {f"quiver/actors/{path.name}" for path in (ROOT / "actors").glob("*.py")}
    assert ours <= contents(wheel)


def test_there_is_one_top_level_name(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in contents(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"quiver"}


def test_every_module_and_the_mark_of_types_are_there(wheel: Path) -> None:
    expected = {str(path.relative_to(ROOT)) for path in (ROOT / "quiver").rglob("*.py")}
    assert expected | {"quiver/py.typed"} <= contents(wheel)


def test_metadata(wheel: Path) -> None:
    assert wheel.name.startswith("quiver_http3-")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        (scripts,) = [name for name in archive.namelist() if name.endswith("/entry_points.txt")]
        said = Parser().parsestr(archive.read(metadata).decode())
        entries = archive.read(scripts).decode()
    assert "[console_scripts]\nquiver = quiver.cli.main:main\n" in entries
    assert "[pytest11]\nquiver = quiver.testing.plugin\n" in entries
    assert said["Name"] == "quiver-http3"
    assert said["Version"] == quiver.__version__
    assert said["Requires-Python"] == ">=3.11"
    assert EXTRAS.keys() <= set(said.get_all("Provides-Extra", []))
    for extra, needed in EXTRAS.items():
        marked = [each for each in said.get_all("Requires-Dist", []) if f'"{extra}"' in each]
        assert needed <= {re.split(r"[^\w-]", each)[0] for each in marked}, extra


def test_the_console_script_is_installed() -> None:
    script = Path(sys.executable).with_name("quiver")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("quiver, version ")
