"""A body is whole at the server, or its caller has an error: of any kind, refused at any point.

Never less with a 200. On proof that the server did not act on a request it is sent once more, but
only with a body that can be sent again in full.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

import httpx
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import quiver
from quiver.adapters.httpx import AsyncHTTP3Transport, HTTP3Transport
from quiver.adapters.requests import HTTP3Adapter
from quiver.streams.body_source import AsyncBodySource
from quiver.testing import Authority, LocalOrigin
from tests.support.cases.refused_uploads import (
    CONTENT,
    KINDS,
    PIECES,
    PROOFS,
    WHENS,
    Refusing,
    Told,
)
from tests.support.short_form import examples, some

LIMITS: Final[dict[str, Any]] = {"send_buffer": 65_536, "max_connections": 2}
FAILURES: Final = (quiver.StreamReset, quiver.GoAway, requests.ConnectionError, httpx.HTTPError)


class Ways(NamedTuple):
    """The ways in which a body can be sent to `server`."""

    server: Refusing
    pools: dict[str, dict[str, Any]]
    client: quiver.Client
    session: requests.Session
    httpx_client: httpx.Client

    def post(self, url: str, body: Any, trailers: Any) -> Told:
        return Told.read(self.client.post(url, body=body, trailers=trailers).text)

    def stream(self, url: str, body: Any, trailers: Any) -> Told:
        with self.client.stream("POST", url, body=body, trailers=trailers) as response:
            return Told.read(response.read())

    def requests(self, url: str, body: Any, _: Any) -> Told:
        return Told.read(self.session.post(url, data=body).text)

    def httpx(self, url: str, body: Any, trailers: Any) -> Told:
        asked = self.httpx_client.build_request(
            "POST", url, content=body, extensions={"trailers": trailers}
        )
        return Told.read(self.httpx_client.send(asked).text)

    def multipart(self, url: str, body: Any, _: Any) -> Told:
        """What the server is told has other words around it."""
        asked = self.httpx_client.build_request("POST", url, files={"file": body})
        length = int(asked.headers["content-length"])
        told = Told.read(self.httpx_client.send(asked).text)
        assert told.size == length > len(CONTENT)
        return Told.of(CONTENT)

    def asyncio(self, url: str, body: Any, trailers: Any) -> Told:
        async def ask() -> Told:
            source = AsyncBodySource(_in_asyncio(body), asyncio.get_running_loop())
            request = quiver.StreamRequest("POST", url, body=source, trailers=trailers)
            response = await self.client.pool(url).ask(request, block=False)
            return Told.read(await response.aread())

        return asyncio.run(ask())

    def async_httpx(self, url: str, body: Any, trailers: Any) -> Told:
        async def ask() -> Told:
            pools = self.pools["default"]
            transport = AsyncHTTP3Transport(
                verify=pools["cafile"], fallback=False, pools={"default": LIMITS}
            )
            async with httpx.AsyncClient(transport=transport) as client:
                content = body if isinstance(body, bytes) else _in_asyncio(body)
                asked = client.build_request(
                    "POST", url, content=content, extensions={"trailers": trailers}
                )
                return Told.read((await client.send(asked)).text)

        return asyncio.run(ask())


async def _in_asyncio(pieces: Any) -> AsyncIterator[bytes]:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


@pytest.fixture(scope="module")
def ways(authority: Authority) -> Iterator[Ways]:
    rule = {"cafile": authority.cafile, **LIMITS}
    with (
        LocalOrigin(authority=authority) as origin,
        quiver.Client(pools={"default": rule}) as client,
        requests.Session() as session,
        httpx.Client(
            transport=HTTP3Transport(
                verify=authority.cafile, fallback=False, pools={"default": LIMITS}
            )
        ) as httpx_client,
    ):
        session.trust_env = False
        session.verify = authority.cafile
        session.mount("https://", HTTP3Adapter(fallback=False, pools={"default": LIMITS}))
        yield Ways(Refusing(origin), {"default": rule}, client, session, httpx_client)


WAYS: Final = ("post", "stream", "requests", "httpx", "multipart", "asyncio", "async_httpx")


def goes(kind: str, way: str) -> bool:
    """Whether that way takes that kind of body."""
    known = KINDS[kind]
    if way == "requests":
        return known.in_requests
    if way == "httpx":
        return known.in_httpx
    if way == "multipart":
        return kind in ("bytes", "file")
    if way == "asyncio":
        return kind == "generator"
    return way != "async_httpx" or kind in ("bytes", "generator")


def replays(kind: str, way: str, *, told: bool) -> bool:
    """Whether it is proved that a body which has been read can be sent again in full."""
    known = KINDS[kind]
    if way in ("multipart", "asyncio"):
        return False
    return known.kept or (known.again and not told)


CHEATS: Final = {
    "callable that cheats": "the same generator a second time",
    "callable that shares": "are not those that were read before",
}
CASES: Final = [(kind, way) for kind in KINDS for way in WAYS if goes(kind, way)]
REFUSED_ONCE: Final = [*itertools.product(PROOFS, WHENS.values())]
REFUSALS = st.lists(
    st.tuples(
        st.sampled_from(PROOFS), st.sampled_from([*WHENS.values()]) | st.integers(0, 600_000)
    ),
    max_size=3,
)


@pytest.mark.long
@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=st.sampled_from(CASES), told=st.booleans(), refusals=REFUSALS)
def test_whole_or_an_error(
    ways: Ways, case: tuple[str, str], told: bool, refusals: list[tuple[str, int | None]]
) -> None:
    check(ways, *case, told=told, refusals=refusals)


@pytest.mark.one_in(12)
@pytest.mark.parametrize(("kind", "way"), CASES)
def test_refused_once(ways: Ways, kind: str, way: str) -> None:
    for proof, when in some(REFUSED_ONCE, CASES.index((kind, way))):
        check(ways, kind, way, told=False, refusals=[(proof, when)])


@pytest.mark.one_in(4)
@pytest.mark.parametrize("kind", KINDS)
def test_refused_once_with_trailers_that_tell_of_it(ways: Ways, kind: str) -> None:
    for proof, when in some(REFUSED_ONCE, [*KINDS].index(kind)):
        check(ways, kind, "post", told=True, refusals=[(proof, when)])


@pytest.mark.one_in(3)
@pytest.mark.parametrize("body", [b"", CONTENT, PIECES], ids=["none", "bytes", "list"])
@pytest.mark.parametrize("proof", PROOFS)
def test_trailers_are_computed_once(ways: Ways, proof: str, body: Any) -> None:
    """What computes them may have nothing to say the second time."""
    for when in WHENS.values():
        upload = ways.server.refuse((proof, when))
        said = iter([("x-told", "once")])
        told = ways.post(upload.url, body, partial(iter, said))
        assert told.trailer == "once"
        assert upload.tries == 2


def shorten(file: io.BytesIO) -> None:
    file.truncate(400_000)


def lengthen(file: io.BytesIO) -> None:
    file.seek(0, io.SEEK_END)
    file.write(b"more")


@pytest.mark.parametrize("way", ["post", "stream", "requests"])
@pytest.mark.parametrize("change", [shorten, lengthen, io.BytesIO.close])
def test_a_file_that_has_changed_meanwhile_is_not_sent_again(
    ways: Ways, change: Callable[[io.BytesIO], object], way: str
) -> None:
    """Only now it is not the same body any more. The server never gets it as if it were whole."""
    file = io.BytesIO(CONTENT)
    upload = ways.server.refuse((PROOFS[0], None))
    upload.when_refused = lambda: change(file)
    with pytest.raises(
        ValueError, match=r"content-length is 500000|read anew it ended|closed file"
    ):
        getattr(ways, way)(upload.url, file, ())


@pytest.mark.parametrize("way", ["post", "stream"])
def test_a_list_is_sent_again_as_it_was(ways: Ways, way: str) -> None:
    body = [*PIECES]
    upload = ways.server.refuse((PROOFS[0], None))
    upload.when_refused = body.clear
    assert getattr(ways, way)(upload.url, body, ()) == Told.of(CONTENT)
    assert body == []


@pytest.mark.parametrize("proof", PROOFS)
def test_the_error_says_why_it_is_not_sent_again(ways: Ways, proof: str) -> None:
    upload = ways.server.refuse((proof, None))
    with pytest.raises((quiver.StreamReset, quiver.GoAway)) as caught:
        ways.post(upload.url, iter(PIECES), ())
    (note,) = caught.value.__notes__
    assert note.endswith("its body was read, which can be read once")


def check(
    ways: Ways, kind: str, way: str, *, told: bool, refusals: list[tuple[str, int | None]]
) -> None:
    """Send it once. `told`: with trailers that tell the digest of what was read, when it was."""
    digest = hashlib.sha256(CONTENT if KINDS[kind].kept else b"")
    body = KINDS[kind].make(lambda piece: digest.update(piece))
    told = told and way not in ("requests", "multipart")
    trailers = (lambda: {"x-digest": digest.hexdigest()}) if told else ()
    upload = ways.server.refuse(*refusals)
    again = replays(kind, way, told=told)
    try:
        said = getattr(ways, way)(upload.url, body, trailers)
    except FAILURES:
        assert refusals
        assert len(refusals) > 1 or not again, "it could have been sent again"
    except quiver.InvalidRequest as error:
        assert CHEATS[kind] in str(error) or "read anew it ended after" in str(error)
    else:
        assert said == Told.of(CONTENT, Told.of(CONTENT).digest if told else "")
        untouched = all(after == 0 for _, after in refusals)
        assert again or untouched, "it was read, and sent again"
    assert upload.tries <= 3
