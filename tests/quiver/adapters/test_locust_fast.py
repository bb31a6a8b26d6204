"""What a fast user may do, in a program of its own: Locust patches whatever imports it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from quiver.testing import Answer, LocalOrigin
from tests.support.programs.runner import run_script

# The end of it is one line of JSON: what was found, and what Locust was told of each request.
USER = """
import sys, json, ssl
from locust.env import Environment
from quiver.adapters.locust import HTTP3FastUser
import gevent
from gevent.pool import Pool

class Visitor(HTTP3FastUser):
    host = sys.argv[1] + sys.argv[3]
    pool_options = {"cafile": sys.argv[2]}
    network_timeout = 2.0
    %s

    def context(self):
        return {"who": "visitor"}

environment = Environment(user_classes=[Visitor])
told = []

@environment.events.request.add_listener
def tell(**about):
    del about["response"], about["start_time"]
    told.append({**about, "exception": about["exception"] and repr(about["exception"])})

user, found = Visitor(environment), {}
client = user.client

def sent(asking=client, **options):
    return dict(asking.get("/headers", name="headers", **options).json())

def error_of(call, *given, **options):
    try:
        call(*given, **options)
    except (OSError, TypeError, ValueError) as error:
        return type(error).__name__ + ": " + str(error)

def visit():
%s

visit()
print(json.dumps([found, told]))
"""


class Told(list[dict[str, Any]]):
    """What Locust was told of each request, in order."""

    @property
    def names(self) -> list[str]:
        return [each["name"] for each in self]

    @property
    def faults(self) -> list[str | None]:
        return [each["exception"] for each in self]


def visited(
    origin: LocalOrigin, *lines: str, attributes: str = "", path: str = "", host: str = ""
) -> tuple[dict[str, Any], Told]:
    text = USER % (attributes, "\n".join(f"    {line}" for line in lines))
    said = run_script(text, host or origin.url, origin.cafile, path, timeout=90.0)
    found, told = json.loads(said.splitlines()[-1])
    return found, Told(told)


@pytest.fixture
def origin() -> Any:
    with LocalOrigin() as started:
        started.route("/from")(lambda _: (302, {"location": "/items/7"}, b""))
        started.route("/again")(lambda _: (302, {"location": "/again"}, b""))
        started.route("/plain")(lambda _: (302, {"location": "http://127.0.0.1:1/"}, b""))
        started.route("/removed", method="DELETE")(lambda _: b"ok")
        started.route("/binary")(lambda _: (500, {}, b"\xff\xfe"))
        started.route("/cookie")(lambda _: (200, {"set-cookie": "a=b"}, b"ok"))
        pieces = [b"data: 1\r", b"\n\r\nda", b"ta: 2\r\nla", b"st"]
        started.route("/sse")(lambda _: Answer(200, (), pieces))
        started.route("/lines")(
            lambda _: Answer(200, (), [b"one\ntw", "ö".encode()[:1], "ö\nend".encode()[1:]])
        )
        yield started


HEADERS = """
import json
from quiver.adapters.locust.fast_agent import Headers, headers_of

once = [("server", "Caddy"), ("content-length", "2"), ("etag", "a")]
twice = [*once, ("set-cookie", "a=b"), ("via", "1"), ("set-cookie", "c=d")]
for pairs in ([], once, twice):
    ours, theirs = headers_of(pairs), Headers(pairs)
    assert type(ours) is Headers and dict.items(ours) == dict.items(theirs)
    assert list(ours.items()) == list(theirs.items())
    ours.add("ETag", "b")  # what is there is changed as theirs is
    theirs.add("ETag", "b")
    assert ours["etag"] == theirs["etag"]
assert once == [("server", "Caddy"), ("content-length", "2"), ("etag", "a")]
print(json.dumps([headers_of(twice)["Set-Cookie"], headers_of(once).get("Server")]))
"""


def test_fields_of_a_response_are_kept_as_geventhttpclient_keeps_them() -> None:
    """A canary too: `headers_of` writes what Headers has inside."""
    assert json.loads(run_script(HEADERS, timeout=90.0)) == [["a=b", "c=d"], "Caddy"]


def test_geventhttpclient_keeps_pairs_and_so_they_are_not_made_anew() -> None:
    said = run_script("from quiver.adapters.locust import fast_agent as it; print(it._KEEPS_PAIRS)")
    assert said.strip() == "True"


@pytest.mark.long
def test_responses_are_as_of_the_fast_session(origin: LocalOrigin) -> None:
    found, told = visited(
        origin,
        "r = client.get('/items/7?page=1', context={'more': 1})",
        "found['get'] = [r.status_code, r.ok, r.json(), r.text, r.content.decode(), r.url]",
        "found['type'] = r.headers['Content-Type']",
        "r = client.get('/items/8', params={'q': 'a b'}, name='params')",
        "found['params'] = r.json()",
        "r = client.head('/ok')",
        "found['head'] = [r.status_code, r.content.decode()]",
        "found['form'] = client.post('/echo', data={'a': 'b c'}).text",
        "found['json'] = client.put('/echo', json={'a': 1}).json()",
        "found['text'] = client.patch('/echo', data='ü').content.decode()",
        "found['file'] = client.post('/echo', files={'f': ('n', b'data')}).text.count('data')",
        "found['deleted'] = client.delete('/removed').status_code",
        "found['streamed'] = client.get('/bytes/70000', stream=True).stream.read(60_001).hex()[:4]",
        "with client.rename_request('renamed'): client.get('/ok')",
    )
    url = f"{origin.url}/items/7?page=1"
    body = '{"id": 7}'
    assert found["get"] == [200, True, {"id": 7}, body, body, url]
    assert found["type"] == "application/json"
    assert found["params"] == {"id": 8}
    assert found["head"] == [200, ""]
    assert (found["form"], found["json"], found["text"]) == ("a=b+c", {"a": 1}, "ü")
    assert (found["file"], found["deleted"], found["streamed"]) == (2, 200, "0001")
    first = told[0]
    assert first.pop("response_time") > 0
    assert first == {
        "request_type": "GET",
        "name": "/items/7?page=1",
        "url": url,
        "exception": None,
        "response_length": len(body),
        "context": {"who": "visitor", "more": 1},
    }
    assert (told.names[1:3], told.names[-1]) == (["params", "/ok"], "renamed")
    assert told[-2]["response_length"] == 70_000
    assert set(told.faults) == {None}


@pytest.mark.long
def test_what_is_sent_is_as_of_the_fast_session(origin: LocalOrigin) -> None:
    found, _ = visited(
        origin,
        "found['first'] = sent(headers={'X-Mine': '1'})",
        "client.get('/cookie')",
        "h = {'Connection': 'keep-alive', 'Keep-Alive': '5'}",  # as of a recorded script
        "found['second'] = sent(auth=('me', 'pw'), headers=h)",
        "found['other'] = sent(Visitor(environment).client)",
        attributes="default_headers = {'x-all': 'yes'}",
    )
    first, second, other = found["first"], found["second"], found["other"]
    assert (first["x-mine"], first["x-all"], second["x-all"]) == ("1", "yes", "yes")
    assert first["user-agent"].startswith("python-quiver/")
    assert second["authorization"] == "Basic bWU6cHc="
    assert (second["cookie"], first.get("cookie"), other.get("cookie")) == ("a=b", None, None)
    assert not {"connection", "keep-alive"} & set(second)
    assert origin.connections_accepted() == 1  # of both users


@pytest.mark.long
def test_values_of_fields_are_written_out_as_geventhttpclient_does(origin: LocalOrigin) -> None:
    found, told = visited(
        origin,
        "for value in (1, True, None, 2.5, ['a', 'b'], b'c'):",
        "    found[str(value)] = sent(headers={'X-Value': value})['x-value']",
        "found['all'] = sent()['x-all']",
        attributes="default_headers = {'x-all': 7}",
    )
    assert found.pop("['a', 'b']") in ("b", "a, b")  # two fields
    assert found == {
        "1": "1",
        "True": "True",
        "None": "None",
        "2.5": "2.5",
        "b'c'": "c",
        "all": "7",
    }
    assert set(told.faults) == {None}


@pytest.mark.long
def test_a_stream_offers_what_geventhttpclients_does(origin: LocalOrigin) -> None:
    found, _ = visited(
        origin,
        "for streamed in (True, False):",
        "    s = client.get('/items/7', stream=streamed).stream",
        "    found[str(streamed)] = [s.status_code, s.content_length, s['Content-Type'],",
        "        s.get('nope', '-'), 'content-TYPE' in s, 'nope' in s,",
        "        dict(s.headers)['content-type']]",
        "r = client.get('/sse', stream=True)",
        "found['lines'] = [r.readline().decode() for _ in range(3)]",
        "found['rest'] = [r.read(2).decode(), next(r.stream).decode(), r.readline().decode()]",
        "found['other'] = client.get('/sse', stream=True).stream.readline(b'x').decode()",
    )
    head = [200, 9, "application/json", "-", True, False, "application/json"]
    assert found["True"] == found["False"] == head
    assert found["lines"] == ["data: 1\r\n", "\r\n", "data: 2\r\n"]
    assert found["rest"] == ["la", "st", ""]
    assert found["other"] == "data: 1\r\n\r\ndata: 2\r\nlast"


@pytest.mark.long
def test_redirects_are_followed_as_far_as_they_may(origin: LocalOrigin) -> None:
    found, told = visited(
        origin,
        "r = client.get('/from', name='to')",
        "found['to'] = [r.status_code, r.json(), len(r.history)]",
        "r = client.get('/from', allow_redirects=False, name='not')",
        "found['not'] = [r.status_code, r.headers['location']]",
        "client.get('/again', name='round')",
        "client.get('/plain', name='plain')",
        attributes="max_redirects = 3",
    )
    assert found == {"to": [200, {"id": 7}, 1], "not": [302, "/items/7"]}
    assert told.names == ["to", "not", "round", "plain"]
    assert told.faults[:2] == [None, None]
    around, plain = map(str, told.faults[2:])
    assert "Redirection limit reached (3)" in around
    assert "RequestFailed" in plain and "the scheme must be https" in plain
    assert origin.requests_served("/again") == 4


FAULTS = [
    ("reset", "StreamReset('https://"),
    ("late", "ReceiveTimeout('https://"),
    ("late", "ReceiveTimeout('https://"),
    ("closed", "ConnectionRefused('https://127.0.0.1:1: "),
    ("status", "LocustBadStatusCode(code=503)"),
    ("binary", "LocustBadStatusCode(code=500)"),
    ("large", "RequestFailed('ResponseTooLarge: "),
    ("wrong", "CatchResponseError('no good')"),
    ("right", "None"),
    ("no JSON", "CatchResponseError('Could not parse response as JSON. ok, "),
    ("JSON", "CatchResponseError('another')"),
    ("nothing", "CatchResponseError('https://"),
]


@pytest.mark.long
def test_failures_are_told_and_grouped_by_their_cause(origin: LocalOrigin) -> None:
    found, told = visited(
        origin,
        "r = client.get('/reset/0x102', name='reset')",
        "found['reset'] = [r.status_code, r.content, type(r.error).__name__]",
        "client.get('/hang?1', name='late')",
        "client.get('/hang?2', name='late')",
        "client.get('https://127.0.0.1:1/', name='closed')",
        "client.get('/status/503', name='status')",
        "r = client.get('/binary', name='binary')",
        "found['binary'] = [r.status_code, list(r.content)]",
        "client.get('/bytes/70000', name='large')",
        "with client.get('/ok', name='wrong', catch_response=True) as r: r.failure('no good')",
        "with client.get('/status/404', name='right', catch_response=True) as r: r.success()",
        "with user.rest('GET', '/ok', name='no JSON') as r: found['js'] = r.js",
        "with user.rest('GET', '/items/9', name='JSON') as r: assert r.js['id'] == 8, 'another'",
        "with user.rest('GET', '/hang', name='nothing') as r: found['none'] = r.content",
        attributes="pool_options = {'cafile': sys.argv[2], 'max_body_size': 60_000}",
    )
    assert found == {
        "reset": [0, None, "StreamReset"],
        "binary": [500, [255, 254]],
        "js": None,
        "none": None,
    }
    said = list(zip(told.names, map(str, told.faults), strict=True))
    for (name, fault), (expected, beginning) in zip(said, FAULTS, strict=True):
        assert name == expected and fault.startswith(beginning), (name, fault)
    assert len({fault for name, fault in said if name == "late"}) == 1  # whatever the URL
    assert all(each["response_time"] >= 1_900 for each in told if each["name"] == "late")


@pytest.mark.long
def test_lines_come_whole(origin: LocalOrigin) -> None:
    found, told = visited(
        origin,
        "found['lines'] = list(client.iter_lines('/lines', name='lines'))",
        "found['late'] = error_of(next, client.iter_lines('/hang', name='late'))",
    )
    assert found["lines"] == ["one", "twö", "end"]
    assert found["late"].startswith("ReceiveTimeout: ")
    assert told.names == ["lines", "late"]


@pytest.mark.long
def test_a_user_has_no_more_requests_open_than_it_may(origin: LocalOrigin) -> None:
    begun: list[int] = []

    def slow(_: object) -> Answer:
        begun.append(origin.streams_open())
        return Answer(body=b"ok", delay=0.3)

    origin.route("/slow")(slow)
    _, told = visited(
        origin,
        "pool = Pool(6)",
        "for n in range(6): pool.spawn(client.get, '/slow', stream=n % 2 == 1)",
        "pool.join()",
        attributes="concurrency = 2",
    )
    assert len(told) == 6
    assert max(begun) <= 2


@pytest.mark.long
def test_a_streamed_response_that_has_come_leaves_room_for_others(origin: LocalOrigin) -> None:
    found, told = visited(
        origin,
        "kept = [client.request('HEAD', '/items/7', stream=True) for _ in range(2)]",
        "kept += [client.get('/status/204', stream=True), client.get('/items/7', stream=True)]",
        "kept.append(client.get('/items/7', stream=True))",
        "found['bodies'] = [each.content.decode() for each in kept]",
        attributes="concurrency = 1",
    )
    assert found["bodies"] == ["", "", "", '{"id": 7}', '{"id": 7}']
    assert told.faults == [None] * 5


@pytest.mark.long
def test_what_no_request_has_is_refused_with_advice(origin: LocalOrigin) -> None:
    found, told = visited(
        origin,
        "for wrong in ({'timeout': 3}, {'verify': 0}, {'nam': 1}, {'headers': {'a b': '1'}}):",
        "    found[next(iter(wrong))] = error_of(client.get, '/ok', **wrong)",
        "found['http'] = error_of(client.get, 'http://127.0.0.1:1/')",
    )
    assert found["timeout"].endswith("network_timeout and connection_timeout of the class are")
    assert "insecure of the class is" in found["verify"]
    assert found["nam"].endswith("did you mean name?")
    assert "header name 'a'" in found["headers"]
    assert "the scheme must be https" in found["http"]
    assert told == []
    assert origin.requests_served() == 0


@pytest.mark.one_in(4)
@pytest.mark.parametrize(
    ("attributes", "error"),
    [
        ("pool_options = {}", None),  # insecure, as Locust has it
        ("pool_options = {}; insecure = False", "CertificateInvalid"),
        ("pool_options = {}; ssl_context_factory = staticmethod(trusting)", None),
        ("pool_options = {'verify': True}", "CertificateInvalid"),
    ],
)
def test_whom_to_trust_is_said_as_in_the_fast_user(
    origin: LocalOrigin, attributes: str, error: str | None
) -> None:
    trusting = "trusting = lambda: ssl.create_default_context(cafile=sys.argv[2])"
    _, told = visited(origin, "client.get('/ok')", attributes=f"{trusting}\n    {attributes}")
    assert str(told.faults[0]).startswith(str(error))


@pytest.mark.long
def test_a_host_may_have_a_path_and_a_password(origin: LocalOrigin) -> None:
    host = origin.url.replace("https://", "https://me:p%20w@")
    found, _ = visited(origin, "found['sent'] = sent()", host=host)
    assert found["sent"]["authorization"] == "Basic bWU6cCB3"
    found, _ = visited(origin, "found['id'] = client.get('/7').json()", path="/items")
    assert found["id"] == {"id": 7}


@pytest.mark.long
def test_all_users_of_a_class_may_share_a_client(origin: LocalOrigin) -> None:
    _, told = visited(
        origin,
        "for _ in range(2): Visitor(environment).client.get('/ok')",
        attributes="import quiver; http3_client = quiver.Client(cafile=sys.argv[2])\n"
        "    users_per_connection = 1",
    )
    assert told.faults == [None, None]
    assert origin.connections_accepted() <= 4  # of the client's one pool
