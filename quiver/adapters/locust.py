"""Locust: users whose client speaks HTTP/3.

    from locust import task
    from quiver.adapters.locust import HTTP3User

    class Shopper(HTTP3User):
        @task
        def look(self):
            with self.client.get("/items/42", name="/items/[id]", catch_response=True) as response:
                if response.json()["id"] != 42:
                    response.failure("another item")

`self.client` is Locust's own session, the one of `HttpUser`, with another transport below: names,
`catch_response`, cookies, redirects, authentication and the request events are Locust's. Locust
runs on gevent, and the pools run in its loop too, beside the users.

Importing this imports Locust, which monkey-patches the program.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from email.message import Message
from functools import partial
from typing import Any, ClassVar

import gevent
import requests
import urllib3
from gevent.pool import Group
from locust import HttpUser
from requests.adapters import HTTPAdapter

from quiver.client import Client
from quiver.errors import InvalidError, QuiverError
from quiver.models import Response

__all__ = ["HTTP3User"]

# What requests adds for HTTP/1.1 and HTTP/3 has no use for (RFC 9114 4.2).
_OF_CONNECTIONS = frozenset({"connection", "keep-alive", "proxy-connection", "transfer-encoding"})

# Locust logs at INFO, where each connection and each reset of a stream has a line of aioquic's.
logging.getLogger("quic").setLevel(logging.WARNING)


class HTTP3User(HttpUser):
    """Subclass it as you would `locust.HttpUser`. Its host must be an https URL.

    Each user has connections of its own, one per origin unless `pool_options` say otherwise, and
    closes them when it stops. With `http3_client` all users of a class share that client's.
    """

    abstract = True

    http3_client: ClassVar[Client | None] = None
    """A client for all users of the class; None gives each user its own."""

    pool_options: ClassVar[Mapping[str, object]] = {}
    """Options of each user's own pools, as `quiver.PoolConfig` has them: cafile, verify, ..."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        self._own: Client | None = None
        if self.http3_client is None:
            options = {"max_connections": 1, **self.pool_options}
            self._own = Client(pools={"default": options}, name=self.fullname())
        client = self.http3_client or self._own
        assert client is not None
        self.client.mount("https://", Transport(client))

    def start(self, group: Group) -> gevent.Greenlet[..., Any]:
        """Called by Locust when the user begins."""
        greenlet: gevent.Greenlet[..., Any] = super().start(group)
        if self._own is not None:
            close = self._own.close
            greenlet.link(lambda _: gevent.spawn(close))  # a link may not wait itself
        return greenlet


class Transport(HTTPAdapter):
    """Sends what requests has prepared over HTTP/3, and reads the whole response.

    `stream=True` of a call changes nothing. `timeout`, or its second half, is the longest silence
    of the server, in seconds; the time to connect is the pool's.
    """

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client

    def send(  # type: ignore[override] # what TLS and proxies would be is the pool's
        self, request: requests.PreparedRequest, timeout: Any = None, **_: Any
    ) -> requests.Response:
        """Raises what requests' own adapter would: a RequestException."""
        ask = partial(self._client.request, str(request.method), str(request.url))
        body: Any = request.body
        headers = [
            (name, value)
            for name, value in request.headers.items()
            if name.lower() not in _OF_CONNECTIONS
        ]
        try:
            response = ask(
                headers=headers,
                body=body.encode() if isinstance(body, str) else body,
                receive_timeout=timeout[1] if isinstance(timeout, tuple) else timeout,
            )
        except InvalidError as error:
            raise requests.exceptions.InvalidURL(str(error), request=request) from error
        except TimeoutError as error:
            raise requests.exceptions.Timeout(error, request=request) from error
        except QuiverError as error:
            raise requests.exceptions.ConnectionError(error, request=request) from error
        return self.build_response(request, _raw(request, response))

    def close(self) -> None:
        """The client belongs to the user."""


class _Original:
    """Where requests looks for cookies: an http.client response in all that matters to it."""

    def __init__(self, headers: list[tuple[str, str]]) -> None:
        self.msg = Message()
        for name, value in headers:
            self.msg[name] = value

    def isclosed(self) -> bool:
        return True


def _raw(request: requests.PreparedRequest, response: Response) -> urllib3.HTTPResponse:
    original: Any = _Original(response.headers)
    return urllib3.HTTPResponse(
        io.BytesIO(response.body),
        urllib3.HTTPHeaderDict(response.headers),
        response.status,
        version=30,
        version_string="HTTP/3",
        preload_content=False,
        original_response=original,
        request_method=request.method,
        request_url=request.url,
    )
