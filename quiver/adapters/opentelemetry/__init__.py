"""OpenTelemetry: spans and metrics of requests and connections, by its HTTP conventions.

    from quiver.adapters.opentelemetry import Instrumentation

    Instrumentation().attach()  # with the program's global providers and propagator

Each request that is asked through a client or a pool becomes a span of the kind CLIENT below the
one that is current where it is asked, and carries that span's context in its headers. A span ends
with its response: of a streamed one when the body was read or given up. The metrics:

=================================  ======================  ========================================
http.client.request.duration       histogram, s            as long as the span
http.client.active_requests        up-down counter         requests whose span is open
http.client.open_connections       up-down counter,        by http.connection.state: active (it has
                                   asked when it is read   open streams) or idle
http.client.connection.duration    histogram, s            from the first packet to the last
=================================  ======================  ========================================

A request that is asked where instrumentation is suppressed (by an exporter that goes over Quiver
itself, say, or by the instrumentation of requests or httpx above it) is none of these, and travels
as it is.

Where an ask does not block, its span ends in the loop that carries all requests: export in
batches (`BatchSpanProcessor`), as a program does that is not a test.
"""

from __future__ import annotations

from quiver.adapters.opentelemetry.instrumentation import Instrumentation

__all__ = ["Instrumentation"]
