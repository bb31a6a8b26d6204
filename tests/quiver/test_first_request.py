"""The first request of a program: what it needs is there before anybody waits for it."""

from __future__ import annotations

import subprocess
import sys

from quiver.testing import Origin

PROGRAM = """
import sys
import quiver

url, cafile = sys.argv[1:]
with quiver.Client(pools={"default": {"cafile": cafile}}) as client:
    before = set(sys.modules)
    assert client.get(url).status == 200
print(*sorted(set(sys.modules) - before))
"""


def test_it_imports_nothing(origin: Origin) -> None:
    """Each module is read in the hub's thread, while all callers wait."""
    command = [sys.executable, "-c", PROGRAM, origin.url + "/ok", origin.cafile]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
