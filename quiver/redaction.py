"""What may be a secret, left out of messages, reprs, logs and files.

Those end up in trackers and in other people's hands. A URL is shown without its user information,
query and fragment; a field that carries credentials by its name alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

__all__ = ["HIDDEN", "names_of", "redacted_field", "redacted_url"]

HIDDEN: Final = "***"

_AUTHORITY: Final = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.\-]*:)?//(?:\[[^\]/?#@]*\]|[^:/?#@\[\]\s]*)(?::[0-9]*)?(?=[/?#]|\Z)"
    r"|/(?!/)"
)
"""The beginning of a URL, or of a path, that holds no user information for sure."""

_SCHEME: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.\-]*:)?//")
_QUERY: Final = re.compile(r"([?#]).*", re.DOTALL)

_CREDENTIALS: Final = re.compile(
    r"auth|cookie|token|secret|passw|pwd|credential|session|signature|key|private|jwt|assertion|csrf",
    re.IGNORECASE,
)
_WITH_URL: Final = frozenset({"location", "content-location", "referer", "refresh", "link"})
"""Fields whose values are relative URLs, too. Elsewhere a path, or a whole URL, is seen as one."""


def redacted_url(url: str) -> str:
    """Return a URL or a target, whatever may be wrong with it, without what may be a secret.

    Where it cannot be told for sure what is the host, all before the last "@" is taken for user
    information: a password may have a slash, a question mark or a space in it.
    """
    if "@" in url and _AUTHORITY.match(url) is None:
        scheme = _SCHEME.match(url)
        url = f"{scheme[0] if scheme else ''}{HIDDEN}@{url.rpartition('@')[2]}"
    return _QUERY.sub(rf"\1{HIDDEN}", url, count=1)


def redacted_field(name: str, value: str) -> str:
    """Return a field's value as it may be shown: not at all if its name speaks of credentials.

    A URL in it is shown as `redacted_url` does, and nothing after its query.
    """
    if _CREDENTIALS.search(name) and name != ":authority":
        return HIDDEN
    is_url = name in _WITH_URL or value.startswith("/") or "://" in value
    return redacted_url(value) if is_url else value


def names_of(fields: Iterable[tuple[str, str]] | Callable[..., object]) -> str:
    """Return what a repr shows of fields: their names."""
    if callable(fields):
        return "<callable>"
    return f"<{', '.join(name for name, _ in fields)}>"
