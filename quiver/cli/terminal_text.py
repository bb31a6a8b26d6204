"""A body as a terminal gets it: text that cannot steer the terminal."""

from __future__ import annotations

import codecs

from quiver.printable import escaped

__all__ = ["TerminalText"]


class TerminalText:
    """Bytes read as UTF-8, piece by piece: what is not printable, a tab or a line end is escaped.

    A terminal obeys escape sequences whoever sent them (CWE-150). What is no UTF-8 becomes U+FFFD.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""  # a CR: whether it ends a line tells the next character

    def feed(self, piece: bytes) -> bytes:
        """Return what is to be written of the next piece."""
        return self._shown(self._decoder.decode(piece))

    def end(self) -> bytes:
        """Return what was held of the last piece."""
        held = self._shown(self._decoder.decode(b"", final=True))
        last, self._held = self._held, ""
        return held + escaped(last).encode()

    def _shown(self, text: str) -> bytes:
        text = self._held + text
        self._held = "\r" if text.endswith("\r") else ""
        text = text.removesuffix(self._held) if self._held else text
        lines = text.replace("\r\n", "\n").split("\n")
        return "\n".join(map(_line, lines)).encode()


def _line(text: str) -> str:
    return text if text.isprintable() else "\t".join(map(escaped, text.split("\t")))
