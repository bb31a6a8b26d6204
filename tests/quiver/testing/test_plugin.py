"""The fixture as another project's pytest finds it, by the entry point."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).resolve().parents[3] / "docs/guides/testing.md"

ROUTES = """
import quiver

def test_hello(http3_origin):
    @http3_origin.route("/hello")
    def hello(asked):
        return 200, {"x-by": "me"}, b"hello"

    with quiver.Client(pools={"default": {"cafile": http3_origin.cafile}}) as client:
        response = client.get(http3_origin.url + "/hello")
    assert (response.body, response.header("x-by")) == (b"hello", "me")
    assert http3_origin.requests_served("/hello") == 1

def test_each_test_has_its_own(http3_origin, http3_authority):
    assert http3_origin.cafile == http3_authority.cafile
    assert http3_origin.requests_served() == 0
"""

MARKS = """
import pytest

pytestmark = pytest.mark.http3_origin(max_streams=3, loss=0.1)

@pytest.mark.http3_origin(loss=0.2)
def test_options(http3_origin):
    assert (http3_origin.options.max_streams, http3_origin.options.loss) == (3, 0.2)
"""

FAULT = """
import quiver

def test_a_route_that_fails(http3_origin):
    @http3_origin.route("/hello")
    def hello(asked):
        assert asked.header("x-wanted") == "yes"

    with quiver.Client(pools={"default": {"cafile": http3_origin.cafile}}) as client:
        client.get(http3_origin.url + "/hello")
"""


OPTIONS = ("-W", "error", "--strict-markers", "-p", "no:cacheprovider")


def run(pytester: pytest.Pytester, test: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(test)
    return pytester.runpytest_subprocess(*OPTIONS, *arguments)


@pytest.mark.long
def test_routes_by_decorator(pytester: pytest.Pytester) -> None:
    run(pytester, ROUTES).assert_outcomes(passed=2)


@pytest.mark.long
def test_options_by_mark(pytester: pytest.Pytester) -> None:
    run(pytester, MARKS).assert_outcomes(passed=1)
    assert "http3_origin" in pytester.runpytest_subprocess("--markers").stdout.str()


def test_an_error_in_a_route_fails_the_test(pytester: pytest.Pytester) -> None:
    result = run(pytester, FAULT)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*AssertionError*", "*in the route of GET /hello*"])


@pytest.mark.long
def test_it_can_be_left_out(pytester: pytest.Pytester) -> None:
    result = run(pytester, ROUTES, "-p", "no:quiver")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*fixture 'http3_origin' not found*"])


@pytest.mark.long
def test_the_guide_runs_as_it_stands(pytester: pytest.Pytester) -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 4
    pytester.makepyfile(**{f"test_{number}": block for number, block in enumerate(blocks)})
    tests = sum(block.count("def test_") for block in blocks)
    pytester.runpytest_subprocess(*OPTIONS).assert_outcomes(passed=tests)
