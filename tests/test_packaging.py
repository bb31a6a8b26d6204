"""What is installed: the distribution `quiver-http3`, with the package `quiver` alone."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from fnmatch import fnmatchcase
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement

import quiver

ROOT = Path(__file__).resolve().parents[1]

# What each part that is not needed by all has to bring along.
EXTRAS = {
    "requests": {"requests", "urllib3"},
    "httpx": {"httpx"},
    "httpx2": {"httpx2"},
    "locust": {"locust", "geventhttpclient"},
    "cli": {"click", "rich"},
    "plot": {"matplotlib"},
    "otel": {"opentelemetry-api"},
    "tcp": {"h11", "h2", "hpack", "hyperframe"},
    "prometheus": {"prometheus-client"},
    "testing": {"pytest", "aioquic"},
}


# Where what an extra brings is imported.
USED_IN = {
    "quiver/adapters/requests/*": "requests",
    "quiver/adapters/httpx/*": "httpx",
    "quiver/adapters/locust/*": "locust",
    "quiver/adapters/opentelemetry/*": "otel",
    "quiver/adapters/prometheus.py": "prometheus",
    "quiver/cli/*": "cli",
    "quiver/cli/bench_report.py": "plot",
    "quiver/testing/*": "testing",
    "quiver/h2/*": "tcp",
    "quiver/h1/*": "tcp",
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


@pytest.mark.long
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


@pytest.mark.long
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
            assert Requirement(requirement).specifier.contains(version), requirement


# what is built --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources without what git ignores, so that nothing is left in them."""
    ignored = (ROOT / ".gitignore").read_text("utf-8").split()
    names = {line.rstrip("/").rpartition("/")[2] for line in ignored}
    copy = tmp_path_factory.mktemp("packaging") / "checkout"
    unneeded = shutil.ignore_patterns(".git", "PKG-INFO", *names)
    shutil.copytree(ROOT, copy, symlinks=True, ignore=unneeded)
    return copy


def source_distribution(of: Path) -> Path:
    """What `python -m build --sdist --no-isolation` makes."""
    code = "from setuptools import build_meta as backend; print(backend.build_sdist('dist'))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=of, check=True, capture_output=True, text=True)
    return of / "dist" / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def unpacked(checkout: Path) -> Path:
    """The unpacked source distribution."""
    copy = shutil.copytree(checkout, checkout.with_name("for-sdist"), symlinks=True)
    with tarfile.open(source_distribution(copy)) as archive:
        archive.extractall(checkout.with_name("unpacked"), filter="data")
    (top,) = checkout.with_name("unpacked").iterdir()
    return top


def wheel_of(source: Path) -> Path:
    folder = source.with_name(f"wheel-{source.name}")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    where = ["-w", str(folder), str(source)]
    subprocess.run([*command, *where], check=True, capture_output=True, text=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    return wheel_of(shutil.copytree(checkout, checkout.with_name("for-wheel"), symlinks=True))


def tree(folder: Path) -> dict[str, tuple[int, bytes | str]]:
    """The mode and the content of each file; of a link, where it leads to."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            os.readlink(path) if path.is_symlink() else path.read_bytes(),
        )
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.long
def test_the_source_distribution_is_the_checkout(checkout: Path, unpacked: Path) -> None:
    """Every file as it is: tests, docs, benchmarks, comments, modes, the link quiver/actors."""
    expected = tree(checkout)
    assert expected["quiver/actors"][1] == "../actors"
    made = re.compile(r"PKG-INFO|quiver_http3\.egg-info/.*")
    found = {name: each for name, each in tree(unpacked).items() if not made.fullmatch(name)}
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout, but what was made of one")
def test_the_source_distribution_has_what_git_has(unpacked: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True)
    names = listed.stdout.decode().rstrip("\0").split("\0")
    assert len(names) > 500
    assert [name for name in names if not os.path.lexists(unpacked / name)] == []


@pytest.mark.long
def test_the_source_distribution_builds_from_itself(wheel: Path, unpacked: Path) -> None:
    """A wheel, and another source distribution, as the checkout does."""
    copy = shutil.copytree(unpacked, unpacked.with_name("again"), symlinks=True)
    with tarfile.open(source_distribution(copy)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert tree(unpacked).keys() <= names
    assert read(wheel_of(unpacked)) == read(wheel)


# Of each kind one: what looks at files, what asks a server, what runs programs.
ITS_OWN_TESTS: Final = (
    "tests/test_packaging.py::test_the_source_distribution_is_the_checkout",
    *("tests/test_commands.py", "tests/actors/test_reply.py", "tests/quiver/test_client.py"),
    "tests/examples",
)


@pytest.mark.long
def test_the_unpacked_source_distribution_runs_its_tests(unpacked: Path) -> None:
    copy = shutil.copytree(unpacked, unpacked.with_name("tested"), symlinks=True)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *ITS_OWN_TESTS],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout
    assert "skipped" not in run.stdout.splitlines()[-1]


def read(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.long
def test_the_actors_come_as_a_part_of_quiver(wheel: Path) -> None:
    ours = {f"quiver/actors/{path.name}" for path in (ROOT / "actors").glob("*.py")}
    assert ours <= read(wheel).keys()


def test_there_is_one_top_level_name(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in read(wheel)}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"quiver"}


def test_every_module_and_the_mark_of_types_are_there(wheel: Path) -> None:
    expected = {str(path.relative_to(ROOT)) for path in (ROOT / "quiver").rglob("*.py")}
    assert expected | {"quiver/py.typed"} <= read(wheel).keys()


def metadata(wheel: Path) -> Message:
    (said,) = [each for name, each in read(wheel).items() if name.endswith("/METADATA")]
    return Parser().parsestr(said.decode())


def test_the_entry_points(wheel: Path) -> None:
    (said,) = [each for name, each in read(wheel).items() if name.endswith("/entry_points.txt")]
    assert b"[console_scripts]\nquiver = quiver.cli.main:main\n" in said
    assert b"[pytest11]\nquiver = quiver.testing.plugin\n" in said


def test_metadata(wheel: Path) -> None:
    assert wheel.name.startswith("quiver_http3-")
    said = metadata(wheel)
    assert said["Name"] == "quiver-http3"
    assert said["Version"] == quiver.__version__
    assert said["Requires-Python"] == ">=3.11"
    assert said["Author"]
    assert {"http3", "quic", "gevent"} <= set(said["Keywords"].split(","))
    assert EXTRAS.keys() <= set(said.get_all("Provides-Extra", []))
    for extra, needed in EXTRAS.items():
        marked = [each for each in said.get_all("Requires-Dist", []) if f'"{extra}"' in each]
        assert needed <= {re.split(r"[^\w-]", each)[0] for each in marked}, extra


def test_the_licence_comes_along(wheel: Path) -> None:
    assert metadata(wheel)["License"] == "Apache-2.0"
    assert (ROOT / "LICENSE").read_bytes() in read(wheel).values()


def test_the_description_is_the_readme(wheel: Path) -> None:
    said = metadata(wheel)
    assert said["Description-Content-Type"] == "text/markdown"
    assert said.get_payload() == (ROOT / "README.md").read_text("utf-8")


def test_the_pythons_are_those_that_are_tested(wheel: Path) -> None:
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    tested = re.findall(r"py3(\d+)", tox["tox"]["env_list"])
    told = "\n".join(metadata(wheel).get_all("Classifier", []))
    assert re.findall(r"^Programming Language :: Python :: 3\.(\d+)$", told, re.M) == tested


def test_the_console_script_is_installed() -> None:
    script = Path(sys.executable).with_name("quiver")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("quiver, version ")
