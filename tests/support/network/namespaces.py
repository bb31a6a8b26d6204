"""A network namespace that a child process holds: it is gone when that process, or ours, is.

Root makes it as it is; anybody else in a user namespace, where the kernel allows that. It has no
name, so nothing is left of it in the system, however the tests end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from os import geteuid
from pathlib import Path
from typing import Any, Final

__all__ = ["Namespace", "Unavailable"]

ROOT: Final = Path(__file__).resolve().parents[3]
PATIENCE: Final = 20.0  # seconds for a command
_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"  # where a user may not look


class Unavailable(Exception):
    """This machine lets us make no networks; the message says what is missing."""


class Namespace:
    """One of its own, or one beside `first` (whose owner may link them).

    Raises:
        Unavailable: there is none to be had.
    """

    def __init__(self, first: Namespace | None = None) -> None:
        self._user = geteuid() != 0
        for tool in ("ip", "unshare", "nsenter"):
            if shutil.which(tool, path=_PATH) is None:
                raise Unavailable(f"{tool} is not installed (iproute2, util-linux)")
        unshare = ["unshare", "--net", *(["--user", "--map-root-user"] if self._user else [])]
        if self._user and first is not None:
            unshare = [*first.entering, "unshare", "--net"]
        # cat ends with its input: at our end, too.
        self._holder = subprocess.Popen(
            [*unshare, "cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(),
        )
        self._wait_made()

    def _wait_made(self) -> None:
        holder = self._holder
        assert holder.stdin is not None and holder.stdout is not None
        try:
            holder.stdin.write(b"\n")
            holder.stdin.flush()
            made = holder.stdout.read(1)
        except OSError:
            made = b""
        if not made:
            assert holder.stderr is not None
            said = holder.stderr.read().decode().strip()
            self.close()
            raise Unavailable(f"no network namespaces here: {said}")

    @property
    def pid(self) -> int:
        """The id of the process that holds it."""
        return self._holder.pid

    @property
    def entering(self) -> list[str]:
        """Return what to put before a command that is to run in it."""
        user = ["--user", "--preserve-credentials"] if self._user else []
        return ["nsenter", "--target", str(self.pid), "--net", *user, "--"]

    def run(self, command: Sequence[str], text: str = "") -> str:
        """Run it to its end, with `text` as its input; what it printed.

        Raises:
            AssertionError: it failed.
        """
        ended = subprocess.run(
            [*self.entering, *command],
            input=text,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            env=_environment(),
            check=False,
        )
        assert ended.returncode == 0, f"{' '.join(command)}: {ended.stderr}{text}"
        return ended.stdout

    def python(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        """Start one of our modules in it, with pipes for its input and output."""
        return subprocess.Popen(
            [*self.entering, sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=_environment(),
        )

    def run_python(self, module: str, *arguments: str) -> str:
        """Run one of our modules in it to its end."""
        return self.run([sys.executable, "-m", module, *arguments])

    def close(self) -> None:
        """End the process that holds it; the namespace goes with the last process in it."""
        for pipe in (self._holder.stdin, self._holder.stdout, self._holder.stderr):
            if pipe is not None:
                pipe.close()
        self._holder.wait(PATIENCE)


def _environment() -> dict[str, Any]:
    known = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(part for part in (str(ROOT), known) if part)
    return {**os.environ, "PATH": _PATH, "PYTHONPATH": path}
