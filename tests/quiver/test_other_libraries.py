"""Names of other libraries, asked of our responses: what there is in their place."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

import quiver
from quiver.other_libraries import OF_STREAMED, OF_WHOLE
from quiver.testing import Authority, LocalOrigin


@pytest.fixture(scope="module")
def streamed(authority: Authority) -> Iterator[quiver.StreamedResponse]:
    with (
        LocalOrigin(authority=authority) as origin,
        quiver.Client(cafile=origin.cafile) as client,
        client.stream("GET", origin.url + "/ok") as response,
    ):
        yield response


@pytest.mark.parametrize(("name", "said"), OF_WHOLE.items(), ids=OF_WHOLE)
def test_of_a_whole_response(name: str, said: str) -> None:
    response: Any = quiver.Response(200)
    with pytest.raises(AttributeError) as told:
        getattr(response, name)
    assert str(told.value) == f"a Response has no {name}: {said}"
    assert not hasattr(response, name)


@pytest.mark.parametrize(("name", "said"), OF_STREAMED.items(), ids=OF_STREAMED)
def test_of_a_streamed_response(streamed: quiver.StreamedResponse, name: str, said: str) -> None:
    with pytest.raises(AttributeError) as told:
        getattr(streamed, name)
    assert str(told.value) == f"a StreamedResponse has no {name}: {said}"


def test_any_other_name_is_told_as_python_does() -> None:
    response: Any = quiver.Response(200)
    with pytest.raises(AttributeError) as told:
        response.statuss  # noqa: B018 - it raises
    assert str(told.value) == "'Response' object has no attribute 'statuss'"
    assert (told.value.name, told.value.obj) == ("statuss", response)


def test_copies_and_pickles_are_as_before() -> None:
    response = quiver.Response(200, [("a", "b")], b"x")
    for made in (
        copy.copy(response),
        copy.deepcopy(response),
        pickle.loads(pickle.dumps(response)),
    ):
        assert made == response
