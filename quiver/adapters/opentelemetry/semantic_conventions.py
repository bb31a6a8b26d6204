"""OpenTelemetry's semantic conventions for HTTP clients: names, values and what to hide.

As of https://opentelemetry.io/docs/specs/semconv/http/. Plain values: nothing of OpenTelemetry is
imported here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from quiver.origin import Origin
from quiver.request import Request

Attributes = dict[str, str | int]

# Seconds: the buckets that the conventions advise.
REQUEST_BUCKETS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25),
    *(0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
CONNECTION_BUCKETS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10, 30, 60, 120, 300)

OTHER: Final = "_OTHER"
METHODS: Final = frozenset(
    {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
)
METHODS_VARIABLE: Final = "OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS"

_SECRET: Final = re.compile(
    r"(?<=[?&])"
    r"(X-Amz-Signature|X-Amz-Credential|X-Amz-Security-Token|sig|X-Goog-Signature"
    r"|AWSAccessKeyId|Signature)=[^&]*"
)


def known_methods(environment: Mapping[str, str]) -> frozenset[str]:
    """Methods that are told by their names; the environment may name others instead."""
    named = environment.get(METHODS_VARIABLE, "")
    return frozenset(filter(None, map(str.strip, named.split(",")))) or METHODS


@lru_cache(maxsize=1024)
def _place(origin: str) -> Origin:
    return Origin.parse(origin, plain=True)


VERSION: Final = "network.protocol.version"


def version_of(http_version: str) -> str:
    """As they have it: "2" of "HTTP/2"."""
    return http_version.removeprefix("HTTP/")


def error_type(error: BaseException) -> str:
    """The class of an error, as `exception.type` has it: of Python's own without a module."""
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"


def of_origin(origin: str) -> Attributes:
    """What is known of an origin, whatever it is spoken to by."""
    place = _place(origin)
    return {
        "server.address": place.host,
        "server.port": place.port,
        "url.scheme": place.scheme,
        "network.protocol.name": "http",
    }


def of_connection(origin: str, http_version: str | None) -> Attributes:
    """What is known of every connection to an origin; of HTTP's version, if that is known."""
    known = {} if http_version is None else {VERSION: version_of(http_version)}
    return {**of_origin(origin), **known}


def of_request(origin: str, request: Request, methods: frozenset[str]) -> Attributes:
    """What metrics and span of a request have in common when it begins: the version of HTTP is
    told by its answer."""
    method = request.method if request.method in methods else OTHER
    return {"http.request.method": method, **of_origin(origin)}


def of_span(
    origin: str, request: Request, attributes: Attributes, *, query: bool = False
) -> Attributes:
    """What only the span has: values that are too many for a metric."""
    more: Attributes = {"url.full": url_of(origin, request.target, query=query)}
    if attributes["http.request.method"] == OTHER:
        more["http.request.method_original"] = request.method
    return more


def url_of(origin: str, target: str, *, query: bool = False) -> str:
    """The whole URL; its query only if asked for, and without parameters known to be secrets."""
    target = "" if target == "*" else target
    if not query:
        path, mark, _ = target.partition("?")
        return f"{origin}{path}{mark and '?REDACTED'}"
    return origin + _SECRET.sub(r"\1=REDACTED", target)


def span_name(attributes: Attributes) -> str:
    """The method: a client knows no route that would be one of few."""
    method = str(attributes["http.request.method"])
    return "HTTP" if method == OTHER else method
