"""What a server says reaches no message, log line or terminal as it came (CWE-117, CWE-150)."""

from __future__ import annotations

import errno
import io
import logging
import os
import pty
import re
import select
from collections.abc import Iterator
from typing import Final

import pytest

import quiver
from quiver.actors import log
from quiver.testing import Authority
from tests.support.programs.quiver_command import popen, run
from tests.support.servers.frames import data, headers, response
from tests.support.servers.hostile import HostileOrigin, RawPeer

EVIL: Final = "\x1b]0;owned\x07\x1b[2J\r\n2026-01-01 CRITICAL root: forged \u202e\x9b2J"
STEERS: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
LIMIT: Final = 30.0


def closes(peer: RawPeer, stream_id: int) -> None:
    peer.quic.close(error_code=0x100, reason_phrase=EVIL)
    peer.touched()


def answers(peer: RawPeer, stream_id: int) -> None:
    """With C1 controls in a field and a trailer, valid by RFC 9110 5.5, and a loud body."""
    evil = [(b"x-evil", b"\x9b2J\x9d0;owned\x9c")]
    content = response(*evil) + data(EVIL.encode()) + headers(evil)
    peer.write(stream_id, content, ended=True)


@pytest.fixture
def told() -> Iterator[io.StringIO]:
    """All that the library and aioquic log."""
    written = io.StringIO()
    sink = logging.StreamHandler(written)
    loggers = [logging.getLogger(name) for name in ("quiver", "quic")]
    before = [each.level for each in loggers]
    for each in loggers:
        each.addHandler(sink)
        each.setLevel(logging.DEBUG)
    yield written
    for each, level in zip(loggers, before, strict=True):
        each.removeHandler(sink)
        each.setLevel(level)


def test_a_close_reason(authority: Authority, told: io.StringIO) -> None:
    with HostileOrigin(authority, closes) as origin:
        client = quiver.Client(pools={"default": {"cafile": authority.cafile}})
        with client, pytest.raises(quiver.ConnectionLost) as caught:
            client.get(origin.url + "/attack", timeout=LIMIT)
    said = r"\x1b]0;owned\x07\x1b[2J\r\n2026-01-01 CRITICAL root: forged \u202e\x9b2J"
    assert said in str(caught.value)
    assert caught.value.reason == said
    log.flush(LIMIT)
    assert "reason " + said in told.getvalue(), "aioquic's own record"
    assert not STEERS.search(told.getvalue())
    assert all(not line.startswith("2026-") for line in told.getvalue().splitlines())


def test_an_endless_reason_is_cut(authority: Authority) -> None:
    error = quiver.ConnectionLost("x" * 100_000, reason="y" * 100_000)
    assert len(str(error)) <= 2_000 and len(error.reason) <= 2_000


@pytest.mark.one_in(2)
@pytest.mark.parametrize("option", ["-i", "-v"])
def test_fields_on_the_command_line(authority: Authority, option: str) -> None:
    with HostileOrigin(authority, answers) as origin:
        done = run("get", option, "--cafile", origin.cafile, origin.url + "/attack")
    assert done.stderr.count(r"x-evil: \x9b2J\x9d0;owned\x9c") == 2
    assert not STEERS.search(done.stderr)


def test_an_error_on_the_command_line(authority: Authority) -> None:
    with HostileOrigin(authority, closes) as origin:
        done = run("get", "--cafile", origin.cafile, origin.url + "/attack")
    assert done.returncode == 8
    assert not STEERS.search(done.stderr) and len(done.stderr.splitlines()) == 1


@pytest.mark.long
def test_a_body_on_a_terminal_is_text_and_elsewhere_what_came(authority: Authority) -> None:
    with HostileOrigin(authority, answers) as origin:
        asked = ("get", "--cafile", origin.cafile, origin.url + "/attack")
        shown = on_a_terminal(*asked).replace("\r\n", "\n")
        assert not STEERS.search(shown)
        assert r"\x1b]0;owned\x07\x1b[2J" in shown
        assert run(*asked).stdout.encode() == EVIL.replace("\r\n", "\n").encode()
        assert "\x1b]0;owned" in on_a_terminal(*asked, "-o", "-"), "it was asked for"


def on_a_terminal(*arguments: str) -> str:
    """What a terminal gets of the command."""
    ours, its = pty.openpty()
    with popen(*arguments, stdout=its) as program:
        os.close(its)
        read = b""
        while select.select([ours], [], [], LIMIT)[0]:
            try:
                piece = os.read(ours, 65_536)
            except OSError as error:  # Linux says so at the end
                assert error.errno == errno.EIO
                break
            if not piece:
                break
            read += piece
        assert program.wait(LIMIT) == 0
    os.close(ours)
    return read.decode()
