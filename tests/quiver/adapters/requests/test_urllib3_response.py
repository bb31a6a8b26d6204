"""urllib3's response over a body of ours; and what of urllib3 it relies on."""

from __future__ import annotations

import gzip
import inspect
import threading
from typing import Any

import pytest
import requests
import urllib3
from requests.cookies import extract_cookies_to_jar

from quiver.adapters.requests import HTTP3Adapter
from quiver.testing import Authority, LocalOrigin, Origin, pattern
from tests.support.waiting import until


def test_trailers(session: requests.Session, origin: Origin) -> None:
    with session.get(origin.url + "/trailers", stream=True) as response:
        raw: Any = response.raw
        assert dict(raw.trailers) == {}
        assert response.content
        assert dict(raw.trailers) == {"x-checksum": "abc", "x-count": "2"}


def test_several_cookies(session: requests.Session, origin: Origin) -> None:
    response = session.get(origin.url + "/duplicates")
    assert len(response.raw.headers.getlist("set-cookie")) == 3
    assert len(response.cookies) >= 1


def test_pieces_come_as_they_are_sent(session: requests.Session, origin: Origin) -> None:
    """Without a content-length nobody waits for a chunk to be full."""
    with session.get(origin.url + "/drip/3/0.05?size=10", stream=True) as response:
        pieces = list(response.iter_content(1_000))
    assert pieces == [pattern(10)] * 3


def test_shutdown_lets_go_of_who_reads(session: requests.Session, origin: Origin) -> None:
    response = session.get(origin.url + "/drip/1000/0.1?size=10", stream=True)
    timer = threading.Timer(0.2, response.raw.shutdown)
    timer.start()
    with response, pytest.raises(requests.exceptions.ChunkedEncodingError):
        _ = response.content
    timer.join(10.0)


@pytest.mark.parametrize("size", [None, -1])
@pytest.mark.parametrize("path", ["/bytes/70001", "/drip/3/0.01?size=10"])
def test_none_and_below_zero_are_all(
    size: int | None, path: str, session: requests.Session, origin: Origin
) -> None:
    with session.get(origin.url + path, stream=True) as response:
        raw: Any = response.raw
        first = raw._fp.read(5) if size is None else raw.read(5)
        whole = first + (raw._fp.read(size) if size is None else raw.read(size))
    assert whole == (pattern(70_001) if "bytes" in path else pattern(10) * 3)
    with session.get(origin.url + path, stream=True) as response:
        raw = response.raw
        pieces = list(iter(lambda: raw._fp.read1(size), b""))
    assert b"".join(pieces) == whole


@pytest.mark.parametrize("chunk", [1, 1_000, 70_000])
def test_chunks_are_full_otherwise(chunk: int, session: requests.Session, origin: Origin) -> None:
    with session.get(origin.url + "/bytes/70001", stream=True) as response:
        pieces = list(response.iter_content(chunk))
    assert b"".join(pieces) == pattern(70_001)
    assert {len(piece) for piece in pieces[:-1]} == {chunk}


@pytest.mark.parametrize("chunk", [1, 3, 1_000])
@pytest.mark.parametrize("path", ["/bytes/10", "/drip/2/0?size=5"])
def test_what_has_all_come_is_counted_as_what_comes(
    path: str, chunk: int, session: requests.Session, origin: Origin
) -> None:
    with session.get(origin.url + path, stream=True) as response:
        raw: Any = response.raw
        until(lambda: raw._streamed.complete)
        pieces = raw.stream(chunk, decode_content=True)
        first = next(pieces)
        assert raw.tell() == len(first) == min(chunk, 10)
        assert raw.length_remaining == (10 - len(first) if "bytes" in path else None)
        assert not raw.closed or len(first) == 10
        assert first + b"".join(pieces) == (pattern(10) if "bytes" in path else pattern(5) * 2)
        assert (raw.tell(), raw.closed, raw.read()) == (10, True, b"")


def test_what_has_all_come_is_decoded(authority: Authority) -> None:
    answer = (200, {"content-encoding": "gzip"}, gzip.compress(pattern(10)))
    with LocalOrigin(authority=authority) as local, requests.Session() as session:
        local.route("/gzip")(lambda asked: answer)
        session.trust_env, session.verify = False, local.cafile
        session.mount("https://", HTTP3Adapter(fallback=False))
        with session.get(local.url + "/gzip", stream=True) as response:
            raw: Any = response.raw
            until(lambda: raw._streamed.complete)
            assert b"".join(response.iter_content(3)) == pattern(10)


def test_closed_amid_what_has_all_come(session: requests.Session, origin: Origin) -> None:
    with session.get(origin.url + "/bytes/10", stream=True) as response:
        raw: Any = response.raw
        until(lambda: raw._streamed.complete)
        pieces = response.iter_content(3)
        assert next(pieces) == pattern(10)[:3]
        raw.shutdown()
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            next(pieces)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/reset-after/1000/0x102", requests.exceptions.ChunkedEncodingError),
        ("/reset/0x102", requests.ConnectionError),
        ("/malformed", requests.ConnectionError),
        ("/stall-after/1000", requests.ConnectionError),
    ],
)
def test_what_ends_it_early(
    path: str, kind: type[Exception], session: requests.Session, origin: Origin
) -> None:
    with pytest.raises(kind) as caught:
        session.get(origin.url + path, timeout=(5, 0.5))
    assert type(caught.value) is kind


def test_a_session_goes_on_after_its_close(session: requests.Session, origin: Origin) -> None:
    assert session.get(origin.url + "/ok").content == b"ok"
    session.close()
    raw = session.get(origin.url + "/ok").raw
    assert (raw.version, raw.version_string) == (30, "HTTP/3")


def test_what_a_proxy_refuses_says_nothing_of_an_earlier_failure_of_http_3() -> None:
    with requests.Session() as session:
        session.mount("https://", HTTP3Adapter())
        with pytest.raises(requests.ConnectionError) as direct:
            session.get("https://127.0.0.1:1/")
        assert "HTTP/3 had failed" in direct.value.__notes__[0]
        with pytest.raises(requests.exceptions.ProxyError) as proxied:
            session.get("https://127.0.0.1:1/", proxies={"https": "http://127.0.0.1:1"})
        assert not hasattr(proxied.value, "__notes__")


def test_no_proxy_and_no_http_without_a_fallback(session: requests.Session) -> None:
    with pytest.raises(requests.exceptions.ProxyError):
        session.get("https://localhost/", proxies={"https": "http://127.0.0.1:1"})
    session.mount("http://", session.get_adapter("https://"))
    with pytest.raises(requests.exceptions.InvalidURL):
        session.get("http://localhost/")


def test_canary_what_urllib3_asks_of_a_body() -> None:
    catcher = inspect.getsource(urllib3.HTTPResponse._error_catcher)
    assert "except SocketTimeout" in catcher and "(HTTPException, OSError)" in catcher
    assert "self._fp.read1(" in inspect.getsource(urllib3.HTTPResponse._fp_read)
    assert "_original_response.msg" in inspect.getsource(extract_cookies_to_jar)
