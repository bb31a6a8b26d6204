"""Real Locust runs against a live origin: a master with workers, forked ones, and one alone.

Locust patches whatever program imports it, so it is never imported here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from quiver.testing import Authority, Origin
from tests.support.programs.locust import Locusts, ended, free_port
from tests.support.programs.runner import ROOT, run_script
from tests.support.waiting import until

# Of examples/locustfile.py: what Locust calls a request, and where it goes.
PATHS = {
    "/items/[id]": "/items/42",
    "/order": "/echo",
    "/ok (shared)": "/ok",
    "/items/[id] (fast)": "/items/42",
}

SINGLE = """
import os
from locust import task, constant
from quiver.adapters.locust import HTTP3User

class Visitor(HTTP3User):
    wait_time = constant(60)
    pool_options = {"cafile": os.environ["CAFILE"]}

    @task
    def visit(self):
        get = self.client.get
        first = get("/items/7?page=1")
        print("plain:", first.status_code, first.json(), first.raw.version, flush=True)
        with get("/status/404", name="missing", catch_response=True) as response:
            response.success()
        with get("/ok", name="wrong", catch_response=True) as response:
            response.failure("no good")
        get("/status/503", name="refused")
        lost = get("/reset/0x102", name="reset")
        print("reset:", lost.status_code, type(lost.error).__name__, flush=True)
        late = get("/hang", name="late", timeout=0.2)
        print("late:", type(late.error).__name__, flush=True)
        closed = get("https://127.0.0.1:1/", name="closed", timeout=(2, None))
        print("closed:", type(closed.error).__name__, flush=True)
        strange = get("/ok", name="strange", verify=os.environ["STRANGER"])
        print("strange:", type(strange.error).__name__, flush=True)
        with get("/bytes/70000", name="streamed", stream=True, catch_response=True) as response:
            size = sum(map(len, response.iter_content(1_000)))
            print("streamed:", size, response.raw.version, flush=True)
        get("/duplicates", name="cookies")
        sent = dict(get("/headers", name="headers", headers={"x-mine": "1"}).json())
        print("sent:", sent.get("x-mine"), sent.get("connection"), sent.get("cookie"), flush=True)
        posted = self.client.post("/echo", data={"a": "b c"}, name="form")
        print("form:", posted.text, flush=True)
        with self.client.rename_request("renamed"):
            get("/items/8")
        with self.rest("GET", "/items/9", name="rest") as response:
            print("rest:", response.js, flush=True)
"""

# Locust as a library: three users are started, and stopped while the program goes on.
STOPPED = """
    import sys
    import gevent
    from locust import constant, task
    from locust.env import Environment
    from quiver.adapters.shared.pool_counts import pool_counts
    from quiver.adapters import locust as ours

    class Visitor(getattr(ours, sys.argv[3])):
        host = sys.argv[1]
        pool_options = {"cafile": sys.argv[2]}
        users_per_connection = int(sys.argv[4])
        wait_time = constant(0.01)

        @task
        def visit(self):
            self.client.get("/ok")

    environment = Environment(user_classes=[Visitor])
    runner = environment.create_local_runner()
    runner.start(3, spawn_rate=3)

    def opened():
        return sum(each.opened for pool in pool_counts() for each in pool.connections)

    with gevent.Timeout(20):
        while opened() < 20:
            gevent.sleep(0.01)
        print(len(list(pool_counts())))
        runner.stop()
        while list(pool_counts()):
            gevent.sleep(0.01)
    print(len(list(pool_counts())), environment.stats.total.num_failures == 0)
"""

REFUSED = """
from locust import task
from quiver.adapters.locust import {kind}

class Visitor({kind}):
    {body}
    @task
    def visit(self):
        print("asked", flush=True)
        self.client.get("/ok")
"""

# The guide shows the shared adapter in a class without a task.
ASKING = """
    wait_time = between(0.01, 0.05)

    @task
    def ask(self):
        self.client.get("/ok")
"""


@pytest.fixture
def locusts(origin: Origin, tmp_path: Path) -> Iterator[Locusts]:
    with Locusts(origin, tmp_path) as made:
        yield made


@pytest.fixture
def stranger() -> Iterator[Authority]:
    with Authority("somebody else") as made:
        yield made


def check_rows(locusts: Locusts, origin: Origin) -> None:
    """None has failed, and all that were counted were requests that the origin saw."""
    rows = locusts.rows()
    assert set(rows) == {*PATHS, "Aggregated"}
    for name, path in PATHS.items():
        row = rows[name]
        assert 0 < int(row["Request Count"]) <= origin.requests_served(path), row
        assert row["Failure Count"] == "0"
        assert float(row["Average Response Time"]) > 0
    assert float(rows["/items/[id]"]["Average Content Size"]) == len(b'{"id": 42}')
    assert float(rows["/ok (shared)"]["Average Content Size"]) == len(b"ok")
    total = sum(int(rows[name]["Request Count"]) for name in PATHS)
    assert int(rows["Aggregated"]["Request Count"]) == total


@pytest.mark.long
def test_a_master_with_two_workers(locusts: Locusts, origin: Origin) -> None:
    port = str(free_port())
    there = ["--worker", "--master-host", "127.0.0.1", "--master-port", port]
    workers = [locusts.start(*there) for _ in range(2)]
    here = ["--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port]
    load = ["--expect-workers", "2", "-u", "9", "-r", "9"]
    said = locusts.run(*here, *load, names=PATHS)
    assert said.count("reported as ready") == 2, said
    for worker in workers:
        ended(worker)
    check_rows(locusts, origin)
    # 3 Shoppers with one connection each; 3 Services share two, or two on each of the workers; and
    # the Crowd shares one, or one on each.
    assert 3 + 2 + 1 <= origin.connections_accepted() <= 3 + 2 * 2 + 2


@pytest.mark.long
def test_forked_workers(locusts: Locusts, origin: Origin) -> None:
    port = str(free_port())
    bind = ["--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--master-port", port]
    locusts.run(*bind, "--processes", "2", "-u", "6", "-r", "6", names=PATHS)
    check_rows(locusts, origin)


@pytest.mark.long
def test_what_a_user_may_do(
    origin: Origin, tmp_path: Path, stranger: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRANGER", stranger.cafile)
    failures = {
        **dict.fromkeys(("/items/7?page=1", "missing", "cookies", "headers"), 0),
        **dict.fromkeys(("form", "renamed", "rest"), 0),
        **dict.fromkeys(("wrong", "refused", "reset", "late", "closed", "strange"), 1),
        "streamed": 0,
        "Aggregated": 6,
    }
    file = tmp_path / "single.py"
    file.write_text(SINGLE, encoding="utf-8")
    with Locusts(origin, tmp_path, file) as locusts:
        said = locusts.run("-u", "1", names=failures)
        rows = locusts.rows()
    for line in (
        "plain: 200 {'id': 7} 30",
        "reset: 0 ConnectionError",
        "late: ReadTimeout",
        "closed: ConnectionError",
        "strange: SSLError",
        "streamed: 70000 30",
        "sent: 1 None a; b; c",
        "form: a=b+c",
        "rest: {'id': 9}",
    ):
        assert line in said
    assert {name: int(row["Failure Count"]) for name, row in rows.items()} == failures
    assert float(rows["late"]["Average Response Time"]) >= 200
    assert origin.connections_accepted() == 1 + 1  # and one that the stranger's roots refused


@pytest.mark.one_in(6)
@pytest.mark.parametrize("kind", ["HTTP3User", "HTTP3FastUser"])
@pytest.mark.parametrize(("to_each", "pools"), [(1, 3), (2, 2), (50, 1)])
def test_users_that_stop_close_their_connections(
    origin: Origin, kind: str, to_each: int, pools: int
) -> None:
    said = run_script(STOPPED, origin.url, origin.cafile, kind, str(to_each), timeout=60.0)
    assert said.split() == [str(pools), "0", "True"]
    assert origin.connections_accepted() == pools
    until(lambda: origin.connections_open() == 0)
    # The origin's QUIC tells the end of a connection when it has drained, a little later.
    until(lambda: sum(origin.closes().values()) == origin.connections_accepted())
    assert set(origin.closes()) == {0x100}  # H3_NO_ERROR: in order, not by silence


@pytest.mark.one_in(8)
@pytest.mark.parametrize(
    ("kind", "class_body", "host", "says"),
    [
        (
            "HTTP3User",
            "",
            "http://127.0.0.1:1",
            "give an https:// host, or derive from locust.HttpUser",
        ),
        ("HTTP3FastUser", "", "http://me:secret@h:1", "or derive from locust.FastHttpUser"),
        ("HTTP3User", "", "localhost", "'localhost': url='localhost' is not absolute"),
        ("HTTP3User", "pool_options = {'cafil': 'x'}", None, "did you mean cafile?"),
        ("HTTP3FastUser", "network_timeout = -1", None, "receive_timeout=-1"),
        ("HTTP3FastUser", "users_per_connection = 0", None, "users_per_connection=0: must be"),
        ("HTTP3FastUser", "proxy_host = 'p'", None, "proxy_host is for TCP, leave it out"),
        ("HTTP3FastUser", "client_pool = object()", None, "client_pool is for TCP"),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(
    origin: Origin, tmp_path: Path, kind: str, class_body: str, host: str | None, says: str
) -> None:
    file = tmp_path / "refused.py"
    file.write_text(REFUSED.format(kind=kind, body=class_body), encoding="utf-8")
    with Locusts(origin, tmp_path, file) as locusts:
        run = locusts.start("--headless", "-u", "3", "-r", "3", "--only-summary", host=host)
        said = ended(run, within=40.0, status=1)
    lines = [line for line in said.splitlines() if "ERROR/locust.runners" in line]
    assert len(lines) == 1, said
    assert says in lines[0]
    assert "secret" not in said
    assert "asked" not in said
    assert origin.requests_served() == 0


@pytest.mark.long
def test_the_example_tells_why_nobody_answers(locusts: Locusts) -> None:
    nobody = f"https://127.0.0.1:{free_port()}"
    locusts.run("-u", "8", "-r", "8", "--host", nobody, names=PATHS)
    told = {row["Name"]: row["Error"] for row in locusts.rows("failures").values()}
    assert set(told) == set(PATHS)
    assert all("nobody listens there" in error for error in told.values()), told


@pytest.mark.long
def test_imported_before_locust_is() -> None:
    """As by a program that is run without the command `locust`."""
    said = run_script("import quiver.adapters.locust, ssl; print(ssl.SSLContext.__module__)")
    assert said.strip() == "gevent.ssl"


@pytest.mark.long
def test_the_guides_locustfile(origin: Origin, tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "guides" / "locust.md").read_text(encoding="utf-8")
    text = "".join(re.findall(r"```py\n(.*?)```", guide, re.DOTALL)) + ASKING
    trust = '"max_connections": 2, "cafile": os.environ["CAFILE"]'
    file = tmp_path / "guide.py"
    file.write_text(text.replace('"max_connections": 2', trust), encoding="utf-8")
    names = ["/items/[id]", "/order", "/items/[id] (fast)", "/lines", "/items/[id] (own)"]
    names += ["/items/[id] (shared)", "/ok"]
    with Locusts(origin, tmp_path, file) as locusts:
        locusts.run("-u", "8", "-r", "8", names=names)
        rows = locusts.rows()
    assert set(rows) == {*names, "Aggregated"}
    assert rows["Aggregated"]["Failure Count"] == "0"
