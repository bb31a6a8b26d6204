"""`quiver.actors` as a library of its own: its names, and what comes with them."""

from __future__ import annotations

import inspect
from pathlib import Path

import quiver.actors
from tests.support.programs.runner import run_script

LOADED = """
import sys
import quiver.actors
for name in sorted(sys.modules):
    if name.split(".")[0] in {"quiver", "aioquic", "cryptography", "OpenSSL", "pylsqpack"}:
        print(name)
assert {"pykka", "gevent"} <= set(sys.modules)
"""

PROGRAM = """
from quiver.actors import *

class Echo(GeventActor):
    def on_receive(self, message):
        return message

def start():
    return Echo.start()

root = Supervisor.start([ChildSpec("echo", start)])
echo = root.ask(GetChild("echo"))
print(echo.ask("asked"), echo.ask("later", block=False).get(timeout=5))
echo.kill()
echo.actor_stopped.wait(5)
print(root.ask(GetChild("echo")).ask("replaced"))
root.stop()
Hub.current().stop()
"""


def test_all_that_is_promised_is_there_and_says_what_it_is() -> None:
    for name in quiver.actors.__all__:
        found = getattr(quiver.actors, name)
        if inspect.isclass(found) or inspect.isfunction(found):
            assert inspect.getdoc(found), name
    assert sorted(quiver.actors.__all__) == quiver.actors.__all__


def test_a_program_of_actors_alone() -> None:
    assert run_script(PROGRAM) == "asked later\nreplaced\n"


def test_nothing_else_of_quiver_comes_with_it() -> None:
    """But the package itself: its errors and functions."""
    loaded = set(run_script(LOADED).split())
    ours = {f"quiver.actors.{path.stem}" for path in Path(quiver.actors.__path__[0]).glob("*.py")}
    former = {name for name in loaded if name.startswith("quiver.actors.")} - ours
    assert former == {f"quiver.actors.{name}" for name in ("asking", "machine", "signals")}
    package = {"quiver", "quiver.errors", "quiver.first_use", "quiver.functions"}
    package |= {"quiver.printable", "quiver.version"}  # text of errors is escaped
    assert loaded - ours - former <= {"quiver.actors", *package}
