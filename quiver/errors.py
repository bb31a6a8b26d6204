"""Every error that Quiver raises or answers with, in one tree.

    QuiverError                    .kind .origin .message
    ├── TransientError             kind "transient": the same request may succeed later
    │   ├── CheckoutTimeout        all connections were full for too long         (TimeoutError)
    │   ├── ConnectTimeout         no connection came about in time               (TimeoutError)
    │   ├── ReceiveTimeout         an open exchange was silent for too long       (TimeoutError)
    │   ├── SendTimeout            the server took nothing of the body            (TimeoutError)
    │   ├── RequestTimeout         the request's whole time was used up           (TimeoutError)
    │   ├── StreamIdleTimeout      nobody read the streamed body for too long     (TimeoutError)
    │   ├── ResourceExhausted      no descriptor, or the like, is left here         (OSError)
    │   ├── QueueFull              as many callers wait already as are let wait
    │   ├── ConnectionRefused      nobody listens on the port         (ConnectionRefusedError)
    │   ├── NameResolutionFailed   the host has no address, or none in time    (ConnectionError)
    │   ├── RequestCancelled       the caller gave up
    │   ├── StreamReset            the server reset the stream; .code     (ConnectionResetError)
    │   ├── TransientStatus        a status such as 503; .response
    │   ├── GoAway                 the server said that it did not take it     (ConnectionError)
    │   └── ConnectionLost         the connection ended; .code .reason         (ConnectionError)
    ├── InvalidError               kind "invalid": fix the call; nothing was sent
    │   ├── InvalidRequest         a method, path, header, body or time limit       (ValueError)
    │   ├── InvalidURL             a URL that names no HTTP/3 origin                (ValueError)
    │   ├── InvalidOptions         an unknown, wrong or contradictory option        (ValueError)
    │   ├── DatagramTooLarge       more than fits a datagram now; .limit            (ValueError)
    │   └── StreamClosed           read or written after it was closed              (ValueError)
    └── UnrecoverableError         kind "unrecoverable": asking again gives the same answer
        ├── CertificateInvalid     the server is not who it should be          (ConnectionError)
        ├── HandshakeFailed        no common protocol, or ours refused         (ConnectionError)
        ├── ProtocolViolation      the server broke HTTP/3
        ├── DatagramsDisabled      one side has not agreed on datagrams
        ├── ConnectDisabled        the server takes no extended CONNECT
        ├── InternalError          Quiver itself failed, or what it was given to call
        ├── UnrecoverableStatus    a status such as 404; .response
        ├── PoolStopped            the pool was stopped before the answer came
        └── ResponseTooLarge       the response exceeds a limit of ours

The two of a status are raised by `raise_for_status()` alone, and are also a `StatusError`.
In parentheses: the builtin that a leaf derives from too, so that code written for sockets
catches it. An error that travelled between threads is copied for each caller (`copy.copy`
keeps its cause, not its traceback), and all of them can be pickled, without their cause.
"""

from __future__ import annotations

import errno
import http
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Self, TypeVar

from quiver.printable import in_message

if TYPE_CHECKING:
    from quiver.models import Response

E = TypeVar("E", bound="QuiverError")

# H3_REQUEST_REJECTED; H3_VERSION_FALLBACK, which asks for HTTP/1.1 (RFC 9114 8.1).
_NOT_PROCESSED: Final = (0x10B, 0x110)

_LATER: Final = (408, 425, 429)
_NEVER: Final = (501, 505, 511)

EXHAUSTED: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))
"""The errnos of a system that is out of something: descriptors, memory, buffers."""

Kind = Literal["transient", "invalid", "unrecoverable"]


class QuiverError(Exception):
    """The root of the tree. Only its leaves are raised.

    Attributes:
        kind: "transient" (retry), "invalid" (fix the request) or "unrecoverable".
        origin: the origin it is about, as text, where there is one.
        message: what happened, in one line of printable characters: what a server said is escaped.
            `str(error)` puts the origin before it if it does not name it.
        unprocessed: True when it is proved that the server did not act on the request: it got no
            connection, or the server said so. It may go out once more, by another way too.
        by_proxy: True when it is the proxy that has no such name, does not listen, breaks off, is
            not trusted or refuses: the origin was not reached.
    """

    kind: ClassVar[Kind] = "unrecoverable"

    def __init__(self, message: str, *, origin: str | None = None) -> None:
        message = in_message(message)
        named = origin is None or origin in message
        super().__init__(message if named else f"{origin}: {message}")
        self.message = message
        self.origin = origin
        self.unprocessed = False
        self.by_proxy = False

    def __reduce__(self) -> tuple[object, ...]:
        # The default calls cls(*args), which knows neither `origin` nor a leaf's own keywords.
        return _revive, (type(self), self.args, self.__dict__.copy())

    def __copy__(self) -> Self:
        copied = _revive(type(self), self.args, self.__dict__)
        copied.__cause__ = self.__cause__
        copied.__context__ = self.__context__
        copied.__suppress_context__ = self.__suppress_context__
        return copied


def _revive(cls: type[E], args: tuple[object, ...], attributes: Mapping[str, object]) -> E:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(attributes)
    return error


class TransientError(QuiverError):
    """An error after which the same request may succeed later."""

    kind = "transient"


class InvalidError(QuiverError):
    """An error of the call itself; nothing reached the wire."""

    kind = "invalid"


class UnrecoverableError(QuiverError):
    """An error that the same request would meet again."""

    kind = "unrecoverable"


class StatusError(Exception):
    """A status that says that the request has failed: what `raise_for_status()` raises.

    Attributes:
        status: from 400 on.
        response: the `Response`; None of one that is streamed.
    """

    status: int = 0
    response: Response | None = None


class TransientStatus(TransientError, StatusError):
    """408, 425, 429, and those from 500 on but 501, 505 and 511: later it may be another one."""


class UnrecoverableStatus(UnrecoverableError, StatusError):
    """Any other status from 400 on (RFC 9110 15.5, 15.6)."""


def check_status(status: int, response: Response | None) -> None:
    """Raise the error of a status from 400 on."""
    if status < 400:
        return
    transient = status in _LATER or (status >= 500 and status not in _NEVER)
    phrase = next((f" {each.phrase}" for each in http.HTTPStatus if each == status), "")
    said = f"the server answered {status}{phrase}"
    error = TransientStatus(said) if transient else UnrecoverableStatus(said)
    error.status, error.response = status, response
    raise error


class InvalidRequest(InvalidError, ValueError):
    """A part of the request that HTTP/3 or Quiver does not accept; the message names the field."""


class InvalidURL(InvalidError, ValueError):
    """A URL that names no origin that HTTP/3 can be spoken with."""


class InvalidOptions(InvalidError, ValueError):
    """An option that is unknown, has a wrong value or contradicts another one."""


class DatagramTooLarge(InvalidError, ValueError):
    """More bytes than one datagram can carry now (RFC 9221 3). Nothing was sent.

    Attributes:
        limit: bytes that fit now.
    """

    def __init__(self, message: str, *, limit: int, origin: str | None = None) -> None:
        super().__init__(message, origin=origin)
        self.limit = limit


class StreamClosed(InvalidError, ValueError):
    """A use of a streamed body or channel after this side has closed it."""


class CheckoutTimeout(TransientError, TimeoutError):
    """`checkout_timeout` seconds with all connections full. Nothing was sent."""


class ConnectTimeout(TransientError, TimeoutError):
    """`connect_timeout` seconds without a connection, or `checkout_timeout` if that was sooner.

    The message says how far the dial came. Nothing was sent.
    """


class ReceiveTimeout(TransientError, TimeoutError):
    """`receive_timeout` seconds on an open exchange without a sign of the server."""


class SendTimeout(TransientError, TimeoutError):
    """`send_timeout` seconds in which the server took nothing of a body that waited for it."""


class RequestTimeout(TransientError, TimeoutError):
    """The request's own `timeout` seconds. The message says what it was waiting for.

    When that was a connection, `__cause__` is the ConnectTimeout or NameResolutionFailed.
    """


class StreamIdleTimeout(TransientError, TimeoutError):
    """`stream_idle_timeout` seconds with content that nobody read; the stream was reset."""


class ResourceExhausted(TransientError, OSError):
    """A lack of descriptors, memory or threads on this side. Nothing was sent."""


class QueueFull(TransientError):
    """`max_waiting` callers that wait for this origin already. Nothing was sent."""


class ConnectionRefused(TransientError, ConnectionRefusedError):
    """An answer from the port that nobody listens (ICMP port unreachable)."""


class NameResolutionFailed(TransientError, ConnectionError):
    """A host name that could not be resolved to an address.

    When it was still being resolved as a time limit passed, it is a ConnectTimeout as well.
    """


class CertificateInvalid(UnrecoverableError, ConnectionError):
    """A refusal of the server's certificate; the message says for which reason."""


class HandshakeFailed(UnrecoverableError, ConnectionError):
    """A handshake without agreement, or a server that refuses our certificate or the lack of one.

    The former includes transport parameters that a server must not have (RFC 9000 7.4).

    Attributes:
        lasting: False when the server broke off without saying that it refuses us: it may have
            been about to stop, say. Then the next request dials again at once.
    """

    def __init__(self, message: str, *, origin: str | None = None, lasting: bool = True) -> None:
        super().__init__(message, origin=origin)
        self.lasting = lasting


class RequestCancelled(TransientError):
    """A request that its caller cancelled before it was answered."""


class StreamReset(TransientError, ConnectionResetError):
    """A reset of the request's stream by the server (RFC 9114 4.1.1, RFC 9113 6.4).

    Attributes:
        code: the error code that it gave: HTTP/3's (RFC 9114 8.1), or HTTP/2's (RFC 9113 7).
    """

    def __init__(self, message: str, *, code: int, origin: str | None = None) -> None:
        super().__init__(message, origin=origin)
        self.code = code
        self.unprocessed = code in _NOT_PROCESSED


class GoAway(TransientError, ConnectionError):
    """A GOAWAY by which the server said that it did not process the request (RFC 9114 5.2).

    Attributes:
        id: the first stream id that it did not take.
    """

    def __init__(
        self,
        message: str,
        *,
        origin: str | None = None,
        id: int | None = None,  # noqa: A002
    ) -> None:
        super().__init__(message, origin=origin)
        self.id = id
        self.unprocessed = True


class ConnectionLost(TransientError, ConnectionError):
    """A connection that ended with the exchange still open.

    Attributes:
        code: the error code of the CONNECTION_CLOSE, None when the peer fell silent.
        reason: the reason phrase that came with it, often empty; escaped as messages are.
    """

    def __init__(
        self,
        message: str,
        *,
        origin: str | None = None,
        code: int | None = None,
        reason: str = "",
    ) -> None:
        super().__init__(message, origin=origin)
        self.code = code
        self.reason = in_message(reason)


class ProtocolViolation(UnrecoverableError):
    """Something that HTTP does not allow, such as a malformed response (RFC 9114 4.1.2)."""


class DatagramsDisabled(UnrecoverableError):
    """Datagrams that are off: by `datagrams=False`, or for the server's part (RFC 9297 2.1)."""


class ConnectDisabled(UnrecoverableError):
    """A server whose SETTINGS do not enable extended CONNECT (RFC 9220 3), or a pool over TCP."""


class InternalError(UnrecoverableError):
    """A failure inside Quiver, its QUIC library or code that it was given to call: `__cause__`.

    It ended what it belongs to and nothing else: one request, one connection or one pool. The same
    would most likely be raised again, which is why trying again is not advised.
    """


class PoolStopped(UnrecoverableError):
    """The end of the pool, its client or the whole runtime before the answer came."""


class ResponseTooLarge(UnrecoverableError):
    """A response that exceeds `max_body_size` or `max_header_size`; the message says which."""
