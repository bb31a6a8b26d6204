"""What people do with requests: each case is one call, whose outcome is compared."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, Final

import requests

from tests.support.cases.transport_differential import Place, encoded, fields_of
from tests.support.servers.http1_backend import TEXT

__all__ = ["CASES"]

Case = Callable[[requests.Session, Place], Any]


def told(response: requests.Response) -> Any:
    """All of a response that must not depend on the protocol."""
    return (
        response.status_code,
        response.reason,
        response.url,
        fields_of(response.headers),
        response.encoding,
        response.content,
        [each.status_code for each in response.history],
        sorted(response.cookies.items()),
    )


def plain(method: str, path: str, **options: Any) -> Case:
    return lambda session, place: told(session.request(method, place.url + path, **options))


def pieces() -> Iterator[bytes]:
    yield b"one "
    yield b"two "
    yield b"three"


class Pipe(io.BytesIO):
    """A file that cannot seek."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: Any) -> int:
        raise OSError("a pipe")

    def tell(self) -> int:
        raise OSError("a pipe")

    def fileno(self) -> int:
        raise OSError("a pipe")


def body(make: Callable[[], Any], to: str = "/back/echo") -> Case:
    """A POST whose body is made for each call."""
    return lambda session, place: told(session.post(place.url + to, data=make()))


def streamed(path: str, look: Callable[[requests.Response], Any], **options: Any) -> Case:
    def call(session: requests.Session, place: Place) -> Any:
        with session.get(place.url + path, stream=True, **options) as response:
            return response.status_code, look(response)

    return call


def at(where: str, **options: Any) -> Case:
    """A GET of a place where something is wrong."""
    return lambda session, place: told(session.get(getattr(place, where) + "/small", **options))


def raising() -> Iterator[bytes]:
    yield b"x"
    raise ZeroDivisionError("in the body")


def a_multipart_form(session: requests.Session, place: Place) -> Any:
    files = {"f": ("n.txt", io.BytesIO(b"inside"), "text/plain")}
    response = session.post(place.url + "/back/echo", data={"a": "1"}, files=files)
    boundary = str(response.request.headers["Content-Type"]).partition("boundary=")[2]
    return response.text.replace(boundary, "BOUNDARY")


def cookies_are_kept(session: requests.Session, place: Place) -> Any:
    session.get(place.url + "/back/cookie?a=1&b=2")
    echoed = session.get(place.url + "/back/echo").json()
    return sorted(session.cookies.items()), [v for n, v in echoed["headers"] if n == "cookie"]


def a_cookie_set_on_the_way(session: requests.Session, place: Place) -> Any:
    session.cookies.set("mine", "yes")
    echoed = session.get(place.url + "/back/echo", cookies={"once": "1"}).json()
    return sorted(v for n, v in echoed["headers"] if n == "cookie")


def authorization_is_not_carried_elsewhere(session: requests.Session, place: Place) -> Any:
    target = place.by_address + "/back/echo"
    response = session.get(f"{place.url}/back/to?url={target}", auth=("user", "pass"))
    return [name for name, _ in response.json()["headers"]], response.url == target


def user_in_the_url(session: requests.Session, place: Place) -> Any:
    response = session.get(place.url.replace("://", "://user:pass@") + "/back/auth")
    return response.status_code, response.content


def another_authority(session: requests.Session, place: Place) -> Any:
    return told(session.get(place.url + "/small", verify=place.stranger))


def no_verification(session: requests.Session, place: Place) -> Any:
    return told(session.get(place.url + "/small", verify=False))


def a_prepared_request(session: requests.Session, place: Place) -> Any:
    request = requests.Request("PUT", place.url + "/back/echo", data=b"x", headers={"X-A": "b"})
    return told(session.send(session.prepare_request(request)))


def a_hook(session: requests.Session, place: Place) -> Any:
    seen: list[int] = []
    hooks = {"response": lambda response, *_, **__: seen.append(response.status_code)}
    session.get(place.url + "/back/status/409", hooks=hooks)
    return seen


def raise_for_status(session: requests.Session, place: Place) -> Any:
    session.get(place.url + "/back/status/404").raise_for_status()


def raw_read(response: requests.Response) -> Any:
    first = response.raw.read(10)
    return first, response.raw.read(), response.raw.read(), response.raw.tell()


def raw_decoded(response: requests.Response) -> Any:
    return response.raw.read(decode_content=True)


def raw_as_a_file(response: requests.Response) -> Any:
    return list(response.raw)[:3]


def closed_early(response: requests.Response) -> Any:
    first = next(response.iter_content(1000))
    response.close()
    return first, response.raw.closed


def read_twice(response: requests.Response) -> Any:
    for _ in response.iter_content(1000):
        pass
    return list(response.iter_content(1000))


def a_redirect_by_hand(session: requests.Session, place: Place) -> Any:
    response = session.get(f"{place.url}/back/to?url=/small", allow_redirects=False)
    assert response.next is not None
    return response.is_redirect, response.next.url, told(session.send(response.next))


CASES: Final[dict[str, Case]] = {
    # methods and statuses
    **{
        f"{method} is echoed": plain(method, "/back/echo")
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    },
    "HEAD": plain("HEAD", "/large"),
    **{f"status {n}": plain("GET", f"/back/status/{n}") for n in (204, 304, 404, 409, 500, 503)},
    "a file": plain("GET", "/large"),
    "a range": plain("GET", "/large", headers={"Range": "bytes=10-19"}),
    "a range that is none": plain("GET", "/large", headers={"Range": "bytes=9999999-"}),
    "no such file": plain("GET", "/missing"),
    # what is sent
    "params": plain("GET", "/back/echo", params={"a": ["1", "2"], "b": "ü &"}),
    "a path that needs quoting": plain("GET", "/back/echo/ä b?c=d e"),
    "a fragment": plain("GET", "/back/echo#part"),
    "headers": plain("GET", "/back/echo", headers={"X-One": "1", "user-agent": "mine"}),
    "a bytes header": plain(
        "GET", "/back/echo", headers={"X-Latin": "caf\u00e9".encode("latin-1")}
    ),
    "connection headers": plain("GET", "/back/echo", headers={"Connection": "close", "TE": "gzip"}),
    "a form": plain("POST", "/back/echo", data={"a": "1", "b": ["x", "y"]}),
    "json": plain("POST", "/back/echo", json={"a": [1, None]}),
    "text": plain("POST", "/back/echo", data="grüße"),
    "bytes": plain("POST", "/back/echo", data=bytes(range(256))),
    "no body": plain("POST", "/back/echo", data=b""),
    "a file body": body(lambda: io.BytesIO(b"content" * 1000)),
    "a file from its middle": body(lambda: _from_middle(b"0123456789")),
    "a pipe": body(lambda: Pipe(b"through a pipe")),
    # Caddy's own echo: its proxy drops a body of unknown length that came over HTTP/3.
    "a generator": body(pieces, to="/echo"),
    "a generator of text": body(lambda: (text for text in ("grü", "ße")), to="/echo"),
    "an empty generator": body(lambda: iter(()), to="/echo"),
    "a generator that raises": body(raising),
    "a megabyte": body(lambda: b"m" * 1_000_000),
    "a multipart form": a_multipart_form,
    "a bad header": plain("GET", "/back/echo", headers={"X-Bad": "a\nb"}),
    "a bad method": plain("GE T", "/back/echo"),
    # cookies, authorization, redirects
    "cookies are kept": cookies_are_kept,
    "a cookie set on the way": a_cookie_set_on_the_way,
    "basic auth": plain("GET", "/back/auth", auth=("user", "pass")),
    "wrong auth": plain("GET", "/back/auth", auth=("user", "wrong")),
    "user in the url": user_in_the_url,
    "authorization is not carried elsewhere": authorization_is_not_carried_elsewhere,
    **{
        f"redirect {n}": plain("POST", f"/back/to?url=/back/echo&status={n}", data=b"again")
        for n in (301, 302, 303, 307, 308)
    },
    "a redirect with a file": lambda session, place: told(
        session.post(f"{place.url}/back/to?url=/back/echo&status=307", data=io.BytesIO(b"again"))
    ),
    "a redirect with a generator": lambda session, place: told(
        session.post(f"{place.url}/back/to?url=/echo&status=307", data=pieces())
    ),
    "a redirect not followed": plain("GET", "/back/to?url=/small", allow_redirects=False),
    "a redirect by hand": a_redirect_by_hand,
    "a loop": plain("GET", "/back/to?url=/back/to%3Furl=/back/nowhere%26x=1", timeout=5),
    "a redirect to nowhere": plain("GET", "/back/to?url=https://nowhere.invalid/"),
    # what comes back
    "gzip": plain("GET", "/back/gzip"),
    "zstd": plain("GET", "/back/zstd", headers={"Accept-Encoding": "zstd"}),
    **{kind: plain("GET", encoded(kind, TEXT)) for kind in ("deflate", "br")},
    "identity": plain("GET", "/back/gzip", headers={"Accept-Encoding": "identity"}),
    "bad gzip": plain("GET", "/back/named?name=content-encoding&value=gzip&body=nonsense"),
    "latin-1": plain("GET", "/back/named?name=content-type&value=text/html&body=%C3%BC"),
    "no json": lambda session, place: session.get(place.url + "/small").json(),
    "raise for status": raise_for_status,
    "a prepared request": a_prepared_request,
    "a hook": a_hook,
    # streaming
    "iter_content": streamed("/large", lambda r: [len(each) for each in r.iter_content(10_000)]),
    "iter_content of gzip": streamed("/back/gzip", lambda r: list(r.iter_content(1_000))),
    "iter_lines": streamed("/back/plain", lambda r: list(r.iter_lines(decode_unicode=True))),
    "drops": streamed("/back/drip/5/0.02", lambda r: b"".join(r.iter_content(None))),
    "raw.read": streamed("/back/plain", raw_read),
    "raw.read of gzip": streamed("/back/gzip", raw_decoded),
    "raw as a file": streamed("/back/plain", raw_as_a_file),
    "raw.stream": streamed("/large", lambda r: len(list(r.raw.stream(65_536)))),
    "closed early": streamed("/large", closed_early),
    "read twice": streamed("/large", read_twice),
    # what goes wrong
    "a read timeout": plain("GET", "/back/delay/1", timeout=(5, 0.2)),
    "a timeout in the body": plain("GET", "/back/half/4", timeout=0.3),
    "a timeout while streaming": streamed("/back/half/4", lambda r: r.content, timeout=0.3),
    "a timeout of nothing": plain("GET", "/small", timeout=0),
    "a timeout of three": plain("GET", "/small", timeout=(1, 2, 3)),
    "a body that is short": plain("GET", "/back/short"),
    "nobody listens": at("closed"),
    "nobody answers": at("silent", timeout=(0.3, 5)),
    "another authority": another_authority,
    "no verification": no_verification,
    "no such roots": plain("GET", "/small", verify="/nowhere/roots.pem"),
    "no such certificate": plain("GET", "/small", cert="/nowhere/mine.pem"),
    "no such name": lambda session, place: told(session.get("https://nowhere.invalid/")),
    "no host": lambda session, place: told(session.get("https://")),
    "by address": at("by_address"),
}


def _from_middle(content: bytes) -> io.BytesIO:
    file = io.BytesIO(content)
    file.seek(4)
    return file
