"""httpx, or httpx2, which goes on where that ends: the library of the client that asked.

The two have the same interface and not one class in common, and a client takes responses, bodies
and errors of its own library only. So each request is answered in the terms of the one that it is
of. A library is imported when a request of it comes, or has been by then.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import AsyncIterator, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from quiver import errors
from quiver.adapters.policy import cause_of
from quiver.adapters.shared.dispatch import kind_of, said_of, with_notes
from quiver.adapters.shared.request_translation import pairs_of
from quiver.optional_imports import extra
from quiver.streams.response import StreamedResponse

if TYPE_CHECKING:
    import httpx  # httpx2's are alike

__all__ = ["Library", "bases", "library_of", "name_of"]

NAMES: Final = ("httpx", "httpx2")
CORES: Final = {"httpx": "httpcore", "httpx2": "httpcore2"}


def _wanted() -> list[str]:
    """Those that the program has imported by now, or else the first that is installed."""
    imported = [name for name in NAMES if sys.modules.get(name) is not None]
    installed = (name for name in NAMES if importlib.util.find_spec(name) is not None)
    return imported or [next(installed, NAMES[0])]


with extra("httpx"):
    WANTED: Final[list[Any]] = [importlib.import_module(name) for name in _wanted()]

# Programs are tested with what one of these puts in the place of TCP's way out.
MOCKS: Final = frozenset({"respx", "pytest_httpx", "vcr"})

ERRORS: Final[tuple[tuple[type[errors.QuiverError], str], ...]] = (
    (errors.ConnectTimeout, "ConnectTimeout"),
    (errors.CheckoutTimeout, "PoolTimeout"),
    (errors.QueueFull, "PoolTimeout"),
    (errors.ReceiveTimeout, "ReadTimeout"),
    (errors.SendTimeout, "WriteTimeout"),
    (errors.RequestTimeout, "ReadTimeout"),
    (errors.ConnectionRefused, "ConnectError"),
    (errors.ResourceExhausted, "ConnectError"),
    (errors.NameResolutionFailed, "ConnectError"),
    (errors.CertificateInvalid, "ConnectError"),
    (errors.HandshakeFailed, "ConnectError"),
    (errors.InvalidURL, "UnsupportedProtocol"),
    (errors.StreamClosed, "ReadError"),
    (errors.InvalidError, "LocalProtocolError"),
    (errors.ConnectionLost, "ReadError"),
    (errors.StreamIdleTimeout, "ReadError"),
    (errors.PoolStopped, "ConnectError"),
    (errors.InternalError, "LocalProtocolError"),
    (errors.QuiverError, "RemoteProtocolError"),
)
"""The first that an error is one of names what the libraries call it."""


class Library:
    """One of the two.

    Attributes:
        name: "httpx" or "httpx2".
        module: the library itself.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.module: Any = importlib.import_module(name)
        streams = (self.module.SyncByteStream, self.module.AsyncByteStream)
        self._body: type[ResponseBody] = type("ResponseBody", (ResponseBody, *streams), {})

    def error(self, error: errors.QuiverError, request: httpx.Request) -> Exception:
        """Return an error in the library's terms, to be raised from ours, whose notes it has."""
        cause = cause_of(error)
        of_proxy = cause.by_proxy or cause.message.startswith("proxy=")  # none, or refused by name
        kind = getattr(self.module, "ProxyError" if of_proxy else kind_of(error, ERRORS))
        made: Exception = kind(said_of(error), request=request)
        return with_notes(made, error)

    def response(self, streamed: StreamedResponse, request: httpx.Request) -> httpx.Response:
        """Return a response of the library, whose body is read as it comes."""
        trailers: list[tuple[bytes, bytes]] = []
        made: httpx.Response = self.module.Response(
            streamed.status,
            headers=pairs_of(streamed.headers),
            stream=self._body(self, streamed, request, trailers),
            extensions={
                "http_version": (streamed.http_version or "HTTP/3").encode(),
                "trailers": trailers,
            },
        )
        return made

    def mocked(self) -> bool:
        """Tell whether a library for tests stands in the place of TCP's way out."""
        core: Any = sys.modules.get(CORES[self.name])
        return (
            _from_a_mock(self.module.HTTPTransport.handle_request)
            or _from_a_mock(self.module.AsyncHTTPTransport.handle_async_request)
            or (core is not None and _from_a_mock(core.ConnectionPool.handle_request))
        )


class ResponseBody:
    """The body of a response; its trailers are added to a list when it has ended."""

    def __init__(
        self,
        library: Library,
        streamed: StreamedResponse,
        request: httpx.Request,
        trailers: list[tuple[bytes, bytes]],
    ) -> None:
        self._library = library
        self._streamed = streamed
        self._request = request
        self._trailers = trailers

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._streamed
        except errors.QuiverError as error:
            raise self._library.error(error, self._request) from error
        self._trailers += pairs_of(self._streamed.trailers)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._streamed:
                yield piece
        except errors.QuiverError as error:
            raise self._library.error(error, self._request) from error
        self._trailers += pairs_of(self._streamed.trailers)

    def close(self) -> None:
        self._streamed.close()

    async def aclose(self) -> None:
        self._streamed.close()


def _from_a_mock(method: object) -> bool:
    # Where it was written: what is wrapped passes for the original by its `__module__`.
    written: str = getattr(method, "__globals__", {}).get("__name__", "")
    return written.partition(".")[0] in MOCKS


@lru_cache(maxsize=len(NAMES))
def _library(name: str) -> Library:
    return Library(name)


def name_of(made: object) -> str | None:
    """Return the name of the library whose class something is of, also by inheritance."""
    tops = (each.__module__.partition(".")[0] for each in type(made).__mro__)
    return next((name for name in tops if name in NAMES), None)


def library_of(request: object) -> Library:
    """Return the library of a request. Raises TypeError if it is of neither."""
    name = name_of(request)
    if name is None:
        raise TypeError(f"a {type(request).__name__} is a request of neither {' nor '.join(NAMES)}")
    return _library(name)


def bases(name: str) -> tuple[type, ...]:
    """Return what a transport derives from, which the clients do not ask but programs may."""
    # One class, if the one library goes by both names (httpx2.alias_httpx).
    return tuple(dict.fromkeys(getattr(module, name) for module in WANTED))
