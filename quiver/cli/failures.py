"""Ends of a command that are its own, not the client's."""

from __future__ import annotations

__all__ = ["CannotResume", "OutputFailed"]


class OutputFailed(Exception):
    """The output cannot be written: closed, its disk full, or no file can be made there."""


class CannotResume(Exception):
    """The server sends no rest of the file, which is left as it is."""
