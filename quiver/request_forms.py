"""Query strings and JSON bodies of the values that a caller gives. Pure.

params={"q": "a b", "tag": ["x", "y"], "page": 2}   ?q=a%20b&tag=x&tag=y&page=2
json={"name": "é"}                                   {"name":"é"} in UTF-8 (RFC 8259)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlencode

from quiver.errors import InvalidRequest

__all__ = ["JSON", "Param", "ParamsLike", "json_body", "with_query"]

JSON: Final = "application/json"

Param: TypeAlias = str | bytes | int | float | None

ParamsLike: TypeAlias = Mapping[str, Any] | Iterable[tuple[str, Any]]
"""What a caller may give as a query. None leaves its name out; a list gives its name many times."""


def json_body(value: object) -> bytes:
    """Return a value as JSON. Raises InvalidRequest: it has none."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        # A value may be a secret; the message of json names its type at most.
        said = error if isinstance(error, TypeError) else "NaN, a circle or half a character in it"
        raise InvalidRequest(f"json: a {type(value).__name__} cannot be sent: {said}") from None


def with_query(target: str, params: ParamsLike) -> str:
    """Return "/path?query" with `params` behind the query that is there.

    Raises InvalidRequest that names what is neither text, bytes nor a number.
    """
    try:
        query = urlencode(list(_pairs(params)), quote_via=quote, safe="")
    except UnicodeError:
        raise InvalidRequest("params: half a character (a surrogate) has no UTF-8") from None
    if not query:
        return target
    return target + ("&" if target.partition("?")[2] else "" if "?" in target else "?") + query


def _pairs(params: ParamsLike) -> Iterator[tuple[str | bytes, str | bytes]]:
    given = params.items() if isinstance(params, Mapping) else params
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        ready = "; write a query that is encoded into the URL" if isinstance(given, str) else ""
        kind = type(params).__name__
        raise InvalidRequest(f"params: a {kind} is neither a mapping nor pairs{ready}")
    for pair in given:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise InvalidRequest(f"params: a {type(pair).__name__} is no pair of name and value")
        name, value = pair
        if not isinstance(name, str | bytes):
            raise InvalidRequest(f"params: a name is a {type(name).__name__}, not a str")
        for each in _values(value):
            if each is not None:
                yield name, _text(name, each)


def _values(value: Param | Iterable[Param]) -> Iterable[object]:
    if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping):
        return value
    return (value,)


def _text(name: str | bytes, value: object) -> str | bytes:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | bytes):
        return value
    if isinstance(value, int | float):
        return str(value)
    kind = type(value).__name__
    raise InvalidRequest(f"params[{name!r}]: a {kind} is neither text nor a number: convert it")
