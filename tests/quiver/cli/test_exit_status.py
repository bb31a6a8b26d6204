"""One exit status for each kind of end, and the guide's table of them."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

import quiver
from quiver.cli.exit_status import ExitStatus, exit_status_of
from quiver.cli.failures import CannotResume, OutputFailed
from quiver.cli.main import main

GUIDE = Path(__file__).resolve().parents[3] / "docs/guides/command-line.md"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (quiver.InvalidURL, ExitStatus.USAGE),
        (quiver.InvalidRequest, ExitStatus.USAGE),
        (quiver.NameResolutionFailed, ExitStatus.NAME),
        (quiver.ConnectionRefused, ExitStatus.REFUSED),
        (quiver.ConnectTimeout, ExitStatus.TIMEOUT),
        (quiver.ReceiveTimeout, ExitStatus.TIMEOUT),
        (quiver.RequestTimeout, ExitStatus.TIMEOUT),
        (quiver.CertificateInvalid, ExitStatus.CERTIFICATE),
        (quiver.HandshakeFailed, ExitStatus.PROTOCOL),
        (quiver.ProtocolViolation, ExitStatus.PROTOCOL),
        (quiver.ResponseTooLarge, ExitStatus.PROTOCOL),
        (quiver.ConnectionLost, ExitStatus.LOST),
        (quiver.StreamReset, ExitStatus.LOST),
        (quiver.GoAway, ExitStatus.LOST),
        (quiver.InternalError, ExitStatus.FAILED),
        (quiver.PoolStopped, ExitStatus.FAILED),
        (PermissionError, ExitStatus.FAILED),
        (KeyboardInterrupt, ExitStatus.INTERRUPTED),
        (BrokenPipeError, ExitStatus.PIPE),
        (OutputFailed, ExitStatus.WRITE),
        (CannotResume, ExitStatus.RANGE),
    ],
)
def test_an_error_has_its_status(error: type[BaseException], status: ExitStatus) -> None:
    assert exit_status_of(error) is status


def test_no_error_is_success() -> None:
    statuses = {exit_status_of(getattr(quiver, name)) for name in quiver.__all__ if is_error(name)}
    assert (
        statuses & {ExitStatus.OK, ExitStatus.STATUS, ExitStatus.INTERRUPTED, ExitStatus.PIPE}
        == set()
    )


def is_error(name: str) -> bool:
    thing = getattr(quiver, name)
    return isinstance(thing, type) and issubclass(thing, quiver.QuiverError)


def test_the_guides_table_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [(str(int(each)), each.meaning) for each in ExitStatus]


def test_the_guides_options_are_those_of_the_code() -> None:
    rows = re.findall(r"^\| (`-.+) \| ", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    told = [re.findall(r"`(-[\w.-]+)`", row) for row in rows]
    options = [each for each in main.load("get").params if isinstance(each, click.Option)]
    assert sorted(told) == sorted([*each.opts, *each.secondary_opts] for each in options)
