"""One exit status for each kind of end, and the guide's table of them."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

import quiver
from quiver.cli.exits import Exit, exit_of
from quiver.cli.main import main

GUIDE = Path(__file__).resolve().parents[3] / "docs/guides/command-line.md"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (quiver.InvalidURL, Exit.USAGE),
        (quiver.InvalidRequest, Exit.USAGE),
        (quiver.NameResolutionFailed, Exit.NAME),
        (quiver.ConnectionRefused, Exit.REFUSED),
        (quiver.ConnectTimeout, Exit.TIMEOUT),
        (quiver.ReceiveTimeout, Exit.TIMEOUT),
        (quiver.RequestTimeout, Exit.TIMEOUT),
        (quiver.CertificateInvalid, Exit.CERTIFICATE),
        (quiver.HandshakeFailed, Exit.PROTOCOL),
        (quiver.ProtocolViolation, Exit.PROTOCOL),
        (quiver.ResponseTooLarge, Exit.PROTOCOL),
        (quiver.ConnectionLost, Exit.LOST),
        (quiver.StreamReset, Exit.LOST),
        (quiver.GoAway, Exit.LOST),
        (quiver.PoolStopped, Exit.FAILED),
        (PermissionError, Exit.FAILED),
        (KeyboardInterrupt, Exit.INTERRUPTED),
        (BrokenPipeError, Exit.PIPE),
    ],
)
def test_an_error_has_its_status(error: type[BaseException], status: Exit) -> None:
    assert exit_of(error) is status


def test_no_error_is_success() -> None:
    statuses = {exit_of(getattr(quiver, name)) for name in quiver.__all__ if is_error(name)}
    assert statuses & {Exit.OK, Exit.STATUS, Exit.INTERRUPTED, Exit.PIPE} == set()


def is_error(name: str) -> bool:
    thing = getattr(quiver, name)
    return isinstance(thing, type) and issubclass(thing, quiver.QuiverError)


def test_the_guides_table_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(str(int(each)), each.meaning) for each in Exit]


def test_the_guides_options_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (`-.+) \| ", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    told = [re.findall(r"`(-[\w-]+)`", row) for row in rows]
    options = [each for each in main.commands["get"].params if isinstance(each, click.Option)]
    assert sorted(told) == sorted(each.opts for each in options)
