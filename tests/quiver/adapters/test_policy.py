"""Policy: what gives way, what counts against HTTP/3, and the file."""

from __future__ import annotations

import gc
import io
import logging
from pathlib import Path

import pytest

import quiver
from quiver.adapters.policy import Policy
from quiver.adapters.shared.alternatives_file import AlternativesFile
from quiver.origin import Origin
from quiver.streams.body_source import BodySource

A = Origin.parse("https://a.example")
GET = quiver.Request("GET", "/")


def unprocessed(error: quiver.QuiverError) -> quiver.QuiverError:
    error.unprocessed = True
    return error


def out_of_time(cause: quiver.QuiverError) -> quiver.QuiverError:
    """A request whose whole time is used up by what it waited for."""
    error = unprocessed(quiver.RequestTimeout(cause.message))
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "gives_way", "left_alone"),
    [
        (unprocessed(quiver.ConnectTimeout("late")), True, True),
        (unprocessed(quiver.ConnectionRefused("closed")), True, True),
        (unprocessed(quiver.HandshakeFailed("no h3")), True, True),
        (unprocessed(quiver.CertificateInvalid("expired")), True, True),
        (quiver.StreamReset("use 1.1", code=0x110), True, True),
        (unprocessed(quiver.NameResolutionFailed("no address")), True, False),
        (quiver.GoAway("going"), True, False),
        (unprocessed(quiver.ResourceExhausted("no descriptor")), True, False),
        (unprocessed(quiver.InvalidRequest("above the server's limit")), True, False),
        (quiver.InvalidRequest("trailers, after the body"), False, False),
        (unprocessed(quiver.CheckoutTimeout("busy")), False, False),
        (unprocessed(quiver.QueueFull("busy")), False, False),
        (unprocessed(quiver.RequestTimeout("busy")), False, False),
        (out_of_time(quiver.ConnectTimeout("late")), False, True),
        (out_of_time(quiver.NameResolutionFailed("late")), False, False),
        (unprocessed(quiver.PoolStopped("closed here")), False, False),
        (quiver.ConnectionLost("after it was sent"), False, False),
        (quiver.ReceiveTimeout("silence"), False, False),
    ],
)
def test_what_gives_way(error: quiver.QuiverError, gives_way: bool, left_alone: bool) -> None:
    policy = Policy()
    assert policy.gives_way(A, GET, error) is gives_way
    assert (policy.route(A) is None) is left_alone
    policy.succeeded(A)
    assert policy.route(A) is not None


def test_a_body_that_was_read_goes_out_once() -> None:
    post = quiver.Request("POST", "/", body=iter([b"once"]))
    error = unprocessed(quiver.GoAway("going"))
    assert Policy().gives_way(A, post, error)
    assert isinstance(post.body, BodySource)
    with pytest.raises(quiver.InvalidRequest):
        post.body.open()
    read = quiver.Request("POST", "/", body=iter([b"once"]))
    assert isinstance(read.body, BodySource)
    read.body.open()
    policy = Policy()
    assert not policy.gives_way(A, read, error)
    assert policy.route(A) is not None


def test_a_body_that_stays_here_is_not_withdrawn() -> None:
    post = quiver.Request("POST", "/", body=iter([b"once"]))
    assert isinstance(post.body, BodySource)
    for error in (quiver.ReceiveTimeout("silence"), unprocessed(quiver.QueueFull("busy"))):
        assert not Policy().gives_way(A, post, error)
    assert list(post.body.open()) == [b"once"]


def test_a_file_that_was_read_goes_out_whole() -> None:
    file = io.BytesIO(b"skipped, sent")
    file.seek(9)
    post = quiver.Request("POST", "/", body=file)
    assert isinstance(post.body, BodySource)
    assert next(post.body.open()) == b"sent"
    assert Policy().gives_way(A, post, quiver.GoAway("going"))
    assert file.read() == b"sent"


def test_kept_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "alternatives"
    policy = Policy("alt-svc", file=file)
    assert policy.route(A) is None
    policy.heard(A, None)
    assert not file.exists()
    policy.heard(A, 'h3=":8443"; ma=3600')
    route = Policy("alt-svc", file=file).route(A)
    assert route is not None and route.place.port == 8443
    policy.heard(A, "clear")
    assert Policy("alt-svc", file=str(file)).route(A) is None
    assert [each.name for each in tmp_path.iterdir()] == ["alternatives"]


def test_a_file_that_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "alternatives"
    file.write_text("[nonsense")
    with caplog.at_level(logging.WARNING, "quiver.adapters"):
        policy = Policy("alt-svc", file=file)
        policy.heard(A, 'h3=":1"')
    assert "cannot be read" in caplog.text
    assert Policy("alt-svc", file=file).route(A) is not None


def test_a_file_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    policy = Policy("alt-svc", file=tmp_path / "missing" / "file")
    with caplog.at_level(logging.WARNING, "quiver.adapters"):
        policy.heard(A, 'h3=":1"')
    assert "not kept" in caplog.text
    assert policy.route(A) is not None


def test_another_network() -> None:
    policy = Policy("alt-svc")
    policy.heard(A, 'h3=":1"')
    policy.network_changed()
    assert policy.route(A) is None


@pytest.mark.parametrize("seconds", [0, -1.0])
def test_no_time_at_all(seconds: float) -> None:
    with pytest.raises(ValueError, match="fallback_after"):
        Policy(fallback_after=seconds)


def test_hints_are_urls() -> None:
    assert Policy("alt-svc", hints=["https://a.example/"]).route(A) is not None
    with pytest.raises(quiver.InvalidURL):
        Policy(hints=["a.example"])
    with pytest.raises(quiver.InvalidOptions, match="must be a tuple of URLs"):
        Policy(hints="https://a.example")


def test_many_news_are_few_writes_and_all_is_there_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, writes = tmp_path / "alternatives", []
    write = AlternativesFile.write

    def counted(self: AlternativesFile, text: str) -> None:
        writes.append(text)
        write(self, text)

    monkeypatch.setattr(AlternativesFile, "write", counted)
    policy = Policy("alt-svc", file=file)
    origins = [Origin.parse(f"https://o{number}.example") for number in range(200)]
    for origin in origins:
        policy.heard(origin, 'h3=":1"')
    assert len(writes) < 30
    policy.flush()
    again = Policy("alt-svc", file=file)
    assert all(again.route(origin) for origin in origins)


def test_one_that_is_dropped_has_written_what_it_knew(tmp_path: Path) -> None:
    file = tmp_path / "alternatives"
    policy = Policy("alt-svc", file=file)
    for number in range(50):
        policy.heard(Origin.parse(f"https://o{number}.example"), 'h3=":1"')
    del policy
    gc.collect()
    again = Policy("alt-svc", file=file)
    assert again.route(Origin.parse("https://o49.example"))


@pytest.mark.parametrize("wall", [-1e6, 0.0, 1e12])
def test_a_wall_clock_that_is_set_makes_no_difference(
    wall: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = Policy("alt-svc")
    policy.heard(A, 'h3=":1"; ma=60')
    monkeypatch.setattr("time.time", lambda: wall)
    assert policy.route(A) is not None
    policy.gives_way(A, GET, unprocessed(quiver.ConnectTimeout("late")))
    assert policy.route(A) is None
