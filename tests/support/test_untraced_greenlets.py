"""Greenlets are forgotten without traced code."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

from greenlet import greenlet

from tests.support.untraced_greenlets import GreenletKeys


class Thing:
    pass


def traced_at_death(kind: Callable[[], Any], kept: GreenletKeys) -> list[str]:
    """The functions traced while what was a key of the dictionary is freed."""
    holder: list[Any] = [kind()]
    called: list[str] = []

    def trace(frame: FrameType, event: str, argument: object) -> None:
        called.append(frame.f_code.co_name)

    before = sys.gettrace()
    kept[holder[0]] = 1
    assert len(kept) == 1
    sys.settrace(trace)
    holder.clear()
    sys.settrace(before)
    assert len(kept) == 0
    return called


def test_a_greenlet_is_forgotten_untraced() -> None:
    assert traced_at_death(greenlet, GreenletKeys()) == []


def test_anything_else_as_ever() -> None:
    assert traced_at_death(Thing, GreenletKeys()) == ["remove"]


def test_it_takes_the_place_of_the_usual_one() -> None:
    assert weakref.WeakKeyDictionary is GreenletKeys
