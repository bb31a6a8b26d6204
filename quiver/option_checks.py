"""Whether the values of options are what they must be: a judge for each kind of them.

Each raises InvalidOptions that names the option, its value and what is accepted.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import attrs

from quiver import fields
from quiver.chain_verifier import ChainVerifier, is_context
from quiver.errors import InvalidOptions
from quiver.redaction import redacted_url

__all__ = [
    "Judge",
    "agent",
    "count",
    "encoded",
    "file",
    "flag",
    "folder",
    "made",
    "name",
    "one_of",
    "path",
    "pem",
    "refused",
    "seconds",
    "shown",
    "verification",
]

_Attribute: TypeAlias = "attrs.Attribute[Any]"
Judge: TypeAlias = Callable[[Any, "_Attribute", Any], None]


def refused(option: str, value: object, accepted: str) -> InvalidOptions:
    return InvalidOptions(f"{option}={shown(value)}: must be {accepted}")


def shown(value: object) -> str:
    """Return a value for a message; a key or a password in its place is not told."""
    if isinstance(value, str):
        return "PEM" if "-----BEGIN" in value else repr(redacted_url(value))
    if isinstance(value, bytes | Mapping):
        return f"<{type(value).__name__} of {len(value)}>"
    return repr(value)


def count(least: int, *, or_none: bool = False) -> Judge:
    accepted = f"a whole number of at least {least}" + (", or None for no limit" if or_none else "")

    def judge(_: object, attribute: _Attribute, value: object) -> None:
        if value is None:
            if or_none:
                return
            raise refused(attribute.name, value, f"{accepted}: what it bounds has to be bounded")
        if type(value) is not int or value < least:  # a bool is an int, but not here
            raise refused(attribute.name, value, accepted)

    return judge


def seconds(_: object, attribute: _Attribute, value: object) -> None:
    if value is None:
        return
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not math.isfinite(value)
        or value <= 0
    ):
        accepted = "a number of seconds above 0, or None for no limit"
        raise refused(attribute.name, value, accepted)


def flag(_: object, attribute: _Attribute, value: object) -> None:
    if not isinstance(value, bool):
        raise refused(attribute.name, value, "True or False")


def verification(_: object, attribute: _Attribute, value: object) -> None:
    if isinstance(value, bool):
        return
    if not is_context(value):
        raise refused(attribute.name, value, "True, False or an ssl.SSLContext; roots go in cafile")
    try:
        ChainVerifier(value)
    except ValueError as error:
        raise InvalidOptions(f"{attribute.name}={value!r}: {error}") from error


def file(_: object, attribute: _Attribute, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str) or not os.path.isfile(value):
        raise refused(attribute.name, value, "the path of a file that exists, or None")
    if not os.access(value, os.R_OK):
        raise refused(attribute.name, value, "a file that this program may read")


def folder(_: object, attribute: _Attribute, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, str) or not os.path.isdir(value):
        raise refused(attribute.name, value, "the path of a folder that exists, or None")


def pem(_: object, attribute: _Attribute, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, bytes) or b"-----BEGIN CERTIFICATE-----" not in value:
        said = f"{type(value).__name__} of {len(value)}" if isinstance(value, bytes) else value
        raise refused(attribute.name, said, "certificates in PEM, as bytes or str, or None")


def name(_: object, attribute: _Attribute, value: object) -> None:
    if value is None:
        return
    try:
        fields.normal_host(value if isinstance(value, str) else "")
    except ValueError as error:
        raise refused(attribute.name, value, f"a host name, an address or None ({error})") from None


def agent(_: object, attribute: _Attribute, value: object) -> None:
    fault = value is not None and fields.value_fault(value if isinstance(value, str) else "\0")
    if fault:
        raise refused(attribute.name, value, f"a str that a field may hold, or None ({fault})")


def one_of(*accepted: str) -> Judge:
    def judge(_: object, attribute: _Attribute, value: object) -> None:
        if value not in accepted:
            raise refused(attribute.name, value, " or ".join(map(repr, accepted)))

    return judge


def path(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def encoded(value: object) -> object:
    return value.encode() if isinstance(value, str) else value


def made(make: Callable[[object], object]) -> Callable[[object], object]:
    def convert(value: object) -> object:
        try:
            return None if value is None else make(value)
        except ValueError as error:
            raise InvalidOptions(f"{error}") from None

    return convert
