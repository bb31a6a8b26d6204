"""Whether instrumentation is suppressed where a request is asked.

OpenTelemetry's exporters mark the context in which they export, and instrumentations of other HTTP
clients that in which they ask. The keys of these marks are private names of opentelemetry-api that
all instrumentations read; a release without one of them has nothing that could be marked by it.
"""

from __future__ import annotations

from typing import Final

from quiver.optional_imports import extra

with extra("otel"):
    from opentelemetry import context

__all__ = ["PRIVATE_KEYS", "suppressed"]

PRIVATE_KEYS: Final = ("_SUPPRESS_INSTRUMENTATION_KEY", "_SUPPRESS_HTTP_INSTRUMENTATION_KEY")
"""Names in `opentelemetry.context`: of the key for everything, and of that for HTTP clients."""

PLAIN: Final = "suppress_instrumentation"  # older exporters know the key by this value

KEYS: Final = (*(getattr(context, name, PLAIN) for name in PRIVATE_KEYS), PLAIN)


def suppressed() -> bool:
    """Tell whether what is asked here, in this thread, greenlet or task, is to be left unseen."""
    current = context.get_current()
    return any(current.get(key) for key in KEYS)
