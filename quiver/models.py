"""The values that travel back in messages: Response, and what a pool tells of itself."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import attrs

from quiver.errors import check_status
from quiver.fields import Pairs
from quiver.other_libraries import OF_WHOLE, absent

__all__ = [
    "ConnectionStats",
    "GetConnections",
    "GetStats",
    "Handshake",
    "Response",
    "ResponseConnection",
    "Stats",
]

_CHARSET: Final = re.compile(r';\s*charset\s*=\s*"?([^\s;"]+)', re.IGNORECASE)


_VERSIONS: Final = {"h3": "HTTP/3", "h2": "HTTP/2", "http/1.1": "HTTP/1.1"}  # by ALPN's names


def first_header(headers: Pairs, name: str, default: str | None = None) -> str | None:
    """Return the first value of a header, whatever the case of `name`."""
    wanted = name.lower()
    return next((value for found, value in headers if found == wanted), default)


def charset_of(headers: Pairs) -> str | None:
    """Return the charset that content-type names, or None."""
    charset = _CHARSET.search(first_header(headers, "content-type") or "")
    return charset[1] if charset else None


@attrs.frozen
class Handshake:
    """What a connection's handshake has agreed on.

    Attributes:
        version: of QUIC, such as "1" (RFC 9000) or "2" (RFC 9369); over TCP, of TLS ("TLSv1.3").
        alpn: the application protocol: "h3", "h2" or "http/1.1".
        cipher: the TLS cipher suite, such as "AES_128_GCM_SHA256"; empty without TLS.
        certificate: the server's, in DER; of a session that was resumed, as it was shown when that
            began.
        idle_timeout: seconds of silence that end the connection; infinity over TCP.
        max_streams: requests that the server lets be opened at first; over HTTP/2, at a time.
        max_datagram_frame_size: bytes that the server takes (RFC 9221 3), 0 for no datagrams.
        resumed: a session was resumed by a ticket, without a certificate (RFC 8446 2.2).
        early: requests went out before it was over, and the server has accepted them (RFC 9001
            4.6).
    """

    version: str
    alpn: str
    cipher: str
    certificate: bytes | None
    idle_timeout: float
    max_streams: int
    max_datagram_frame_size: int
    resumed: bool = False
    early: bool = False

    @property
    def http_version(self) -> str:
        """The application protocol as HTTP has it: "HTTP/3", "HTTP/2" or "HTTP/1.1"."""
        return _VERSIONS.get(self.alpn, self.alpn)


@attrs.frozen
class ResponseConnection:
    """The connection that a response came by, as it was when its handshake was over.

    Attributes:
        number: its name in the pool.
        address, local: host and port of the server, and of ours.
        handshake: what was agreed on.
        seconds: from the beginning of the dial, the look-up of the name included, until then.
        alternative: host and port of the alternative service that it is with (RFC 7838); None: it
            is with the origin's own.
    """

    number: int
    address: tuple[str, int]
    local: tuple[str, int]
    handshake: Handshake
    seconds: float
    alternative: str | None = None

    def __repr__(self) -> str:
        host, port = self.address
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        elsewhere = "" if self.alternative is None else f" ({self.alternative})"
        return f"<ResponseConnection {self.number}, {self.http_version} with {where}{elsewhere}>"

    @property
    def protocol(self) -> str:
        """The application protocol: "h3", "h2" or "http/1.1"."""
        return self.handshake.alpn

    @property
    def http_version(self) -> str:
        """That as HTTP has it: "HTTP/3", "HTTP/2" or "HTTP/1.1"."""
        return self.handshake.http_version

    @property
    def cipher(self) -> str:
        """The TLS cipher suite, such as "AES_128_GCM_SHA256"."""
        return self.handshake.cipher

    @property
    def certificate(self) -> bytes | None:
        """The server's certificate, in DER; as it was shown when a resumed session began."""
        return self.handshake.certificate

    @property
    def resumed(self) -> bool:
        """Whether a session was resumed by a ticket, without a certificate."""
        return self.handshake.resumed

    @property
    def early(self) -> bool:
        """Whether requests went out in the first flight, and the server has accepted them."""
        return self.handshake.early


@attrs.frozen
class Response:
    """A whole response with its body in memory.

    Attributes:
        status: the final status, 200 to 599 for a well-behaved server.
        headers: pairs with lower-case names, in the order received.
        body: the content, as it was sent: no content-encoding is undone.
        trailers: pairs that came after the body.
        connection: what it came by.
    """

    status: int
    headers: Pairs = attrs.field(factory=list)
    body: bytes = b""
    trailers: Pairs = attrs.field(factory=list)
    connection: ResponseConnection | None = attrs.field(default=None, eq=False, repr=False)

    def __repr__(self) -> str:
        return f"<Response {self.status}, {len(self.body)} bytes>"

    if not TYPE_CHECKING:  # which knows what there is

        def __getattr__(self, name):
            raise absent(self, name, OF_WHOLE)

    @property
    def http_version(self) -> str | None:
        """What it came by: "HTTP/3", "HTTP/2" or "HTTP/1.1"; None for one that came by nothing."""
        return None if self.connection is None else self.connection.http_version

    def header(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a header, whatever the case of `name`."""
        return first_header(self.headers, name, default)

    @property
    def text(self) -> str:
        """The body as text: the charset of content-type, else UTF-8; what is bad becomes U+FFFD."""
        try:
            return self.body.decode(charset_of(self.headers) or "utf-8", "replace")
        except (LookupError, UnicodeError):  # no such charset here, or none for text
            return self.body.decode("utf-8", "replace")

    def raise_for_status(self) -> Response:
        """Return this response; raise a StatusError if its status is 400 or more."""
        check_status(self.status, self)
        return self

    def json(self) -> Any:
        """Parse the body as JSON in UTF-8, 16 or 32. Raises ValueError."""
        return json.loads(self.body)


@attrs.frozen
class GetStats:
    """A question to a pool, for its `Stats`."""


@attrs.frozen
class GetConnections:
    """A question to a pool, for the `ConnectionStats` of its connections, oldest first."""


@attrs.frozen
class ConnectionStats:
    """The state and the counts of one connection at one moment.

    Attributes:
        number: its name in the pool.
        state: "connecting", "connected", "suspended" (its server may be gone; it is asked, and gets
            no request meanwhile) or "draining".
        active: streams lent now.
        opened: streams lent in its life.
    """

    number: int
    state: str
    active: int
    opened: int


@attrs.frozen
class Stats:
    """The counts of a pool at one moment.

    Attributes:
        idle: stream slots free now.
        active: stream slots lent now.
        queued: callers that wait for one.
        connections: live connections, those that still connect included.
        started: whether the pool runs. If not, all counts are 0 because there is none.
    """

    idle: int
    active: int
    queued: int
    connections: int
    started: bool = attrs.field(default=True, eq=False)
