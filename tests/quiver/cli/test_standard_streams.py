"""Each command with streams that are closed, full or left, as a shell can hand them over."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quiver.cli.standard_streams import say
from quiver.testing import Origin, pattern

FULL = Path("/dev/full")
NO_ROOM = [pytest.param(">/dev/full", marks=pytest.mark.skipif(not FULL.exists(), reason="none"))]
BENCH = "bench {url}/ok -k -n 5 -c 1"
COMMANDS = {
    "help": "--help",
    "help of one": "get --help",
    "version": "--version",
    "get": "get {url}/bytes/200000 -k",
    "get, short": "get {url}/ok -k -o -",
    "get -I": "get {url}/ok -k -I",
    "get -w": "get {url}/ok -k -o /dev/null -w done",
    "bench": BENCH,
    "bench as JSON": BENCH + " --json",
    "demo": "demo --requests 20 --threads 2",
}


def shell(
    command: str, redirected: str, origin: Origin, stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess[bytes]:
    start = f"'{sys.executable}' -W error -c 'from quiver.cli.main import main; main()'"
    line = f"{start} {command.format(url=origin.url)} {redirected}"
    return subprocess.run(
        line, shell=True, stdout=stdout, stderr=subprocess.PIPE, timeout=50, check=False
    )


def test_a_line_goes_out_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else that of another thread comes between it and its end."""
    pieces: list[str] = []

    class Written(io.StringIO):
        def write(self, text: str) -> int:
            pieces.append(text)
            return len(text)

    monkeypatch.setattr("sys.stderr", Written())
    say("a line")
    say("a note", end="")
    assert pieces == ["a line\n", "a note"]


@pytest.mark.one_in(20)
@pytest.mark.parametrize("redirected", [">&-", *NO_ROOM])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_stdout_that_takes_nothing_is_told_in_a_line(
    command: str, redirected: str, origin: Origin
) -> None:
    done = shell(command, redirected, origin)
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("quiver: stdout cannot be written: ")
    assert done.returncode == 23


@pytest.mark.one_in(12)
@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("get {url}/bytes/1000 -k -v", 0, pattern(1000)),
        ("get {url}/reset/0x102 -k", 8, b""),
        ("get {url}/ok", 6, b""),
        ("get --colour", 2, b""),
        ("get {url}/status/404 -k -f", 22, b""),
    ],
)
def test_a_stderr_that_takes_nothing_is_done_without(
    command: str, status: int, said: bytes, redirected: str, origin: Origin
) -> None:
    if redirected.endswith("full") and not FULL.exists():
        pytest.skip("there is no /dev/full")
    done = shell(command, redirected, origin)
    assert (done.returncode, done.stdout, done.stderr) == (status, said, b"")


@pytest.mark.one_in(6)
@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize("command", [BENCH, BENCH + " --json", COMMANDS["demo"]])
def test_so_it_is_by_what_shows_its_progress(command: str, redirected: str, origin: Origin) -> None:
    if redirected.endswith("full") and not FULL.exists():
        pytest.skip("there is no /dev/full")
    done = shell(command, redirected, origin)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"answered" in done.stdout


@pytest.mark.long
def test_all_three_closed(origin: Origin) -> None:
    assert shell("get {url}/ok -k", "<&- >&- 2>&-", origin).returncode == 23
    assert shell("get {url}/ok -k -o /dev/null", "<&- >&- 2>&-", origin).returncode == 0


@pytest.mark.long
def test_a_closed_stdin_is_no_empty_body(origin: Origin) -> None:
    done = shell("get {url}/echo -k -d @-", "<&-", origin)
    (line,) = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout) == (1, b"")
    assert line.startswith("quiver: ")


@pytest.mark.long
@pytest.mark.one_in(2)
@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("size", [10, 300_000])
def test_a_full_disk_ends_a_file_with_a_line(origin: Origin, size: int) -> None:
    done = shell(f"get {{url}}/bytes/{size} -k -o {FULL}", "", origin)
    assert done.stderr == b"quiver: /dev/full cannot be written: No space left on device\n"
    assert done.returncode == 23


@pytest.mark.one_in(6)
@pytest.mark.parametrize(
    "command",
    [
        *(COMMANDS[name] for name in ("help", "help of one", "get", "demo")),
        *(BENCH, BENCH + " --json"),
    ],
)
def test_a_reader_that_has_gone_ends_it_without_a_word(command: str, origin: Origin) -> None:
    theirs, ours = os.pipe()
    os.close(theirs)
    try:
        done = shell(command, "", origin, stdout=ours)
    finally:
        os.close(ours)
    assert (done.returncode, done.stderr) == (141, b"")
