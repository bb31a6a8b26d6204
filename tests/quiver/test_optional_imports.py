"""Extras: an adapter without what it stands on says what to install."""

from __future__ import annotations

import runpy
import sys
from types import ModuleType

import pytest

from quiver.optional_imports import extra
from tests.support.programs.runner import ROOT

ADAPTERS = ROOT / "quiver" / "adapters"

# The extra, and what of it is not installed, by the file in quiver/adapters/.
NEEDED = {
    "requests/adapter.py": ("requests", "requests"),
    "httpx/library.py": ("httpx", "httpx"),
    "locust/__init__.py": ("locust", "locust"),
    "opentelemetry/instrumentation.py": ("otel", "opentelemetry"),
    "opentelemetry/suppression.py": ("otel", "opentelemetry"),
    "prometheus.py": ("prometheus", "prometheus_client"),
}


@pytest.mark.parametrize("file", NEEDED)
def test_what_is_missing_is_named(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, missing = NEEDED[file]
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setitem(sys.modules, "httpx2", None)  # which does as well as httpx
    advice = rf"^{missing} is not installed: pip install 'quiver-http3\[{name}\]'$"
    with pytest.raises(ModuleNotFoundError, match=advice) as caught:
        runpy.run_path(str(ADAPTERS / file))
    assert caught.value.name == missing


def test_a_file_of_the_same_name_is_told_as_python_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script itself is called `requests.py`: there is nothing to install."""
    monkeypatch.setitem(sys.modules, "requests", ModuleType("requests"))
    monkeypatch.delitem(sys.modules, "requests.adapters", raising=False)
    with pytest.raises(ModuleNotFoundError, match="'requests' is not a package"):
        runpy.run_path(str(ADAPTERS / "requests" / "adapter.py"))


def test_no_adapter_is_left_out() -> None:
    using = {
        str(path.relative_to(ADAPTERS))
        for path in ADAPTERS.rglob("*.py")
        if "with extra(" in path.read_text(encoding="utf-8")
    }
    assert using == set(NEEDED)


def test_other_errors_pass() -> None:
    with pytest.raises(ImportError, match="cannot import name 'nothing'"), extra("requests"):
        from sys import nothing  # type: ignore[attr-defined] # noqa: F401
