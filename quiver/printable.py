"""Text from outside, made fit for a message, a log line or a terminal.

A server chooses its close reasons, header values and certificate subjects. Written as they are,
control characters could steer a terminal (CWE-150), and line ends forge lines of a log (CWE-117).
Here they become what Python's literals call them: ESC is shown as the four characters `\\x1b`. So
do C1 controls, bidirectional overrides, white space but the plain one, and lone surrogates.
"""

from __future__ import annotations

from typing import Final

__all__ = ["LONGEST", "escaped", "in_message"]

LONGEST: Final = 2_000
"""Characters of a whole message; of one that is longer, the beginning and the end are kept."""

_GAP: Final = " ... "


def escaped(text: str) -> str:
    """Return the text with everything escaped that is not printable, in one line."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _literal(each) for each in text)


def in_message(text: str, most: int = LONGEST) -> str:
    """Return the text escaped, and cut in its middle to `most` characters before that."""
    if len(text) > most:
        end = most // 4  # what is wrong is said last, as a rule
        text = text[: most - end - len(_GAP)] + _GAP + text[-end:]
    return escaped(text)


def _literal(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
