"""The tree of errors: kinds, builtins, and that an error survives its travels."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Iterator

import pytest

from quiver import errors
from quiver.errors import ConnectionLost, DatagramTooLarge, GoAway, QuiverError, StreamReset

BUILTINS: dict[str, type[Exception]] = {
    "CheckoutTimeout": TimeoutError,
    "ConnectTimeout": TimeoutError,
    "ReceiveTimeout": TimeoutError,
    "SendTimeout": TimeoutError,
    "RequestTimeout": TimeoutError,
    "ResourceExhausted": OSError,
    "ConnectionRefused": ConnectionRefusedError,
    "NameResolutionFailed": ConnectionError,
    "StreamReset": ConnectionResetError,
    "GoAway": ConnectionError,
    "ConnectionLost": ConnectionError,
    "InvalidRequest": ValueError,
    "InvalidURL": ValueError,
    "InvalidOptions": ValueError,
    "DatagramTooLarge": ValueError,
    "StreamClosed": ValueError,
    "StreamIdleTimeout": TimeoutError,
    "CertificateInvalid": ConnectionError,
    "HandshakeFailed": ConnectionError,
}


def leaves(cls: type[QuiverError] = QuiverError) -> Iterator[type[QuiverError]]:
    below = [each for each in cls.__subclasses__() if each.__module__ == errors.__name__]
    if not below:
        yield cls
    for each in below:
        yield from leaves(each)


def made(leaf: type[QuiverError]) -> QuiverError:
    if leaf is StreamReset:
        return StreamReset("gone", code=0x10C, origin="https://a")
    if leaf is DatagramTooLarge:
        return DatagramTooLarge("gone", limit=1200, origin="https://a")
    if leaf is GoAway:
        return GoAway("gone", id=8, origin="https://a")
    if leaf is ConnectionLost:
        return ConnectionLost("gone", code=0x102, reason="why", origin="https://a")
    return leaf("gone", origin="https://a")


every_leaf = pytest.mark.parametrize("leaf", list(leaves()), ids=lambda leaf: str(leaf.__name__))


@every_leaf
def test_a_leaf_has_the_kind_of_its_branch_and_its_builtin(leaf: type[QuiverError]) -> None:
    branch = leaf.__mro__[1]
    assert leaf.kind == branch.__name__.removesuffix("Error").lower()
    assert issubclass(leaf, BUILTINS.get(leaf.__name__, QuiverError))


@every_leaf
def test_a_leaf_names_its_origin(leaf: type[QuiverError]) -> None:
    error = made(leaf)
    assert str(error) == "https://a: gone"
    assert (error.message, error.origin) == ("gone", "https://a")


@every_leaf
def test_a_leaf_is_copied_and_pickled_whole(leaf: type[QuiverError]) -> None:
    error = made(leaf)
    for twin in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is leaf
        assert twin is not error
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


@every_leaf
def test_the_tree_draws_every_leaf(leaf: type[QuiverError]) -> None:
    assert f"─ {leaf.__name__} " in inspect.cleandoc(errors.__doc__ or "")


def test_an_origin_that_the_message_names_is_not_repeated() -> None:
    assert str(QuiverError("https://a is gone", origin="https://a")) == "https://a is gone"
    assert str(QuiverError("gone")) == "gone"


def test_a_copy_keeps_the_cause_but_not_the_traceback() -> None:
    cause = OSError(111, "refused")
    with pytest.raises(ConnectionLost) as caught:
        raise ConnectionLost("gone") from cause
    twin = copy.copy(caught.value)
    assert twin.__cause__ is cause
    assert twin.__suppress_context__
    assert twin.__traceback__ is None


def test_codes_have_defaults_where_a_peer_may_give_none() -> None:
    lost = ConnectionLost("gone")
    assert (lost.code, lost.reason) == (None, "")
    assert StreamReset("gone", code=7).code == 7
    assert GoAway("gone").id is None


def test_what_a_datagram_was_too_large_for_is_told() -> None:
    assert DatagramTooLarge("gone", limit=1200).limit == 1200
    with pytest.raises(TypeError):
        DatagramTooLarge("gone")  # type: ignore[call-arg]
