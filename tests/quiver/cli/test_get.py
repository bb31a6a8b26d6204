"""`quiver get` against a live origin: what goes where, and what it ends with."""

from __future__ import annotations

import io
import json
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

import quiver
from quiver.cli.connection_options import Connection, client_of
from quiver.cli.get import length_of, save
from quiver.cli.main import main
from quiver.testing import Authority, LocalOrigin, Origin, pattern
from tests.support.programs.quiver_command import popen, run
from tests.support.servers.blackhole import blackhole
from tests.support.waiting import until

Get = Callable[..., Result]


@pytest.fixture(scope="module")
def origin(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


@pytest.fixture
def get(origin: Origin) -> Get:
    """Runs `quiver get` on a path of the origin, which it trusts."""

    def run_get(path: str, *options: str, **more: object) -> Result:
        arguments = ["get", origin.url + path, "--cafile", origin.cafile, *options]
        return CliRunner().invoke(main, arguments, **more)  # type: ignore[arg-type]

    return run_get


def test_the_body_goes_to_stdout_as_it_came(get: Get) -> None:
    done = get("/bytes/300000")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout_bytes == pattern(300_000)


def test_headers_and_method(get: Get) -> None:
    done = get("/headers?x=1", "-H", "X-One: 1", "--header", "x-two:2:3", "-X", "OPTIONS")
    asked = dict(json.loads(done.stdout))
    assert asked[":method"] == "OPTIONS"
    assert (asked["x-one"], asked["x-two"]) == ("1", "2:3")


def test_a_body_makes_it_a_post(get: Get, tmp_path: Path) -> None:
    file = tmp_path / "body"
    file.write_bytes(pattern(200_000))
    assert get("/echo", "-d", "text").stdout == "text"
    assert get("/echo", "-d", f"@{file}").stdout_bytes == pattern(200_000)
    assert get("/echo", "--data", "@-", "-X", "PUT", input=b"from stdin").stdout == "from stdin"


def test_who_asks(get: Get) -> None:
    asked = dict(json.loads(get("/headers", "-A", "me/1", "-u", "jö:se:cret").stdout))
    assert asked["user-agent"] == "me/1"
    assert asked["authorization"] == "Basic asO2OnNlOmNyZXQ="  # RFC 7617, in UTF-8
    given = ("-A", "me/1", "-H", "User-Agent: you/2", "-u", "a:b", "-H", "authorization: Bearer c")
    asked = dict(json.loads(get("/headers", *given).stdout))
    assert (asked["user-agent"], asked["authorization"]) == ("you/2", "Bearer c")


@pytest.mark.parametrize("options", [(), ("-f",), ("-i",)])
def test_the_head_alone(get: Get, options: tuple[str, ...]) -> None:
    done = get("/bytes/1000", "-I", *options)
    assert done.exit_code == 0
    assert done.stdout.startswith("HTTP/3 200\n")
    assert "\ncontent-length: 1000\n" in done.stdout and done.stdout.endswith("\n\n")
    assert get("/status/404", "--head", "--fail").exit_code == 22
    assert get("/bytes/1000", "-X", "HEAD").stdout == ""  # only -I asks to see it


def test_the_head_in_a_file(get: Get, tmp_path: Path) -> None:
    file = tmp_path / "head"
    assert get("/bytes/1000", "-I", "-o", str(file)).exit_code == 0
    assert "content-length: 1000\n" in file.read_text()


def test_a_certificate_of_ours(origin: Origin, authority: Authority) -> None:
    certfile, keyfile = authority.issue(["me"])
    connection: Connection = {
        "cafile": origin.cafile,
        "cert": certfile,
        "key": keyfile,
        "insecure": False,
        "resolve": (),
        "speaks": None,
        "proxy": None,
        "trust_env": True,
        "timeout": None,
        "max_connections": 1,
    }
    with client_of(connection) as client:
        config = client.pool(origin.url).config
        assert (config.certfile, config.keyfile) == (certfile, keyfile)
        assert client.get(origin.url + "/ok").status == 200


def test_status_and_headers_go_to_stderr(get: Get) -> None:
    done = get("/trailers", "-i")
    assert done.stdout == "ok"
    lines = done.stderr.splitlines()
    assert lines[0] == "HTTP/3 200"
    assert "content-length: 2" in lines
    assert lines.index("") < lines.index("x-checksum: abc")


@pytest.mark.parametrize("status", [400, 404, 503])
def test_fail(get: Get, status: int) -> None:
    assert get(f"/status/{status}").exit_code == 0
    done = get(f"/status/{status}", "--fail")
    assert (done.exit_code, done.stdout) == (22, "")
    assert f"status {status}" in done.stderr
    assert get("/ok", "--fail").exit_code == 0


def test_the_story(get: Get, origin: Origin) -> None:
    done = get("/ok", "-v", "-H", "X-Tag: t")
    assert (done.exit_code, done.stdout) == (0, "ok")
    said = done.stderr
    for expected in (
        f"> GET {origin.url}/ok\n> X-Tag: t",
        f"trying 127.0.0.1:{origin.port}",
        "handshake took",
        "ALPN h3",
        "certificate of CN=localhost",
        "issued by CN=Quiver throw-away CA",
        "for localhost, 127.0.0.1",
        "128 streams",
        "ENABLE_CONNECT_PROTOCOL=1",
        "< HTTP/3 200\n< content-type",
        "1 streams",
    ):
        assert expected in said
    assert quiver.telemetry.listening is False


def test_secrets_are_not_told(get: Get) -> None:
    given = ("-H", "Authorization: Bearer s3cret", "-H", "x-tag: t")
    told = get("/status/404?token=s3cret", "-v", "--fail", *given).stderr
    assert "/status/404?***" in told and "> Authorization: ***\n> x-tag: t" in told
    assert "s3cret" not in told
    told = get("/ok", "-v", "-u", "joe:s3cret").stderr
    assert "> authorization: ***" in told and "joe" not in told
    refused = get("/ok", "-u", "s3cret")
    assert refused.exit_code == 2 and "--user" in refused.stderr
    assert "s3cret" not in refused.stderr
    assert "s3cret" not in get("/ok", "-H", "authorization s3cret").stderr


def test_a_file_has_the_body(get: Get, tmp_path: Path) -> None:
    file = tmp_path / "body"
    done = get("/bytes/1000000", "-o", str(file))
    assert (done.exit_code, done.output) == (0, "")  # no bar where there is no terminal
    assert file.read_bytes() == pattern(1_000_000)


def test_the_bar(client: quiver.Client, origin: Origin, tmp_path: Path) -> None:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=100, no_color=True)
    target = tmp_path / "body"
    with client.stream("GET", origin.url + "/bytes/2000000") as response, target.open("wb") as file:
        save(response, file, length_of(response), console)
    assert target.stat().st_size == 2_000_000
    assert "2.0/2.0 MB" in shown.getvalue()


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="no /proc/self/status there")
def test_memory_does_not_grow_with_the_file(origin: Origin, tmp_path: Path) -> None:
    watched = (
        "import atexit, pathlib, re, sys\n"  # ru_maxrss begins with that of this process
        "status = pathlib.Path('/proc/self/status')\n"
        "peak = lambda: re.search(r'VmHWM:\\s*(\\d+)', status.read_text())[1]\n"
        "atexit.register(lambda: print(peak(), file=sys.stderr))"
    )
    peaks = []
    for size in (1_000_000, 40_000_000):
        file = tmp_path / str(size)
        arguments = ("get", f"{origin.url}/bytes/{size}", "-k", "-o", str(file))
        done = run(*arguments, program=watched)
        assert done.returncode == 0
        assert file.stat().st_size == size
        peaks.append(int(done.stderr) / 1000)  # MB
    assert peaks[1] - peaks[0] < 20, peaks


def test_a_reader_that_leaves_is_no_error(origin: Origin) -> None:
    program = popen("get", f"{origin.url}/bytes/50000000", "-k")
    assert program.stdout is not None and program.stderr is not None
    with program:
        assert program.stdout.read(1000) == pattern(1000)
        program.stdout.close()
        assert program.stderr.read() == b""
        assert program.wait(20) == 141


def test_an_interrupt_ends_it(origin: Origin) -> None:
    before = origin.requests_served("/hang")
    program = popen("get", f"{origin.url}/hang", "-k")
    assert program.stderr is not None
    with program:
        until(lambda: origin.requests_served("/hang") > before, within=20)
        program.send_signal(signal.SIGINT)
        assert program.stderr.read() == b""
        assert program.wait(20) == 130


# what it ends with ------------------------------------------------------------------------------


def ends(*arguments: str) -> tuple[int, str]:
    """The exit status and what was said, with nothing on stdout."""
    done = CliRunner().invoke(main, ["get", *arguments])
    assert done.stdout == ""
    return done.exit_code, done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["localhost/x"], "not absolute"),
        (["http://localhost/", "--http3-only"], "https"),
        (["https://localhost/", "-H", "no colon"], "number 1 is not 'Name: value'"),
        (["https://localhost/", "-H", "connection: close"], "connection"),
        (["https://localhost/", "--max-connections", "0"], "max_connections"),
        (["https://localhost/", "--max-connections", "0"], "--max-connections"),
        (["https://localhost/", "--timeout", "-1"], "--timeout"),
        (["https://localhost/", "--timeout", "nan"], "--timeout"),
        (["https://localhost/", "--timeout", "inf"], "not a finite number"),
        (["https://localhost/", "--key", __file__], "--key"),
        (["https://localhost/", "--cert", __file__], "--cert"),
        (["https://localhost/", "--cert", "/no/such/file"], "--cert"),
        (["https://localhost/", "--cafile", __file__], "--cafile"),
        (["https://localhost/", "--cacert", __file__], "--cafile"),
        (["https://localhost/", "-d", "@/no/such/file"], "/no/such/file"),
        (["https://localhost/", "-k", "--cafile", __file__], "cafile"),
        (["https://localhost/", "--max-time", "-1"], "--timeout"),
        (["https://localhost/", "-L"], "No such option '-L': redirects are not followed; -i shows"),
        (["https://localhost/", "-sS"], "No such option '-s': nothing but errors is told"),
        (["https://localhost/", "--compressed"], "'--compressed': -H 'accept-encoding: gzip' asks"),
        (
            ["https://localhost/", "--connect-timeout", "1"],
            "': --timeout limits the whole request.\n",
        ),
        (["https://localhost/", "--conect-timeout", "1"], "Did you mean"),
        ([], "URL"),
    ],
)
def test_usage(arguments: list[str], said: str) -> None:
    status, error = ends(*arguments)
    assert status == 2
    assert said in error
    assert "Traceback" not in error


def test_no_such_name() -> None:
    assert ends("https://nowhere.invalid/")[0] == 3


def test_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    assert ends(f"https://127.0.0.1:{port}/")[0] == 4


def test_timeouts(origin: Origin) -> None:
    assert ends(origin.url + "/hang", "-k", "--timeout", "0.3")[0] == 5
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{deaf.getsockname()[1]}/"
        assert ends(url, "--timeout", "0.3")[0] == 5


def test_certificates(origin: Origin) -> None:
    status, said = ends(origin.url + "/ok")
    assert status == 6
    assert "issuer is unknown" in said
    assert said.strip().endswith("give its root to --cafile, if it is to be trusted")


def test_protocols(origin: Origin, authority: Authority) -> None:
    assert ends(origin.url + "/malformed", "-k")[0] == 7
    with Origin(authority=authority, alpn=("other",)) as other:
        assert ends(other.url + "/ok", "-k")[0] == 7


def test_what_is_lost(origin: Origin) -> None:
    assert ends(origin.url + "/reset/0x102", "-k")[0] == 8
    assert ends(origin.url + "/close/0x101", "-k")[0] == 8


def test_a_file_that_cannot_be_written(origin: Origin, tmp_path: Path) -> None:
    status, said = ends(origin.url + "/ok", "-k", "-o", str(tmp_path / "no" / "file"))
    assert status == 23
    assert "No such file" in said


def test_a_body_that_breaks_off(authority: Authority, tmp_path: Path) -> None:
    file = tmp_path / "half"
    with LocalOrigin(authority=authority) as local:
        arguments = (f"{local.url}/reset-after/5000/0x102", "-k", "-o", str(file))
        assert ends(*arguments)[0] == 8
    assert file.read_bytes() == pattern(5000)


def test_nobody_answers_there() -> None:
    with blackhole() as port:
        url = f"https://127.0.0.1:{port}"
        done = CliRunner().invoke(main, ["get", url, "--timeout", "0.3"])
    limit = "the request's timeout=0.3 seconds"
    said = f"{url}: no connection within {limit}: 127.0.0.1:{port} answered nothing"
    assert (done.exit_code, done.stderr, done.stdout) == (5, f"quiver: {said}\n", "")


def test_addresses_of_hosts_as_curl_has_them(authority: Authority) -> None:
    certfile, keyfile = authority.issue(["a.example"])
    with LocalOrigin(authority=authority, certfile=certfile, keyfile=keyfile) as origin:
        url = f"https://a.example:{origin.port}/headers"
        resolve = f"--resolve=A.example:{origin.port}:127.0.0.1"
        other = "--resolve=*:1:127.0.0.9"
        replaced = f"--resolve=a.example:{origin.port}:127.0.0.9"
        done = CliRunner().invoke(
            main, ["get", url, "--cafile", authority.cafile, replaced, other, resolve, "-v"]
        )
    assert done.exit_code == 0, done.stderr
    assert f"127.0.0.1:{origin.port}" in done.stderr


@pytest.mark.parametrize("entry", ["a.example:443", "-a.example:443", "a.example:443:b.example"])
def test_what_is_no_address_of_a_host(get: Get, entry: str) -> None:
    done = get("/ok", "--resolve", entry)
    assert done.exit_code == 2
    assert f"--resolve: '{entry}'" in done.stderr
