"""The file of what Alt-Svc fields have told: read once, written seldom and in one step."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import tempfile
from typing import Final

__all__ = ["AlternativesFile"]

LARGEST: Final = 4 * 1024 * 1024  # bytes; a thousand origins need a tenth of it
AT_ONCE: Final = 10  # writes that may follow each other
PAUSE: Final = 10.0  # seconds for which one more may follow

_READ: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # of a FIFO nobody writes, say

logger = logging.getLogger("quiver.adapters")


class AlternativesFile:
    """A file that is written as often as its news are worth, within a bound.

    A server that names another place with each response, or a crawler that meets a thousand
    origins, would have it written each time. What is not written at once waits for `pending` to be
    looked at: by the next news, or by the end.

    Times are seconds of a clock that does not go back. Not for several threads at once.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.pending = False
        self._allowed = float(AT_ONCE)
        self._since = 0.0

    def news(self, now: float) -> bool:
        """Note that there is something to write; return whether that is to be done now."""
        self.pending = True
        if self._since:
            self._allowed = min(self._allowed + (now - self._since) / PAUSE, float(AT_ONCE))
        self._since = now
        if self._allowed < 1.0:
            return False
        self._allowed -= 1.0
        return True

    def read(self) -> str | None:
        """Return what is in it; None when there is none, or what cannot be it, which is logged."""
        try:
            descriptor = os.open(self.path, _READ)
            with open(descriptor, "rb") as opened:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise ValueError("it is no regular file")
                content = opened.read(LARGEST + 1)
            if len(content) > LARGEST:
                raise ValueError(f"it has more than {LARGEST} bytes")
            return content.decode()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self.damaged(error)
            return None

    def damaged(self, error: Exception) -> None:
        logger.warning("%s: begun anew, because it cannot be read: %s", self.path, error)

    def write(self, text: str) -> None:
        """Replace it in one step, so that another program never reads half of it."""
        self.pending = False
        name = None
        try:
            folder = os.path.dirname(self.path) or "."
            with tempfile.NamedTemporaryFile(
                "w", dir=folder, encoding="utf-8", delete=False
            ) as opened:
                name = opened.name
                opened.write(text)
            os.replace(name, self.path)
        except OSError as error:
            logger.warning("%s: not kept: %s", self.path, error)
            if name is not None:
                with contextlib.suppress(OSError):
                    os.unlink(name)
