"""The library of the client that asked: found by its request, whatever else is imported."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from quiver import errors
from quiver.adapters.httpx import library as libraries
from quiver.adapters.httpx.library import ERRORS, library_of, name_of
from tests.support.programs.runner import run_script


def test_by_a_request_or_what_derives_from_it(library: Any) -> None:
    class Mine(library.Request):  # type: ignore[misc]
        pass

    for kind in (library.Request, Mine):
        found = library_of(kind("GET", "https://a.example"))
        assert (found.name, found.module) == (library.__name__, library)
    assert name_of(library.HTTPTransport()) == library.__name__
    assert name_of(object()) is None


def test_each_error_has_its_name_in_both(library: Any) -> None:
    request = library.Request("GET", "https://a.example")
    for ours, theirs in ERRORS:
        assert issubclass(getattr(library, theirs), library.TransportError)
        made = library_of(request).error(ours("said"), request)
        assert isinstance(made, library.TransportError)
        assert "said" in str(made)


def test_a_refused_certificate_is_told_in_the_words_of_ssl(library: Any) -> None:
    request = library.Request("GET", "https://a.example")
    made = library_of(request).error(errors.CertificateInvalid("it is expired"), request)
    assert str(made).startswith("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: ")


@pytest.mark.parametrize(
    ("module", "is_mock"),
    [
        ("vcr.stubs.httpx_stubs", True),
        ("pytest_httpx", True),
        ("respx.mocks", True),
        ("opentelemetry.instrumentation.httpx", False),
        ("respxtra", False),
    ],
)
@pytest.mark.parametrize(
    ("transport", "method"),
    [("HTTPTransport", "handle_request"), ("AsyncHTTPTransport", "handle_async_request")],
)
def test_what_stands_in_the_place_of_tcp(
    module: str,
    is_mock: bool,
    transport: str,
    method: str,
    library: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Known by where it was written, also if it passes for the original, as VCR's does."""
    place = getattr(library, transport)
    written: dict[str, Any] = {"__name__": module}
    exec("def instead(*arguments): ...", written)
    found = library_of(library.Request("GET", "https://a.example"))
    assert not found.mocked()
    monkeypatch.setattr(place, method, functools.wraps(getattr(place, method))(written["instead"]))
    assert found.mocked() is is_mock


ONE_ALONE = """
    import sys
    sys.modules["{other}"] = None
    from quiver.adapters.httpx import HTTP3Transport, AsyncHTTP3Transport
    import {name}
    print(issubclass(HTTP3Transport, {name}.BaseTransport))
    print(issubclass(AsyncHTTP3Transport, {name}.AsyncBaseTransport))
    print("{other}" in sys.modules and sys.modules["{other}"] is not None)
"""


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", libraries.NAMES)
def test_one_of_them_is_enough(name: str) -> None:
    pytest.importorskip(name)
    (other,) = set(libraries.NAMES) - {name}
    assert run_script(ONE_ALONE.format(name=name, other=other)).split() == ["True", "True", "False"]


@pytest.mark.long
def test_both_that_are_imported_know_the_transport_for_one_of_theirs() -> None:
    pytest.importorskip("httpx2")
    said = run_script("""
        import httpx, httpx2
        from quiver.adapters.httpx import HTTP3Transport
        made = HTTP3Transport()
        print(isinstance(made, httpx.BaseTransport), isinstance(made, httpx2.BaseTransport))
    """)
    assert said.split() == ["True", "True"]


@pytest.mark.long
def test_httpx2_by_the_name_of_httpx() -> None:
    if not hasattr(pytest.importorskip("httpx2"), "alias_httpx"):
        pytest.skip("the first releases have no such thing")
    said = run_script("""
        import httpx2
        httpx2.alias_httpx()
        import httpx
        from quiver.adapters.httpx import HTTP3Transport
        from quiver.adapters.httpx.library import library_of
        made = HTTP3Transport()
        print(isinstance(made, httpx.BaseTransport), httpx is httpx2)
        print(library_of(httpx.Request("GET", "https://a.example")).module is httpx2)
    """)
    assert said.split() == ["True", "True", "True"]
