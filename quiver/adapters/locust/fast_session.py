"""FastHttpUser's client over HTTP/3."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from locust import User
from locust.contrib.fasthttp import FastHttpSession, ResponseContextManager
from locust.event import EventHook

from quiver.adapters.locust.fast_agent import (
    Connections,
    Cookies,
    HTTP3UserAgent,
    StreamedAnswer,
)
from quiver.pool_options import unknown

__all__ = ["HTTP3FastSession"]

_PIECE: Final = 65_536  # bytes
_MORE: Final = ("params", "files", "max_retries", "max_redirects")
_NAMES: Final = (
    *("name", "data", "catch_response", "stream", "headers", "auth", "json"),
    *("allow_redirects", "context", *_MORE),
)
_ELSEWHERE: Final = {
    "timeout": "network_timeout and connection_timeout of the class are",
    "verify": "insecure of the class is, or verify in its pool_options",
    "cert": "certfile and keyfile in the pool_options of the class are",
    "cookies": "client.cookiejar is, or a Cookie header",
}


class HTTP3FastSession(FastHttpSession):
    """Locust's FastHttpSession, whose requests go over HTTP/3."""

    def __init__(
        self,
        base_url: str,
        request_event: EventHook,
        user: User | None,
        connections: Connections,
        headers: Mapping[str, str] | None,
        max_redirects: int,
        max_retries: int,
        concurrency: int,
    ) -> None:
        super().__init__(base_url, request_event, user)
        self.cookiejar = Cookies()
        self.client: HTTP3UserAgent = HTTP3UserAgent(
            connections, self.cookiejar, headers, max_redirects, max_retries, concurrency
        )

    def request(
        self,
        method: str,
        url: str,
        name: str | None = None,
        data: object = None,
        catch_response: bool = False,
        stream: bool = False,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str | bytes, str | bytes] | None = None,
        json: object = None,
        allow_redirects: bool = True,
        context: Mapping[str, Any] = {},
        **more: object,
    ) -> ResponseContextManager:
        """Send a request as FastHttpSession does; `more` are params, files, max_retries.

        With `stream` the response is there with its head, and its body is read from it.

        Raises:
            TypeError: a keyword that is none.
            InvalidRequest: what HTTP/3 does not accept, such as a header of two lines.
        """
        for keyword in more:
            if keyword not in _MORE:
                raise TypeError(_no_keyword(keyword))
        if not allow_redirects:
            more["max_redirects"] = 0
        if stream:
            more["streamed"] = True
        options: Any = more
        return super().request(
            method,
            url,
            name=name,
            data=data,  # type: ignore[arg-type] # anything that Quiver takes
            catch_response=catch_response,
            stream=stream,
            headers=headers,  # type: ignore[arg-type] # it is copied
            auth=auth,
            json=json,
            context=context,  # type: ignore[arg-type]
            **options,
        )

    def iter_lines(self, url: str, method: str = "GET", **kwargs: Any) -> Iterator[str]:  # type: ignore[override]
        """Send a request, and yield its response in lines, without their line feeds, as they come.

        What is compressed cannot be read by lines: none is asked for.

        Raises:
            OSError: there was no response, or it was an error, or it has broken off.
        """
        headers = {"Accept-Encoding": "identity", **(kwargs.pop("headers", None) or {})}
        response = self.request(method, url, stream=True, headers=headers, **kwargs)
        response.raise_for_status()  # type: ignore[no-untyped-call]
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        rest, body = "", cast(StreamedAnswer, response.stream)
        while piece := body.read1(_PIECE):
            *lines, rest = (rest + decoder.decode(piece)).split("\n")
            yield from lines
        rest += decoder.decode(b"", True)
        if rest:
            yield rest


def _no_keyword(keyword: str) -> str:
    if keyword in _ELSEWHERE:
        return f"{keyword} is no keyword of a request: {_ELSEWHERE[keyword]}"
    return unknown(keyword, "keyword of a request", _NAMES)
