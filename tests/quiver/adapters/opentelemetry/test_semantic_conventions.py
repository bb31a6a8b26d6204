"""Names and values of OpenTelemetry's HTTP conventions."""

from __future__ import annotations

import pytest

import quiver
from quiver.adapters.opentelemetry import semantic_conventions as conventions
from quiver.adapters.opentelemetry.semantic_conventions import METHODS, METHODS_VARIABLE, OTHER

ORIGIN = "https://example.org:8443"


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("/", "/"),
        ("*", ""),
        ("/a?b=c", "/a?b=c"),
        ("/?sig=x", "/?sig=REDACTED"),
        ("/?a=1&X-Amz-Signature=x%20y&b=2", "/?a=1&X-Amz-Signature=REDACTED&b=2"),
        ("/?X-Goog-Signature=&sig=", "/?X-Goog-Signature=REDACTED&sig=REDACTED"),
        ("/?design=x&SIG=y&sigs=z", "/?design=x&SIG=y&sigs=z"),
        ("/sig=1?q=sig=2", "/sig=1?q=sig=2"),
    ],
)
def test_secrets_in_a_query_are_not_told(target: str, told: str) -> None:
    assert conventions.url_of(ORIGIN, target, query=True) == ORIGIN + told
    path, mark, _ = told.partition("?")
    assert conventions.url_of(ORIGIN, target) == ORIGIN + path + (mark and "?REDACTED")


@pytest.mark.parametrize(
    ("variable", "known"),
    [
        ({}, METHODS),
        ({METHODS_VARIABLE: ""}, METHODS),
        ({METHODS_VARIABLE: "GET, BREW,"}, frozenset({"GET", "BREW"})),
    ],
)
def test_known_methods(variable: dict[str, str], known: frozenset[str]) -> None:
    assert conventions.known_methods(variable) == known


def test_a_method_is_known_as_it_is_written() -> None:
    told = conventions.of_request(ORIGIN, quiver.Request("get", "/"), METHODS)
    assert told["http.request.method"] == OTHER
    assert conventions.span_name(told) == "HTTP"


def test_an_origin_is_told_in_parts() -> None:
    told = conventions.of_connection("https://[::1]", "HTTP/1.1")
    assert (told["server.address"], told["server.port"]) == ("::1", 443)
    assert (told["url.scheme"], told[conventions.VERSION]) == ("https", "1.1")
    assert conventions.VERSION not in conventions.of_connection("https://[::1]", None)
