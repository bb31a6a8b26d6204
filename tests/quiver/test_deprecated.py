"""Modules under their former names: they work for one release, and say where they are."""

from __future__ import annotations

import importlib

import pytest

from quiver.streams import body_source, channel


@pytest.mark.parametrize(
    ("module", "name", "now"),
    [
        ("quiver.channel", "Datagram", channel.Datagram),
        ("quiver.channel", "Event", channel.ChannelEvent),
        ("quiver.source", "Reading", body_source.Reading),
        ("quiver.source", "Source", body_source.BodySource),
        ("quiver.source", "AsyncSource", body_source.AsyncBodySource),
    ],
)
def test_a_former_name_warns(module: str, name: str, now: object) -> None:
    former = importlib.import_module(module)
    with pytest.warns(DeprecationWarning, match=rf"{module}\.{name} is now quiver\.streams\."):
        assert getattr(former, name) is now


def test_it_is_asked_for_by_from_as_well() -> None:
    with pytest.warns(DeprecationWarning, match="is now quiver.streams.channel.cont"):
        from quiver.channel import cont
    assert cont is channel.cont


@pytest.mark.parametrize("module", ["quiver.channel", "quiver.source"])
def test_what_was_never_there_is_not_there(module: str) -> None:
    former = importlib.import_module(module)
    with pytest.raises(AttributeError, match=f"module '{module}' has no attribute 'nothing'"):
        former.nothing  # noqa: B018
