"""What is installed: the distribution `quiver-http3`, with the package `quiver` alone."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# What each part that is not needed by all has to bring along.
EXTRAS = {
    "requests": {"requests", "urllib3"},
    "httpx": {"httpx"},
    "locust": {"locust"},
    "cli": {"click", "rich"},
    "plot": {"matplotlib"},
    "otel": {"opentelemetry-api"},
    "prometheus": {"prometheus-client"},
    "testing": {"pytest"},
}


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
    assert said["Requires-Python"] == ">=3.11"
    assert EXTRAS.keys() <= set(said.get_all("Provides-Extra", []))
    for extra, needed in EXTRAS.items():
        marked = [each for each in said.get_all("Requires-Dist", []) if f'"{extra}"' in each]
        assert needed <= {re.split(r"[^\w-]", each)[0] for each in marked}, extra


def test_the_console_script_is_installed() -> None:
    script = Path(sys.executable).with_name("quiver")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("quiver, version ")
