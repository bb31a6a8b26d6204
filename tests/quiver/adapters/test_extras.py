"""Extras: an adapter without what it stands on says what to install."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from quiver.adapters.extras import extra
from tests.support.scripts import ROOT

# The extra, and what of it is not installed, by the name of the module in quiver/adapters/.
NEEDED = {
    "requests": ("requests", "requests"),
    "httpx": ("httpx", "httpx"),
    "locust": ("locust", "locust"),
    "opentelemetry": ("otel", "opentelemetry"),
    "prometheus": ("prometheus", "prometheus_client"),
}


@pytest.mark.parametrize("module", NEEDED)
def test_what_is_missing_is_named(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, missing = NEEDED[module]
    monkeypatch.setitem(sys.modules, missing, None)
    advice = rf"^{missing} is not installed: pip install 'quiver-http3\[{name}\]'$"
    with pytest.raises(ModuleNotFoundError, match=advice) as caught:
        runpy.run_path(str(ROOT / "quiver" / "adapters" / f"{module}.py"))
    assert caught.value.name == missing


def test_no_adapter_is_left_out() -> None:
    using = {
        path.stem
        for path in Path(ROOT / "quiver" / "adapters").glob("*.py")
        if "with extra(" in path.read_text(encoding="utf-8")
    }
    assert using == set(NEEDED)


def test_other_errors_pass() -> None:
    with pytest.raises(ImportError, match="cannot import name 'nothing'"), extra("requests"):
        from sys import nothing  # type: ignore[attr-defined] # noqa: F401
