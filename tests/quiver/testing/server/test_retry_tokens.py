"""A Retry token is good for one client, one connection id, and a short while."""

from __future__ import annotations

import pytest

from quiver.testing.server.retry_tokens import RetryTokens

HERE, THERE = ("127.0.0.1", 1), ("127.0.0.1", 2)


def test_it_brings_the_original_id_back() -> None:
    tokens = RetryTokens()
    token = tokens.create(HERE, b"original", b"source", 5.0)
    assert tokens.original(token, HERE, b"source", 15.0) == b"original"


def test_it_is_refused_to_others() -> None:
    tokens = RetryTokens()
    token = tokens.create(HERE, b"original", b"source", 5.0)
    with pytest.raises(ValueError, match="another client"):
        tokens.original(token, THERE, b"source", 5.0)
    with pytest.raises(ValueError, match="another client"):
        tokens.original(token, HERE, b"another", 5.0)
    with pytest.raises(ValueError, match="too old"):
        tokens.original(token, HERE, b"source", 15.1)
    for forged in (b"", token[:-1], token + b" ", bytes(len(token))):
        with pytest.raises(ValueError, match="no token"):
            tokens.original(forged, HERE, b"source", 5.0)
    with pytest.raises(ValueError, match="no token"):
        RetryTokens().original(token, HERE, b"source", 5.0)
