"""The origin as a server process: started, counted, killed, stopped, and its options."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from quiver.testing import Authority, Origin, OriginFailed
from tests.support.clients.bare import BareClient, Closed
from tests.support.clients.bare_streams import StreamClient
from tests.support.programs.runner import run_script
from tests.support.waiting import until


def connect(origin: Origin) -> BareClient:
    return BareClient(origin.port, origin.cafile)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_counts_by_path_and_id(origin: Origin) -> None:
    with connect(origin) as client:
        client.run(200, 20, "/ok")
        client.get("/items/1?id=7")
        client.get("/items/1?id=7&x=1")
        client.get("/items/2?id=8")
    assert origin.requests_served() == 203
    assert origin.requests_served("/ok") == 200
    assert origin.requests_served("/items/1") == 2
    assert origin.requests_served("/unasked") == 0
    assert (origin.seen(7), origin.seen("8"), origin.seen(9)) == (2, 1, 0)
    assert origin.seen_ids() == {"7": 2, "8": 1}
    assert origin.connections_accepted() == 1


def test_stop_tells_its_clients(origin: Origin) -> None:
    with connect(origin) as client:
        client.get("/ok")  # only a confirmed handshake lets the real code through
        pid = origin.pid
        stopper = threading.Thread(target=origin.stop)
        stopper.start()
        assert client.wait_closed().code == 0x100
        stopper.join()
    assert not alive(pid)
    with pytest.raises(OriginFailed):
        origin.requests_served()
    origin.stop()


def test_disconnect(origin: Origin) -> None:
    with connect(origin) as client:
        client.get("/ok")
        assert origin.disconnect(0x101, "away") == 1
        closed = client.wait_closed()
    assert (closed.code, closed.reason) == (0x101, "away")


def test_disconnect_with_a_code_of_quic(origin: Origin) -> None:
    with connect(origin) as client:
        client.get("/ok")
        origin.disconnect(0x0A, "away", transport=True)
        closed = client.wait_closed()
    assert (closed.code, closed.reason) == (0x0A, "away")


def test_closes_are_counted_by_code(origin: Origin) -> None:
    with connect(origin) as client:
        client.get("/ok")
    with connect(origin) as client:
        client.get("/ok")
        while not origin.closes():  # aioquic tells the end of a connection when it has drained
            client.get("/ok")
    assert origin.closes() == {0x100: 1}


def test_goaway_with_any_id(origin: Origin) -> None:
    with connect(origin) as client:
        client.get("/ok")
        assert origin.goaway(400) == 1
        assert origin.goaway(5) == 1
        client.wait_goaway(2)
        assert client.goaways == [400, 5]
        assert client.get("/ok").status == 200


def test_streams_are_allowed_by_hand(authority: Authority) -> None:
    with (
        Origin(authority=authority, max_streams=2, raise_streams=False) as origin,
        connect(origin) as client,
    ):
        client.run(2, 1)
        waits = client.ask("/ok")
        with pytest.raises(TimeoutError):
            client.wait(waits, timeout=0.2)
        assert client.max_streams == 2
        assert origin.allow_streams(10) == 1
        assert client.wait(waits).status == 200
        assert client.max_streams == 10


def test_killed_port_refuses_and_restart_keeps_it(origin: Origin) -> None:
    port = origin.port
    with connect(origin) as client:
        client.get("/ok")
        origin.kill()
        with pytest.raises(ConnectionRefusedError):
            client.get("/ok")
            client.get("/ok")
    origin.restart()
    assert origin.port == port
    with connect(origin) as client:
        assert client.get("/ok").body == b"ok"
    assert origin.requests_served() == 1


def test_restart_of_a_running_one(origin: Origin) -> None:
    before = origin.pid
    origin.restart()
    assert origin.pid != before
    assert not alive(before)


def test_suspend_and_resume(origin: Origin) -> None:
    with connect(origin) as client:
        client.get("/ok")
        origin.suspend()
        stream_id = client.ask("/ok")
        with pytest.raises(TimeoutError):
            client.wait(stream_id, timeout=0.2)
        with pytest.raises(OriginFailed, match="suspended"):
            origin.requests_served()
        origin.resume()
        assert client.wait(stream_id).body == b"ok"


def test_what_was_closed_meanwhile_is_not_open(origin: Origin) -> None:
    with StreamClient(origin.port, origin.cafile) as client:
        client.ask("/stall")
        response = client.response(client.ask("/bytes/100000000"))
        client.until(lambda: bool(response.body))
        origin.suspend()  # its packets on the way are acknowledged, as it will think, much later
        with pytest.raises(TimeoutError):
            client.until(lambda: response.ended, 0.7)
    origin.resume()
    assert origin.requests_served() == 2
    until(lambda: origin.streams_open() == 0 and origin.connections_open() == 0)


def test_stop_of_a_suspended_one(origin: Origin) -> None:
    pid = origin.pid
    origin.suspend()
    origin.stop()
    assert not alive(pid)


def test_goaway_answers_what_is_below_and_refuses_the_rest(origin: Origin) -> None:
    with connect(origin) as client:
        below = client.ask("/delay/2?id=below")
        client.get("/ok")
        assert origin.goaway() == 1
        limit = client.wait_goaway()
        beyond = client.ask("/ok?id=beyond")
        assert beyond >= limit > below
        assert client.wait(beyond).reset == 0x10B
        assert client.wait(below).body == b"ok"
        assert client.wait_closed().code == 0x100
    assert origin.seen_ids() == {"below": 1}
    assert origin.requests_refused() == 1


def test_ends_with_the_program_that_started_it(authority: Authority) -> None:
    program = """
import os, sys
from quiver.testing import Origin
origin = Origin()
origin.start()
print(origin.pid, flush=True)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    pid = int(done.stdout)
    ended = threading.Event()
    for _ in range(500):
        if not alive(pid):
            return
        ended.wait(0.01)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the server outlived its program")


@pytest.mark.long
def test_started_from_a_monkey_patched_program() -> None:
    program = """
import gevent.monkey; gevent.monkey.patch_all()
import gevent
from quiver.testing import Origin
with Origin() as origin:
    asked = [gevent.spawn(origin.requests_served) for _ in range(10)]
    gevent.joinall(asked, raise_error=True)
    assert [one.value for one in asked] == [0] * 10
    origin.restart()
    print("served", origin.requests_served())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.stdout == b"served 0\n", done.stderr.decode()


def test_asked_from_many_threads(origin: Origin) -> None:
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda: counts.append(origin.requests_served())) for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [0] * 20


def test_port_taken(
    origin: Origin, authority: Authority, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OriginFailed, match=f"port={origin.port}: .*in use"):
        Origin(authority=authority, port=origin.port).start()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"loss": 1.0}, "loss must be .* below 1, not 1.0"),
        ({"max_streams": -1}, "max_streams must not be negative"),
        ({"at_limit": "never"}, "at_limit must be 'goaway' or 'close', not 'never'"),
        ({"early_data": True, "session_tickets": True}, "early_data must be .*, not True"),
        ({"early_data": "reject"}, "early_data='reject' needs session_tickets=True"),
        ({"colour": 1}, "colour"),
    ],
)
def test_bad_options(authority: Authority, options: Any, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        Origin(authority=authority, **options)


@pytest.mark.parametrize("max_streams", [1, 3, 10])
def test_max_streams_bounds_and_grows(authority: Authority, max_streams: int) -> None:
    with Origin(authority=authority, max_streams=max_streams) as origin, connect(origin) as client:
        assert client.max_streams == max_streams
        assert len(client.run(200, 50).responses) == 200
        assert client.max_streams >= 200
    assert origin.options.max_streams == max_streams


def test_retry(authority: Authority) -> None:
    with Origin(authority=authority, retry=True) as origin, connect(origin) as client:
        assert client.get("/ok").body == b"ok"


def test_loss_is_overcome(authority: Authority) -> None:
    with Origin(authority=authority, loss=0.1, seed=4) as origin, connect(origin) as client:
        run = client.run(300, 20, "/bytes/3000")
        assert {len(response.body) for response in run.responses} == {3000}


def test_idle_timeout(authority: Authority) -> None:
    with Origin(authority=authority, idle_timeout=0.5) as origin, connect(origin) as client:
        client.get("/ok")
        assert "dle" in client.wait_closed().reason


def test_delay(authority: Authority) -> None:
    with Origin(authority=authority, delay=0.05) as origin, connect(origin) as client:
        run = client.run(10, 10)
    assert run.seconds >= 0.05


def test_goaway_after_so_many_requests(authority: Authority) -> None:
    limited = Origin(authority=authority, requests_per_connection=5)
    with limited as origin, connect(origin) as client:
        for _ in range(5):
            assert client.get("/ok").status == 200
        assert client.wait_goaway() == 20
        assert client.wait_closed().code == 0x100


def test_close_after_so_many_requests(authority: Authority) -> None:
    limited = Origin(authority=authority, requests_per_connection=5, at_limit="close")
    with limited as origin:
        with connect(origin) as client:
            with pytest.raises(Closed) as caught:
                client.run(8, 8)
            assert caught.value.code == 0x100
            assert client.goaways == []
        assert origin.requests_served() == 5


def test_ctrl_c_at_a_terminal_is_for_the_program_alone() -> None:
    """The terminal tells all processes of the foreground's group."""
    said = run_script(
        """
        import os, signal, time
        from quiver.testing import Origin

        os.setpgid(0, 0)
        with Origin() as origin:
            try:
                os.killpg(0, signal.SIGINT)
                time.sleep(5)
            except KeyboardInterrupt:
                print(os.getpgid(origin.pid) == origin.pid, origin.requests_served())
        """
    )
    assert said == "True 0\n"


def test_a_start_that_is_interrupted_leaves_no_process() -> None:
    said = run_script(
        """
        import os, signal, subprocess, threading
        from quiver.testing import Origin

        started = []
        launch = Origin._launch

        def launched(command):
            started.append(launch(command))
            os.kill(started[0].pid, signal.SIGSTOP)  # it does not come to say its port
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            return started[0]

        Origin._launch = staticmethod(launched)
        try:
            Origin().start()
        except KeyboardInterrupt:
            print(started[0].poll() == -signal.SIGKILL)
        """
    )
    assert said == "True\n"
