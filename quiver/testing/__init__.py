"""An HTTP/3 server to test clients against: a throw-away authority, an origin in its own process.

    from quiver.testing import Origin

    with Origin(max_streams=10) as origin:
        client.get(origin.url + "/ok")

Nothing here is needed by the library itself; it is public so that programs which use Quiver can
test their own faults (a peer that dies, stalls, says GOAWAY) without a network.
"""

from __future__ import annotations

from quiver.testing.authority import Authority
from quiver.testing.options import OriginOptions, pattern
from quiver.testing.origin import Origin, OriginFailed

__all__ = ["Authority", "Origin", "OriginFailed", "OriginOptions", "pattern"]
