"""`quiver get -w`: curl's names, and what is said for each."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from quiver.cli.main import main
from quiver.cli.write_out import VARIABLES, Transfer, pieces_of, read_format
from quiver.testing import Authority, LocalOrigin, Origin

GUIDE = Path(__file__).resolve().parents[3] / "docs/guides/command-line.md"


def written(text: str, transfer: Transfer | None = None) -> dict[str, str]:
    """What goes to either, of a transfer that got no response."""
    told = {"stdout": "", "stderr": ""}
    nothing = Transfer("https://h/", "GET", None, 1.0, ended=3.5, error="no one", exit_status=4)
    for where, piece in pieces_of(text, transfer or nothing):
        told[where] += piece
    return told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ""),
        ("plain", "plain"),
        (r"a\tb\nc\r\x\\n", "a\tb\nc\r\\x\\\n"),
        ("100%% %{method}%", "100% GET%"),
        ("%{http_code}|%{response_code}", "000|000"),
        ("%{exitcode} %{errormsg}", "4 no one"),
        ("%{time_total} %{time_connect} %{time_starttransfer}", "2.500000 0.000000 0.000000"),
        ("%{remote_ip}:%{remote_port} %{http_version}", ":0 0"),
        ("%header{server}|%{content_type}|%{header_json}", "||{}"),
        ("%{scheme} %{url}", "HTTPS https://h/"),
        ("%%{method}", "%{method}"),
    ],
)
def test_a_format(text: str, said: str) -> None:
    assert written(text) == {"stdout": said, "stderr": ""}


def test_where_it_goes() -> None:
    told = written("a%{stderr}b%{method}%{stdout}c")
    assert told == {"stdout": "ac", "stderr": "bGET"}


def test_a_format_is_text_or_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "format"
    file.write_text("%{url}")
    assert read_format(None) is None
    assert read_format("%{method}") == "%{method}"
    assert read_format(f"@{file}") == "%{url}"
    monkeypatch.setattr("sys.stdin", io.StringIO("%{scheme}"))
    assert read_format("@-") == "%{scheme}"


@pytest.mark.parametrize("text", ["%{}", "%{http_cod}", "%{size}", "@/no/such/file"])
def test_a_wrong_format_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter) as refused:
        read_format(text)
    assert refused.value.param_hint == "--write-out"


def test_the_guide_has_every_name() -> None:
    told = GUIDE.read_text(encoding="utf-8").partition("`-w` has curl's names")[2]
    assert set(VARIABLES) == set(re.findall(r"`(\w+)`", told.partition("`%header")[0]))


# live ------------------------------------------------------------------------------------------


def get(origin: Origin | LocalOrigin, path: str, *options: str) -> Result:
    arguments = ["get", origin.url + path, "--cafile", origin.cafile, *options]
    return CliRunner().invoke(main, arguments)


def test_every_name_live(origin: Origin, tmp_path: Path) -> None:
    text = json.dumps({name: f"%{{{name}}}" for name in VARIABLES if name != "header_json"})
    file = tmp_path / "body"
    done = get(origin, "/bytes/5000", "-o", str(file), "-w", text + r"\n%{header_json}")
    first, second = done.stdout.splitlines()
    told = json.loads(first)
    assert json.loads(second)["content-length"] == ["5000"]
    assert (told["http_code"], told["http_version"], told["num_connects"]) == ("200", "3", "1")
    assert told["size_download"] == "5000" and int(told["speed_download"]) > 0
    assert (told["remote_ip"], told["remote_port"]) == ("127.0.0.1", str(origin.port))
    assert told["local_ip"] == "127.0.0.1" and int(told["local_port"]) > 0
    assert told["filename_effective"] == str(file)
    assert told["content_type"] == "application/octet-stream"
    assert (told["exitcode"], told["errormsg"]) == ("0", "")
    times = [float(told[f"time_{name}"]) for name in ("connect", "starttransfer", "total")]
    assert 0 < times[0] <= times[1] <= times[2]


def test_a_body_comes_before_it(origin: Origin) -> None:
    assert get(origin, "/ok", "-w", "|%{size_download}").stdout == "ok|2"
    assert get(origin, "/ok", "-I", "-w", "|%{size_download}").stdout.endswith("\n\n|0")


def test_a_failure_has_its_line_too(origin: Origin) -> None:
    done = get(origin, "/reset/0x102", "-w", "%{http_code} %{exitcode} %{errormsg}")
    assert done.exit_code == 8
    assert done.stdout.startswith("000 8 ")
    assert done.stderr == f"quiver: {done.stdout.removeprefix('000 8 ')}\n"
    refused = get(origin, "/status/404", "--fail", "-w", "%{http_code} %{exitcode}")
    assert (refused.exit_code, refused.stdout) == (22, "404 22")


def test_a_server_cannot_steer_the_terminal(authority: Authority) -> None:
    with LocalOrigin(authority=authority) as local:
        local.route("/odd")(lambda _: (200, {"content-type": "a\x9b31mb"}, b""))
        assert get(local, "/odd", "-w", "%{content_type}").stdout == r"a\x9b31mb"
        assert get(local, "/odd", "-w", "%header{Content-Type}").stdout == r"a\x9b31mb"
