"""Where `quiver get` puts a body (-o, -O), and how it goes on with one that broke off (-C -)."""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

import attrs
import click

from quiver.cli.failures import CannotResume, OutputFailed

__all__ = ["Place", "Target", "place_of", "remember", "remote_name", "target_of"]

_CONTENT_RANGE: Final = re.compile(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)")
_ETAG: Final = "user.quiver.etag"  # an extended attribute of the file, where there are any


class Place(enum.Enum):
    """What becomes of the file."""

    CREATED = "xb"
    WRITTEN = "wb"
    CONTINUED = "ab"
    COMPLETE = ""


@attrs.frozen
class Target:
    """Where the body goes.

    Attributes:
        path: the file; None for stdout.
        on_terminal: stdout is meant, and nobody has said that a terminal gets the body as it is.
        create: it must not be there yet.
        have: bytes of it that are there, and are not asked for.
        etag: the strong one of what these are of, if it is known.
    """

    path: str | None
    on_terminal: bool = False
    create: bool = False
    have: int = 0
    etag: str | None = None

    def fields(self, given: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """The request's fields: those given, and a range. Raises BadParameter."""
        fields = list(given)
        names = {name.lower() for name, _ in fields}
        if self.have:
            if "range" in names:
                raise click.BadParameter("a range is what -C - asks for", param_hint="--header")
            fields.append(("range", f"bytes={self.have}-"))
            if self.etag is not None and "if-range" not in names:
                fields.append(("if-range", self.etag))
        return fields


def target_of(
    url: str, output: str | None, *, named_by_url: bool, clobber: bool, resume: bool
) -> Target:
    """Find out where the body goes. Raises BadParameter and OutputFailed."""
    if named_by_url and output is not None:
        raise click.BadParameter("it is -o or -O", param_hint="--remote-name")
    path = remote_name(url) if named_by_url else output
    if path is None or path == "-":
        if resume:
            raise click.BadParameter("needs -o FILE or -O", param_hint="--continue-at")
        return Target(None, on_terminal=path is None)
    if resume:
        have = os.path.getsize(path) if os.path.isfile(path) else 0
        create = named_by_url and not os.path.lexists(path)
        return Target(path, create=create, have=have, etag=_remembered(path) if have else None)
    create = named_by_url and not clobber
    if create and os.path.lexists(path):
        raise OutputFailed(f"{path} exists: --clobber overwrites it, -C - goes on with it")
    return Target(path, create=create)


def remote_name(url: str) -> str:
    """The last part of the URL's path, undecoded as curl has it. Raises BadParameter."""
    name = urlsplit(url).path.rpartition("/")[2]
    if name in ("", ".", "..") or re.search(r"[\\:\0]", name):
        raise click.BadParameter("the URL's path ends in no name", param_hint="--remote-name")
    return name


def place_of(
    target: Target, status: int, content_range: str | None, etag: str | None = None
) -> Place:
    """Say what a response does to the file. Pure. Raises CannotResume."""
    if not target.have:
        return Place.CREATED if target.create else Place.WRITTEN
    if status == 200:  # the whole: it has changed, or this server knows no ranges
        return Place.WRITTEN
    said = _CONTENT_RANGE.fullmatch(content_range or "")
    start, whole = said.groups() if said else (None, None)
    same = None in (etag, target.etag) or etag == target.etag  # else If-Range was not heeded
    if status == 206 and start == str(target.have) and same:
        return Place.CONTINUED
    if status == 416 and start is None and whole == str(target.have):
        return Place.COMPLETE
    shown = f"status {status}" + (f", content-range {content_range!r}" if content_range else "")
    raise CannotResume(f"{target.path} is left as it is, {target.have} bytes: {shown}")


def remember(file: int, etag: str | None) -> None:
    """Note with the file what it is of, so that no other is continued with; if that can be."""
    try:
        if etag is not None and not etag.startswith("W/"):
            os.setxattr(file, _ETAG, etag.encode("latin-1"))
        else:
            os.removexattr(file, _ETAG)
    except (OSError, AttributeError):  # not on this file system, or not in this Python
        pass


def _remembered(path: str) -> str | None:
    try:
        return os.getxattr(path, _ETAG).decode("latin-1")
    except (OSError, AttributeError):
        return None
