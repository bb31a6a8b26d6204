"""An HTTP/3 server to test clients against, with a throw-away authority.

    from quiver.testing import LocalOrigin, Origin

    with Origin(max_streams=10) as origin:  # in a process of its own
        client.get(origin.url + "/ok")

    with LocalOrigin() as origin:  # in a thread, with routes of your own

        @origin.route("/hello")
        def hello(asked):
            return b"hello"

In pytest the second is the fixture `http3_origin`. Nothing here is needed by the library itself;
it is public so that programs which use Quiver can test their own faults (a peer that dies, stalls,
says GOAWAY) without a network.
"""

from __future__ import annotations

from quiver.testing.answers import Answer, Close, Reset, Silence
from quiver.testing.authority import Authority
from quiver.testing.control import OriginFailed
from quiver.testing.local import LocalOrigin
from quiver.testing.options import OriginOptions, pattern
from quiver.testing.origin import Origin
from quiver.testing.routes.receiver import Receiver
from quiver.testing.routes.request import Asked

__all__ = [
    "Answer",
    "Asked",
    "Authority",
    "Close",
    "LocalOrigin",
    "Origin",
    "OriginFailed",
    "OriginOptions",
    "Receiver",
    "Reset",
    "Silence",
    "pattern",
]
