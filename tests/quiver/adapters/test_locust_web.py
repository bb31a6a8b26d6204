"""Locust's web page in a real browser: a run is started there, and its rows are HTTP/3 requests."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from quiver.testing import Origin
from tests.support.programs.locust import Locusts, free_port
from tests.support.servers.independent import _found as found
from tests.support.waiting import until

# Without the last five a browser would look for its maker's hosts all the time.
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"),
    *("--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)

READ = """
return [...document.querySelectorAll('tbody tr')].map(row =>
    [...row.cells].map(cell => cell.innerText))
"""


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = found("chromium")
    for argument in (*QUIET, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(argument)
    monkeypatch.setenv("SE_OFFLINE", "true")  # selenium shall fetch no driver of its own
    service = webdriver.ChromeService(found("chromedriver"))
    started = webdriver.Chrome(options=options, service=service)
    yield started
    started.quit()


def rows(browser: webdriver.Chrome) -> dict[str, int]:
    """How many requests the page's table tells of, by method and name."""
    table = {}
    for cells in browser.execute_script(READ):
        table[f"{cells[0]} {cells[1]}".strip()] = int(cells[2])
    return table


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5.0) as page:
            return bool(page.status == 200)
    except OSError:
        return False


@pytest.mark.long
def test_a_run_started_on_the_page(
    origin: Origin, tmp_path: Path, browser: webdriver.Chrome
) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}/"
    with Locusts(origin, tmp_path) as locusts:
        locusts.start("--web-host", "127.0.0.1", "--web-port", str(port), "-u", "3", "-r", "3")
        until(lambda: answers(url), within=20.0)
        browser.get(url)
        submit = "button[type=submit]"
        until(lambda: browser.find_elements(By.CSS_SELECTOR, submit), within=10.0)
        assert origin.requests_served() == 0
        browser.find_element(By.CSS_SELECTOR, submit).click()
        names = [f"GET /items/[id]{fast}" for fast in ("", " (fast)")]
        names += ["POST /order", "GET /ok (shared)"]
        until(lambda: all(rows(browser).get(name) for name in names), within=20.0)
        shown = rows(browser)
        assert shown["Aggregated"] <= origin.requests_served()
        assert 0 < shown["GET /ok (shared)"] <= origin.requests_served("/ok")
