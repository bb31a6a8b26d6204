"""An HTTP/3 origin that answers the same over TCP: HTTPS with HTTP/1.1, at the same port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import quiver
from quiver.testing import Authority, LocalOrigin
from tests.support.servers.http1_server import Http1Handler, serving

__all__ = ["both_protocols"]

OF_THE_WAY: Final = ("connection", "keep-alive", "te", "transfer-encoding", "upgrade")
WRITTEN_ANEW: Final = ("content-length", "date", "server")


@contextmanager
def both_protocols(authority: Authority) -> Iterator[LocalOrigin]:
    """What comes over TCP is asked over HTTP/3, and so there is one place that answers."""
    asked: list[tuple[quiver.Client, str]] = []

    class HandsOn(Http1Handler):
        def answer(self) -> None:
            ((client, url),) = asked
            fields = [(name, value) for name, value in self.headers.items()]
            answered = client.request(
                self.command,
                url + self.path,
                headers=[field for field in fields if field[0].lower() not in OF_THE_WAY],
                body=self.read() or None,
            )
            kept = [field for field in answered.headers if field[0] not in WRITTEN_ANEW]
            self.send(answered.status, answered.body, *kept)

    with (
        serving(HandsOn, authority.issue()) as port,
        LocalOrigin(authority=authority, port=port) as origin,
        quiver.Client(cafile=authority.cafile) as client,
    ):
        asked.append((client, origin.url))
        yield origin
