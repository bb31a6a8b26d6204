"""What was renamed works under its former name, and says so."""

from __future__ import annotations

import importlib

import pytest

from quiver.actors.deprecated import MODULES
from quiver.actors.reply import Reply

FORMER = {"asking": "Handle", "machine": "StateMachine", "signals": "Terminated"}


@pytest.mark.parametrize("name", MODULES)
def test_a_moved_module(name: str) -> None:
    former = importlib.import_module(f"quiver.actors.{name}")
    now = importlib.import_module(f"quiver.actors.{MODULES[name]}")
    with pytest.warns(DeprecationWarning, match=f"quiver.actors.{name}.{FORMER[name]} is now"):
        found = getattr(former, FORMER[name])
    assert found is getattr(now, FORMER[name])
    with pytest.warns(DeprecationWarning, match="no_such_name"), pytest.raises(AttributeError):
        former.no_such_name  # noqa: B018


@pytest.mark.parametrize("name", MODULES)
def test_a_moved_module_is_found_in_its_package(name: str) -> None:
    found: dict[str, object] = {}
    with pytest.warns(DeprecationWarning, match=f"quiver.actors.{name}.{FORMER[name]} is now"):
        exec(f"import quiver.actors.{name}\nfound = quiver.actors.{name}.{FORMER[name]}", found)
    now = importlib.import_module(f"quiver.actors.{MODULES[name]}")
    assert found["found"] is getattr(now, FORMER[name])


def test_the_warning_names_the_line_that_asked() -> None:
    with pytest.warns(DeprecationWarning, match="is now") as caught:
        exec("from quiver.actors.signals import Terminated")
    assert caught[0].filename in {"<string>", __file__}


def test_former_names_of_a_reply() -> None:
    reply: Reply[int] = Reply()
    told: list[int] = []
    with pytest.warns(DeprecationWarning, match="Reply.held_by is now Reply.on_cancel"):
        reply.held_by(lambda: told.append(1))
    with pytest.warns(DeprecationWarning, match="Reply.attended is now Reply.has_waiter"):
        assert reply.attended is False
    with pytest.warns(DeprecationWarning, match="Reply.errand is now Reply.call_in_caller"):
        assert reply.errand(lambda: None) is False
    assert reply.cancel() and told == [1]
    with pytest.raises(AttributeError, match="'Reply' object has no attribute 'nothing'"):
        reply.nothing  # type: ignore[attr-defined]  # noqa: B018
