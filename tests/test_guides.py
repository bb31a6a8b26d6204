"""The guides' examples run, one after the other, and do what the text says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from quiver.config import options
from quiver.testing import Origin

GUIDES = sorted(
    guide
    for guide in (Path(__file__).resolve().parents[1] / "docs" / "guides").glob("*.md")
    if guide.stem != "testing"  # its examples are tests: tests/quiver/testing/test_plugin.py
    and guide.stem != "gevent"  # it patches the program: tests/test_docs.py
    and guide.stem != "coming-from"  # of other libraries: tests/test_coming_from.py
)
CUT_SHORT = "cut short: the server reset the stream with H3_INTERNAL_ERROR (0x102)"
SEEN: dict[str, list[str]] = {
    "actors": [
        *("200 {'id': 42}", "20", "True", "{'id': 7}", "{'id': 8}", "the pool is gone"),
        *("total 17", "anew 1"),
    ],
    "asyncio": ["190", "gave up", "transient", "3000000", "200"],
    "channels": [
        *("200", "b'a datagram'", "b'bytes on the stream'", "peer", "3"),
        "Datagram(payload=b'are you there?')",
    ],
    "command-line": [],
    "locust": [],  # its locustfile is run by tests/quiver/adapters/test_locust.py
    "observability": ["True", "order INTERNAL None", "GET CLIENT 200", "1.0", "['/delay/0.1']"],
    "downloads": ["200 3000000", "[]", CUT_SHORT, "3000000"],
    "every-origin": ["HTTP/3", "http/3"],
    "fallback": ["HTTP/3", "30"],
    "httpx": [
        "{'id': 42} HTTP/3",
        "b'one two'",
        "[(b'x-checksum', b'abc'), (b'x-count', b'2')]",
        "ok",
    ],
    "real-networks": [
        *("200", "transient True", "200 by its address", "3000000", "200 as localhost", "True"),
    ],
    "requests": ["{'id': 42} 30", "3000000", "ReceiveTimeout", "200"],
    "uploads": ["413"],
    "threads": ["4950", "RequestTimeout"],
}


def test_there_is_a_guide_for_each() -> None:
    assert [guide.stem for guide in GUIDES] == sorted(SEEN)


@pytest.mark.one_in(4)
@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_the_examples_run(
    guide: Path,
    origin: Origin,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", origin.cafile)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # these would go before it
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    namespace: dict[str, Any] = {}
    for block in blocks:
        code = block.replace("localhost:4443", f"localhost:{origin.port}")
        exec(compile(code, guide.name, "exec"), namespace)
    said = capsys.readouterr().out.splitlines()
    assert [line for line in SEEN[guide.stem] if line not in said] == []


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_options_that_are_named_exist(guide: Path) -> None:
    known = {option.name for option in options()}
    known |= {"content-length", "max_datagram_size", "max_retries", "send_timeout"}
    named = re.findall(r"`((?:receive|send|stream|max)_\w+)`", guide.read_text(encoding="utf-8"))
    assert set(named) <= known
