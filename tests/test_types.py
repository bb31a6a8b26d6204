"""The types at the face: what mypy says of right and of wrong uses, and how little is Any."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_type_hints

import attrs
import pytest

import quiver
from quiver.request_options import ChannelOptions, RequestOptions
from quiver.testing.options import OriginKeywords, OriginOptions

ROOT: Final = Path(__file__).parent.parent
MOST_ANY: Final = 0.03

USES: Final = """
from typing import Unpack

import quiver
from quiver.models import GetConnections

client = quiver.Client()
pool = quiver.HTTP3Pool.start("https://localhost", max_connections=2, cafile=None)
url = "https://localhost/"

# every verb: what it gives, and which options it takes
client.get(url)  # R: quiver.models.Response
client.head(url, timeout=2)  # R: quiver.models.Response
client.post(url, body=b"x", trailers=[("a", "b")])  # R: quiver.models.Response
client.put(url, body=iter([b"x"]), send_timeout=1.5)  # R: quiver.models.Response
client.patch(url, body=lambda: [b"x"])  # R: quiver.models.Response
client.delete(url, headers={"a": "b"})  # R: quiver.models.Response
client.options(url, on_informational=print)  # R: quiver.models.Response
client.request("GET", url, checkout_timeout=None)  # R: quiver.models.Response
client.stream("GET", url, receive_timeout=1)  # R: quiver.streams.response.StreamedResponse
client.open_channel(url, protocol="x")  # R: quiver.streams.channel.Channel
client.get(url, timeot=2)  # E: call-arg
client.head(url, timeout="2")  # E: arg-type
client.post(url, body="text")  # E: arg-type
client.put(url, boddy=b"x")  # E: call-arg
client.patch(url, data={})  # E: call-arg
client.delete(url, headers=5)  # E: arg-type
client.options(url, trailers=5)  # E: arg-type
client.request("GET", url, max_connections=5)  # E: call-arg
client.stream("GET", url, bdy=b"x")  # E: call-arg
client.open_channel(url, body=b"x")  # E: call-arg

# the functions of the module
quiver.get(url, timeout=2)  # R: quiver.models.Response
quiver.stream("GET", url)  # R: quiver.streams.response.StreamedResponse
quiver.open_channel(url)  # R: quiver.streams.channel.Channel
quiver.get(url, timeot=2)  # E: call-arg
quiver.head(url, timeot=2)  # E: call-arg
quiver.post(url, timeot=2)  # E: call-arg
quiver.put(url, timeot=2)  # E: call-arg
quiver.patch(url, timeot=2)  # E: call-arg
quiver.delete(url, timeot=2)  # E: call-arg
quiver.options(url, timeot=2)  # E: call-arg
quiver.request("GET", url, timeot=2)  # E: call-arg
quiver.stream("GET", url, timeot=2)  # E: call-arg
quiver.open_channel(url, timeot=2)  # E: call-arg

# early data: None is the pool's, of which a pool has none
quiver.get(url, early_data=None)
quiver.Request("GET", "/", early_data=None)
quiver.Client(early_data=None)  # E: arg-type
quiver.HTTP3Pool.start("https://localhost", early_data=None)  # E: arg-type
client.open_channel(url, early_data=True)  # E: call-arg

# a function around these
def fetch(path: str, **options: Unpack[quiver.RequestOptions]) -> quiver.Response:
    return quiver.get("https://localhost" + path, **options)

def started(**options: Unpack[quiver.PoolOptions]) -> quiver.PoolRef:
    return quiver.HTTP3Pool.start("https://localhost", **options)

fetch("/", timeot=2)  # E: call-arg
started(max_conections=2)  # E: call-arg

# a loop over a channel
Going = quiver.Cont[int] | quiver.Halt[str]

def counted(event: quiver.ChannelEvent, channel: quiver.Channel, acc: int) -> Going:
    return quiver.cont(acc + 1) if acc < 5 else quiver.halt("enough")

client.open_datagram_channel(url, counted, 0, protocol="x", require_datagrams=True)
client.open_datagram_channel(url, lambda event, channel, acc: quiver.cont([*acc, event]), [])
client.open_datagram_channel(url, lambda event, channel, acc: 5, 0)  # E: arg-type return-value
client.open_datagram_channel(url, counted, 0, prtocol="x")  # E: call-arg
quiver.open_datagram_channel(url, counted, 0, body=b"x")  # E: call-arg

# a pool: by what it is asked, and by whether it is waited for
get = quiver.Request("GET", "/")
streamed = quiver.StreamRequest("GET", "/")
opened = quiver.OpenChannel("CONNECT", "/", protocol="x")
quiver.Request("GET", "/", body=5)  # E: arg-type
quiver.Request("GET", "/", headers={"a": 5})  # E: arg-type
quiver.StreamRequest("GET", "/", timeot=5)  # E: call-arg
quiver.OpenChannel("GET", "/", protocol=5)  # E: arg-type
pool.ask(get)  # R: quiver.models.Response
pool.ask(get, timeout=2.0)  # R: quiver.models.Response
pool.ask(get, block=True)  # R: quiver.models.Response
pool.ask(streamed)  # R: quiver.streams.response.StreamedResponse
pool.ask(opened)  # R: quiver.streams.channel.Channel
pool.ask(quiver.GetStats())  # R: quiver.models.Stats
pool.ask(GetConnections())  # R: list[quiver.models.ConnectionStats]
pool.ask(get, block=False)  # R: quiver.actors.handle.Handle[quiver.models.Response]
pool.ask(get, block=False).get()  # R: quiver.models.Response
pool.ask(streamed, block=False).get()  # R: quiver.streams.response.StreamedResponse
pool.ask(opened, block=False).get()  # R: quiver.streams.channel.Channel
pool.ask(quiver.GetStats(), block=False).get()  # R: quiver.models.Stats
pool.ask(GetConnections(), block=False).get()  # R: list[quiver.models.ConnectionStats]
client.pool(url).ask(get)  # R: quiver.models.Response
pool.ask("hello")  # E: call-overload
pool.ask(get, blok=False)  # E: call-overload
pool.ask(get).staus  # E: attr-defined
quiver.HTTP3Pool.start("https://localhost", max_conections=2)  # E: call-arg
quiver.HTTP3Pool.start("https://localhost", verify="no")  # E: arg-type

async def awaited() -> None:
    await pool.ask(get, block=False)  # R: quiver.models.Response
    await pool.ask(streamed, block=False)  # R: quiver.streams.response.StreamedResponse
"""


# what mypy says -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[int, set[str]]:
    """By line of USES: codes of errors, and types that were to be revealed."""
    pytest.importorskip("mypy", reason="it comes with the extra `dev`")
    file = tmp_path_factory.mktemp("types") / "uses.py"
    file.write_text("\n".join(map(revealed, USES.splitlines())), "utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "setup.cfg"), str(file)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    found: dict[int, set[str]] = {}
    for line, text in re.findall(r"uses\.py:(\d+): (.*)", done.stdout):
        code = re.search(r"error: .*\[([a-z-]+)\]$", text)
        type_ = re.search(r'Revealed type is "(.*)"', text)
        if code or type_:
            found.setdefault(int(line), set()).add((code or type_)[1])  # type: ignore[index]
    return found


def revealed(line: str) -> str:
    """The line as mypy is given it."""
    use, marker, _ = line.partition("  # R: ")
    indent = use[: len(use) - len(use.lstrip())]
    return f"{indent}reveal_type({use.strip()})" if marker else line


def expected() -> Iterator[tuple[int, str, set[str]]]:
    for number, line in enumerate(USES.splitlines(), 1):
        use, kind, marks = re.fullmatch(r"(.*?)(?:  # ([RE]): (.*))?", line).groups()  # type: ignore[union-attr]
        yield number, use.strip(), {marks} if kind == "R" else set((marks or "").split())


@pytest.mark.parametrize(
    ("number", "marks"),
    [pytest.param(number, marks, id=use) for number, use, marks in expected() if marks],
)
def test_a_use(number: int, marks: set[str], said: dict[int, set[str]]) -> None:
    assert said.get(number, set()) == marks


def test_nothing_else_is_wrong(said: dict[int, set[str]]) -> None:
    assert said.keys() <= {number for number, _, marks in expected() if marks}


# what is there while the program runs -------------------------------------------------------

VERBS: Final = ("get", "head", "post", "put", "patch", "delete", "options", "request", "stream")


@pytest.mark.parametrize("name", [*VERBS, "open_channel", "open_datagram_channel"])
@pytest.mark.parametrize("face", [quiver, quiver.Client], ids=["module", "client"])
def test_every_verb_names_its_options(face: object, name: str) -> None:
    parameters = inspect.signature(getattr(face, name)).parameters.values()
    (options,) = [each for each in parameters if each.kind is each.VAR_KEYWORD]
    assert str(options.annotation).startswith("Unpack[")


@pytest.mark.parametrize(
    ("options", "kind"),
    [(RequestOptions, quiver.Request), (ChannelOptions, quiver.OpenChannel)],
)
def test_options_are_attributes_of_the_request(
    options: type, kind: type[attrs.AttrsInstance]
) -> None:
    names = {*options.__required_keys__, *options.__optional_keys__}  # type: ignore[attr-defined]
    given = {each.name for each in attrs.fields(kind) if each.init}
    given -= {"method", "target", "origin"}
    if kind is quiver.OpenChannel:
        given = {*given, "method"} - {"body", "json", "trailers", "send_timeout"}
        given -= {"early_data"}  # which it never goes as
    assert names == given


def test_options_of_an_origin_are_those_of_its_server() -> None:
    assert get_type_hints(OriginKeywords) == {
        each.name: each.type for each in attrs.fields(attrs.resolve_types(OriginOptions))
    }


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(quiver.__file__).parent / "py.typed").is_file()


# how little is Any --------------------------------------------------------------------------


def annotated() -> Iterator[tuple[str, ast.expr]]:
    """Where each parameter with an annotation stands, in actors/ and quiver/."""
    for folder in ("actors", "quiver"):
        for file in sorted((ROOT / folder).rglob("*.py")):
            path = file.relative_to(ROOT).as_posix()
            if path.startswith("quiver/actors/"):  # the link to actors/
                continue
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    given = node.args
                    named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
                    for each in [*named, *filter(None, (given.vararg, given.kwarg))]:
                        if each.annotation is not None:
                            yield f"{path}:{each.lineno} {node.name}({each.arg})", each.annotation


def says_any(annotation: ast.expr) -> bool:
    return any(
        (isinstance(part, ast.Name) and part.id == "Any")
        or (isinstance(part, ast.Attribute) and part.attr == "Any")
        or (isinstance(part, ast.Constant) and "Any" in re.findall(r"\w+", str(part.value)))
        for part in ast.walk(annotation)
    )


def test_hardly_a_parameter_is_any() -> None:
    found = list(annotated())
    loose = [where for where, annotation in found if says_any(annotation)]
    assert len(found) > 1_500, "the walk has missed the library"
    assert len(loose) < MOST_ANY * len(found), "\n".join(loose)


@pytest.mark.parametrize(
    ("annotation", "loose"),
    [
        ("Any", True),
        ("typing.Any", True),
        ("dict[str, Any] | None", True),
        ("'list[Any]'", True),
        ("object", False),
        ("Anything", False),
    ],
)
def test_what_counts(annotation: str, loose: bool) -> None:
    assert says_any(ast.parse(annotation, mode="eval").body) is loose
