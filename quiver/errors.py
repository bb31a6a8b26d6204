"""Every error that Quiver raises or answers with, in one tree.

    QuiverError                    .kind .origin .message
    ├── TransientError             kind "transient": the same request may succeed later
    │   ├── CheckoutTimeout        no stream slot became free in time             (TimeoutError)
    │   ├── ConnectTimeout         the handshake did not finish in time           (TimeoutError)
    │   ├── ReceiveTimeout         an open exchange was silent for too long       (TimeoutError)
    │   ├── SendTimeout            the server took nothing of the body            (TimeoutError)
    │   ├── RequestTimeout         the request's whole time was used up           (TimeoutError)
    │   ├── StreamIdleTimeout      nobody read the streamed body for too long     (TimeoutError)
    │   ├── QueueFull              as many callers wait already as are let wait
    │   ├── ConnectionRefused      nobody listens on the port         (ConnectionRefusedError)
    │   ├── NameResolutionFailed   the host has no address                     (ConnectionError)
    │   ├── RequestCancelled       the caller gave up
    │   ├── StreamReset            the server reset the stream; .code     (ConnectionResetError)
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
        ├── HandshakeFailed        no common version, protocol or cipher       (ConnectionError)
        ├── ProtocolViolation      the server broke HTTP/3
        ├── DatagramsDisabled      one side has not agreed on datagrams
        ├── ConnectDisabled        the server takes no extended CONNECT
        ├── PoolStopped            the pool was stopped before the answer came
        └── ResponseTooLarge       the response exceeds a limit of ours

In parentheses: the builtin that a leaf derives from too, so that code written for sockets
catches it. An error that travelled between threads is copied for each caller (`copy.copy`
keeps its cause, not its traceback), and all of them can be pickled, without their cause.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal, Self

# H3_REQUEST_REJECTED; H3_VERSION_FALLBACK, which asks for HTTP/1.1 (RFC 9114 8.1).
_NOT_PROCESSED: Final = (0x10B, 0x110)

Kind = Literal["transient", "invalid", "unrecoverable"]


class QuiverError(Exception):
    """The root of the tree. Only its leaves are raised.

    Attributes:
        kind: "transient" (retry), "invalid" (fix the request) or "unrecoverable".
        origin: the origin it is about, as text, where there is one.
        message: what happened. `str(error)` puts the origin before it if it does not name it.
        unprocessed: True when it is proved that the server did not act on the request: it got no
            connection, or the server said so. It may go out once more, by another way too.
    """

    kind: ClassVar[Kind] = "unrecoverable"

    def __init__(self, message: str, *, origin: str | None = None) -> None:
        named = origin is None or origin in message
        super().__init__(message if named else f"{origin}: {message}")
        self.message = message
        self.origin = origin
        self.unprocessed = False

    def __reduce__(self) -> tuple[Any, ...]:
        # The default calls cls(*args), which knows neither `origin` nor a leaf's own keywords.
        return _revive, (type(self), self.args, self.__dict__.copy())

    def __copy__(self) -> Self:
        copied: Self = _revive(type(self), self.args, self.__dict__)
        copied.__cause__ = self.__cause__
        copied.__context__ = self.__context__
        copied.__suppress_context__ = self.__suppress_context__
        return copied


def _revive(cls: type[QuiverError], args: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(attributes)
    return error


class TransientError(QuiverError):
    """It may go well another time."""

    kind = "transient"


class InvalidError(QuiverError):
    """The call itself is wrong; nothing reached the wire."""

    kind = "invalid"


class UnrecoverableError(QuiverError):
    """Asking again gives the same answer."""

    kind = "unrecoverable"


class InvalidRequest(InvalidError, ValueError):
    """A part of the request is not what HTTP/3 or Quiver accepts; the message names the field."""


class InvalidURL(InvalidError, ValueError):
    """The URL does not name an origin that HTTP/3 can be spoken with."""


class InvalidOptions(InvalidError, ValueError):
    """An option is unknown, has a wrong value or contradicts another one."""


class DatagramTooLarge(InvalidError, ValueError):
    """It does not fit one datagram (RFC 9221 3). Nothing was sent.

    Attributes:
        limit: bytes that fit now.
    """

    def __init__(self, message: str, *, limit: int, origin: str | None = None) -> None:
        super().__init__(message, origin=origin)
        self.limit = limit


class StreamClosed(InvalidError, ValueError):
    """The streamed body or channel was closed by this side before."""


class CheckoutTimeout(TransientError, TimeoutError):
    """`checkout_timeout` passed before a stream slot became free. Nothing was sent."""


class ConnectTimeout(TransientError, TimeoutError):
    """`connect_timeout` passed before the handshake was done. Nothing was sent."""


class ReceiveTimeout(TransientError, TimeoutError):
    """`receive_timeout` passed on an open exchange without a sign of the server."""


class SendTimeout(TransientError, TimeoutError):
    """`send_timeout` passed without the server taking anything of a body that waited for it."""


class RequestTimeout(TransientError, TimeoutError):
    """The request's own `timeout` passed."""


class StreamIdleTimeout(TransientError, TimeoutError):
    """`stream_idle_timeout` passed with content there that nobody read; the stream was reset."""


class QueueFull(TransientError):
    """`max_waiting` callers wait for this origin already. Nothing was sent."""


class ConnectionRefused(TransientError, ConnectionRefusedError):
    """The port answered that nobody listens (ICMP port unreachable)."""


class NameResolutionFailed(TransientError, ConnectionError):
    """The host's name could not be resolved to an address."""


class CertificateInvalid(UnrecoverableError, ConnectionError):
    """The server's certificate was refused; the message says for which reason."""


class HandshakeFailed(UnrecoverableError, ConnectionError):
    """QUIC and TLS could not agree, for a reason other than the certificate."""


class RequestCancelled(TransientError):
    """The caller cancelled the request before it was answered."""


class StreamReset(TransientError, ConnectionResetError):
    """The server reset the request's stream (RFC 9114 4.1.1).

    Attributes:
        code: the HTTP/3 error code it gave (RFC 9114 8.1).
    """

    def __init__(self, message: str, *, code: int, origin: str | None = None) -> None:
        super().__init__(message, origin=origin)
        self.code = code
        self.unprocessed = code in _NOT_PROCESSED


class GoAway(TransientError, ConnectionError):
    """The server's GOAWAY said that it did not process this request (RFC 9114 5.2).

    Attributes:
        id: the stream id that it gave.
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
    """The connection ended with the exchange still open.

    Attributes:
        code: the error code of the CONNECTION_CLOSE, None when the peer fell silent.
        reason: the reason phrase that came with it, often empty.
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
        self.reason = reason


class ProtocolViolation(UnrecoverableError):
    """The server sent what HTTP/3 does not allow, such as a malformed response (RFC 9114 4.1.2)."""


class DatagramsDisabled(UnrecoverableError):
    """Datagrams are off: by `datagrams=False`, or the server has not agreed (RFC 9297 2.1)."""


class ConnectDisabled(UnrecoverableError):
    """The server's SETTINGS do not enable extended CONNECT (RFC 9220 3)."""


class PoolStopped(UnrecoverableError):
    """The pool, its client or the whole runtime was stopped."""


class ResponseTooLarge(UnrecoverableError):
    """The response exceeds `max_body_size` or `max_header_size`; the message says which."""
