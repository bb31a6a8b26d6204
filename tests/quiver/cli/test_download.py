"""Files that `quiver get` writes by -o, -O and -C -: which, and what becomes of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from quiver.cli.download import Place, Target, place_of, remote_name
from quiver.cli.failures import CannotResume
from quiver.cli.main import main
from quiver.testing import Asked, Authority, LocalOrigin, pattern

WHOLE = pattern(50_000)
TAG = '"one"'


# which -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h/a/file.iso", "file.iso"),
        ("https://h/file.iso?of=/other#part", "file.iso"),
        ("https://h/..%2f..%2fetc", "..%2f..%2fetc"),  # undecoded, so it is a name
        ("https://h/%2e%2e", "%2e%2e"),
        ("https://h/.hidden", ".hidden"),
    ],
)
def test_the_url_names_a_file(url: str, name: str) -> None:
    assert remote_name(url) == name


@pytest.mark.parametrize(
    "url",
    ["https://h", "https://h/", "https://h/a/", "https://h/..", "https://h/.", r"https://h/..\x"],
)
def test_a_name_is_one_in_this_folder(url: str) -> None:
    with pytest.raises(click.BadParameter):
        remote_name(url)


# what becomes of it ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("have", "status", "said", "place"),
    [
        (0, 200, None, Place.WRITTEN),
        (0, 404, None, Place.WRITTEN),
        (7, 200, None, Place.WRITTEN),
        (7, 206, "bytes 7-99/100", Place.CONTINUED),
        (7, 206, "bytes 7-99/*", Place.CONTINUED),
        (7, 416, "bytes */7", Place.COMPLETE),
    ],
)
def test_a_response_has_its_place(have: int, status: int, said: str | None, place: Place) -> None:
    assert place_of(Target("file", have=have), status, said) is place


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (206, "bytes 0-99/100"),
        (206, "bytes 70-99/100"),
        (206, "bytes */100"),
        (206, "pages 7-99/100"),
        (206, None),
        (416, "bytes */6"),
        (416, "bytes */*"),
        (416, "bytes 7-9/7"),
        (416, None),
        (204, None),
        (404, None),
        (503, "bytes */7"),
    ],
)
def test_all_else_leaves_the_file(status: int, said: str | None) -> None:
    with pytest.raises(CannotResume, match=f"7 bytes: status {status}"):
        place_of(Target("file", have=7), status, said)


def test_the_rest_is_of_the_same_version() -> None:
    known, unknown, said = Target("f", have=7, etag=TAG), Target("f", have=7), "bytes 7-9/10"
    for target, etag in ((known, TAG), (known, None), (unknown, TAG), (unknown, None)):
        assert place_of(target, 206, said, etag) is Place.CONTINUED
    with pytest.raises(CannotResume):
        place_of(known, 206, said, '"two"')


def test_what_is_asked_for() -> None:
    assert Target("file").fields([("a", "b")]) == [("a", "b")]
    asked = Target("file", have=7, etag=TAG)
    assert asked.fields([]) == [("range", "bytes=7-"), ("if-range", TAG)]
    given = [("If-Range", '"mine"')]
    assert asked.fields(given) == [*given, ("range", "bytes=7-")]
    with pytest.raises(click.BadParameter):
        asked.fields([("Range", "bytes=1-2")])


# live ------------------------------------------------------------------------------------------


@pytest.fixture
def local(authority: Authority) -> Iterator[LocalOrigin]:
    """An origin that knows ranges of /file and /changed, and none of /whole."""
    with LocalOrigin(authority=authority) as started:
        started.route("/file")(lambda asked: ranged(asked, TAG))
        started.route("/changed")(lambda asked: ranged(asked, '"two"'))
        started.route("/weak")(lambda asked: ranged(asked, 'W/"one"'))
        started.route("/whole")(lambda asked: WHOLE)
        yield started


def ranged(asked: Asked, tag: str) -> tuple[int, dict[str, str], bytes]:
    """RFC 9110 14: a range as `quiver get -C -` asks for it."""
    wanted, condition = asked.header("range"), asked.header("if-range")
    if wanted is None or condition not in (None, tag):
        return 200, {"etag": tag}, WHOLE
    start = int(wanted.removeprefix("bytes=").removesuffix("-"))
    if start >= len(WHOLE):
        return 416, {"content-range": f"bytes */{len(WHOLE)}"}, b"too far"
    end = len(WHOLE) - 1
    return 206, {"content-range": f"bytes {start}-{end}/{len(WHOLE)}", "etag": tag}, WHOLE[start:]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def get(local: LocalOrigin, path: str, *options: str) -> Result:
    arguments = ["get", local.url + path, "--cafile", local.cafile, *options]
    done = CliRunner().invoke(main, arguments)
    assert done.stdout == ""
    return done


def test_a_file_named_by_the_url(local: LocalOrigin, folder: Path) -> None:
    assert get(local, "/file?x=/y", "-O").exit_code == 0
    assert [each.name for each in folder.iterdir()] == ["file"]
    assert (folder / "file").read_bytes() == WHOLE


def test_none_is_overwritten_unasked(local: LocalOrigin, folder: Path) -> None:
    (folder / "file").write_bytes(b"mine")
    done = get(local, "/file", "-O")
    assert (done.exit_code, local.requests_served()) == (23, 0)
    assert "file exists: --clobber overwrites it" in done.stderr
    assert (folder / "file").read_bytes() == b"mine"
    assert get(local, "/file", "-O", "--clobber").exit_code == 0
    assert (folder / "file").read_bytes() == WHOLE


def test_nor_is_one_that_comes_meanwhile(local: LocalOrigin, folder: Path) -> None:
    outside = folder / "elsewhere"

    @local.route("/raced")
    def raced(_: Asked) -> bytes:
        (folder / "raced").symlink_to(outside)
        return b"theirs"

    assert get(local, "/raced", "-O").exit_code == 23
    assert not outside.exists()


@pytest.mark.one_in(3)
@pytest.mark.parametrize("path", ["/file", "/whole", "/weak", "/changed"])
@pytest.mark.parametrize("options", [("-O",), ("-o", "other")])
@pytest.mark.parametrize("have", [None, 0, 1, 20_000, 49_999, 50_000])
def test_the_rest_of_a_file(
    local: LocalOrigin, folder: Path, path: str, options: tuple[str, ...], have: int | None
) -> None:
    file = folder / (path[1:] if options == ("-O",) else "other")
    if have is not None:
        file.write_bytes(WHOLE[:have])
    done = get(local, path, *options, "-C", "-", "--fail")
    assert (done.exit_code, done.stderr) == (0, "")
    assert file.read_bytes() == WHOLE


def keeps_attributes(folder: Path) -> bool:
    try:
        os.setxattr(folder, "user.quiver.probe", b"")
    except (OSError, AttributeError):
        return False
    return True


def test_another_version_is_not_continued_with(local: LocalOrigin, folder: Path) -> None:
    if not keeps_attributes(folder):
        pytest.skip("the file system has no extended attributes")
    assert get(local, "/file", "-o", "body").exit_code == 0
    file = folder / "body"
    os.truncate(file, 10)
    with file.open("r+b") as begun:
        begun.write(b"x")  # as another version has it
    assert get(local, "/changed", "-o", "body", "-C", "-").exit_code == 0
    assert file.read_bytes() == WHOLE


@pytest.mark.parametrize(("path", "options"), [("/file", ()), ("/status/404", ())])
def test_a_file_that_is_too_long_stays(
    local: LocalOrigin, folder: Path, path: str, options: tuple[str, ...]
) -> None:
    file = folder / "body"
    file.write_bytes(WHOLE + b"more")
    done = get(local, path, "-o", "body", "-C", "-", *options)
    assert done.exit_code == 33
    assert "body is left as it is, 50004 bytes: status 4" in done.stderr
    assert file.read_bytes() == WHOLE + b"more"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["-C", "-"], "--continue-at"),
        (["-C", "-", "-o", "-"], "--continue-at"),
        (["-C", "100", "-o", "f"], "--continue-at"),
        (["-O", "-o", "f"], "--remote-name"),
        (["-I", "-O"], "--head"),
        (["-I", "-d", "x"], "--head"),
        (["-I", "-X", "GET"], "--head"),
    ],
)
def test_what_does_not_go_together(local: LocalOrigin, options: list[str], named: str) -> None:
    done = get(local, "/file", *options)
    assert done.exit_code == 2
    assert named in done.stderr
    assert local.requests_served() == 0
