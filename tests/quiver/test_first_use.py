"""`import quiver` is light, and says so to nobody: what is heavy comes with its first use."""

from __future__ import annotations

import inspect
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import quiver
from quiver.pool_options import ClientOptions
from quiver.testing import Origin
from tests.support.programs.runner import ROOT, run_program, run_script

HEAVY = "aioquic cryptography OpenSSL pylsqpack gevent pykka attr asyncio"


def test_import_quiver_is_light() -> None:
    script = f"""
        import sys
        import quiver
        print(*sorted(set("{HEAVY}".split()) & set(sys.modules)))
        print(*sorted(name for name in sys.modules if name.startswith("quiver")))
        quiver.QuiverError, quiver.get, quiver.request, dir(quiver)
        print(*sorted(set("{HEAVY}".split()) & set(sys.modules)))
        quiver.Client
        print(sorted(set("aioquic gevent".split()) - set(sys.modules)))
    """
    light = "quiver quiver.errors quiver.first_use quiver.functions quiver.printable quiver.version"
    assert run_script(script) == f"\n{light}\n\n[]\n"


def test_each_name_comes_by_itself_and_is_then_at_hand() -> None:
    script = """
        import sys
        import quiver
        for name in quiver.__all__:
            assert getattr(quiver, name) is vars(quiver)[name], name
        from quiver import *
        assert Client is quiver.Client and get is quiver.get and telemetry is quiver.telemetry
    """
    run_script(script)


def test_what_is_not_there() -> None:
    for name in ("no_such_name", "_private", "cli", "adapters", "testing"):
        script = f"""
            import quiver
            assert not hasattr(quiver, "{name}")
            try:
                quiver.{name}
            except AttributeError as error:
                print(error)
        """
        assert run_script(script) == f"module 'quiver' has no attribute '{name}'\n"


def test_a_module_that_cannot_be_imported_is_told_as_that() -> None:
    """Not as an attribute that is missing."""
    script = """
        import sys
        sys.modules["attrs"] = None
        import quiver
        for attempt in range(2):
            try:
                quiver.Request
            except ModuleNotFoundError as error:
                print(error.name)
        del sys.modules["attrs"]
        print(quiver.Request("GET", "/").method)
    """
    assert run_script(script) == "attrs\nattrs\nGET\n"


@pytest.mark.one_in(2)
@pytest.mark.parametrize("module", ["aioquic.quic.connection", "ssl"])
@pytest.mark.parametrize(
    ("raised", "told"),
    [
        ("MemoryError()", "MemoryError"),
        ("OSError(24, 'Too many open files')", "ResourceExhausted"),
    ],
)
def test_what_the_process_lacks_is_not_blamed_on_aioquic(
    module: str, raised: str, told: str
) -> None:
    script = f"""
        import sys
        import quiver

        class FailsOnce:
            def find_spec(self, name, path=None, target=None):
                if name == "{module}":
                    sys.meta_path.remove(self)
                    raise {raised}

        sys.meta_path.insert(0, FailsOnce())
        try:
            quiver.Client
        except BaseException as error:
            print(type(error).__name__)
        print(quiver.Client.__name__)
    """
    assert run_script(script) == f"{told}\nClient\n"


def test_request_stays_the_function() -> None:
    script = """
        import quiver
        import quiver.request
        from quiver.request import Request
        assert quiver.request is quiver.functions.request
        assert quiver.Request is Request
        quiver.request = 1
        assert quiver.request == 1
    """
    run_script(script)


def test_modules_are_attributes_as_ever() -> None:
    script = """
        import quiver
        print(quiver.pool.__name__, quiver.actors.Hub.__name__, quiver.config.PoolConfig.__name__)
    """
    assert run_script(script) == "quiver.pool Hub PoolConfig\n"


def test_dir_has_all_names() -> None:
    assert set(quiver.__all__) <= set(dir(quiver))
    printed = run_script("import quiver; print(*dir(quiver))").split()
    assert set(quiver.__all__) <= set(printed)


@pytest.mark.long
def test_help_shows_what_is_lazy() -> None:
    printed = run_script("import quiver; help(quiver)")
    for said in ("class Client", "max_connections", "get(url: 'str'", "class HTTP3Pool"):
        assert said in printed


def test_pickles() -> None:
    for found in (quiver.get, quiver.Client, quiver.Response(200, [], b"x"), quiver.QuiverError):
        assert pickle.loads(pickle.dumps(found)) == found
    pickled = pickle.dumps((quiver.get, quiver.Response(200, [], b"x")))
    assert run_script(f"import pickle; print(pickle.loads({pickled!r})[1].status)") == "200\n"


def test_the_functions_have_the_parameters_of_the_client() -> None:
    for name in quiver.functions.__all__:
        ours = list(inspect.signature(getattr(quiver, name)).parameters.values())
        of_client = list(inspect.signature(getattr(quiver.Client, name)).parameters.values())
        said = [str(each).replace("quiver.", "") for each in ours]
        # Beside the options of the request they take those of its pool.
        *others, options = [str(each) for each in of_client[1:]]
        options = options.replace("RequestOptions", "CallOptions")
        options = re.sub("(Common|Channel)Options", r"\1CallOptions", options)
        assert said == [*others, options]


@pytest.mark.parametrize(
    ("taken", "of_client"),
    [
        (quiver.CallOptions, quiver.RequestOptions),
        (quiver.CommonCallOptions, quiver.CommonOptions),
        (quiver.ChannelCallOptions, quiver.ChannelOptions),
    ],
)
def test_the_functions_take_the_options_of_requests_pools_and_clients(
    taken: type, of_client: type
) -> None:
    of_both = {**get_type_hints(quiver.PoolOptions), **get_type_hints(ClientOptions)}
    wanted = {**of_both, **get_type_hints(of_client)}
    if of_client is not quiver.RequestOptions:
        del wanted["early_data"]  # no channel goes early
    assert get_type_hints(taken) == wanted


def test_the_hints_of_the_functions_can_be_had_before_any_use() -> None:
    script = """
        import inspect
        import typing
        import quiver
        before = {
            name: (
                typing.get_type_hints(getattr(quiver, name)),
                inspect.signature(getattr(quiver, name), eval_str=True),
            )
            for name in reversed(quiver.functions.__all__)
        }
        for name, (hints, signature) in before.items():
            method = getattr(quiver.Client, name)
            of_client = typing.get_type_hints(method)
            del hints["options"], of_client["options"]
            assert hints == of_client, name
            assert signature.return_annotation == hints["return"], name
        print(len(before))
    """
    assert run_script(script) == "11\n"


@pytest.mark.long
def test_a_type_checker_knows_the_names(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="it comes with the extra `dev`")
    program = tmp_path / "program.py"
    program.write_text(
        "import quiver\n"
        "reveal_type(quiver.Client)\n"
        "reveal_type(quiver.get('u', timeout=1))\n"
        "quiver.get('u', timeot=1)\n"
        "quiver.nothing\n"
    )
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file=", f"--cache-dir={tmp_path}", str(program)],
        cwd=ROOT,
        env={"PYTHONPATH": "", "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert 'Revealed type is "quiver.models.Response"' in checked.stdout, checked.stdout
    assert "quiver.client.Client" in checked.stdout
    assert 'Unexpected keyword argument "timeot"' in checked.stdout
    assert 'Module has no attribute "nothing"' in checked.stdout


# threads, greenlets and forks -----------------------------------------------------------------

RACE = """
import sys, threading
import quiver
url, cafile = sys.argv[1:]
start, got = threading.Barrier(8), []

def use(number):
    start.wait()
    if number % 2:
        client = quiver.Client(pools={"default": {"cafile": cafile}})
        got.append((quiver.Client, client.get(url).status))
    else:
        got.append((quiver.Client, quiver.Request("GET", url) and 200))

threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
for each in threads: each.start()
for each in threads: each.join()
assert set(got) == {(quiver.Client, 200)} and len(got) == 8, got
import gevent.hub
assert gevent.hub.get_hub().loop.default, "the main thread's loop must handle signals"
"""


def test_threads_that_race_for_it(origin: Origin) -> None:
    run_script(RACE, origin.url + "/ok", origin.cafile)


GREENLETS = """
from gevent import monkey
monkey.patch_all()
import sys
import gevent
import quiver
url, cafile = sys.argv[1:]
turns = []

def count():
    while True:
        turns.append(1)
        gevent.sleep(0)

def use():
    return quiver.Client(pools={"default": {"cafile": cafile}}).get(url).status

counter = gevent.spawn(count)
gevent.sleep(0)
killed = gevent.spawn(use)
gevent.sleep(0)
killed.kill()  # it waits for the import, which goes on
before = len(turns)
assert "aioquic.quic.connection" not in sys.modules
users = [gevent.spawn(use) for _ in range(5)]
gevent.joinall(users, raise_error=True)
assert [each.value for each in users] == [200] * 5
assert len(turns) - before > 10, "others must go on meanwhile"
"""


@pytest.mark.long
def test_greenlets_that_race_for_it(origin: Origin) -> None:
    run_script(GREENLETS, origin.url + "/ok", origin.cafile)


LOCK = """
from gevent import monkey
monkey.patch_all()
from quiver import first_use
assert type(first_use._lock).__module__ == "_thread", first_use._lock
"""


def test_its_threads_wait_at_a_lock_of_threads_in_a_patched_program() -> None:
    """A lock of gevent's let one of them wait for ever."""
    run_script(LOCK)


FORK = """
import os, sys, threading, time, traceback
import quiver
url, cafile, delay = sys.argv[1], sys.argv[2], float(sys.argv[3])

def use():
    assert quiver.Client(pools={"default": {"cafile": cafile}}).get(url, timeout=20).status == 200

thread = threading.Thread(target=use)
thread.start()
time.sleep(delay)
child = os.fork()
if not child:
    status = 1
    try:
        use()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
due = time.monotonic() + 20
while time.monotonic() < due:
    pid, ended = os.waitpid(child, os.WNOHANG)
    if pid:
        break
    time.sleep(0.01)
else:
    os.kill(child, 9)
    ended = "the child hangs"
thread.join()
assert ended == 0, ended
"""


@pytest.mark.one_in(6)
@pytest.mark.parametrize("delay", [0.0, 0.03, 0.1, 0.2, 0.3])
def test_a_fork_amid_it(delay: float, origin: Origin) -> None:
    run_script(FORK, origin.url + "/ok", origin.cafile, str(delay))


def test_a_fork_waits_until_the_thread_has_ended_natively() -> None:
    """OpenSSL frees what is a thread's behind all Python code, and holds a lock meanwhile."""
    script = """
        import os
        from quiver import first_use

        looked = []
        exists = os.path.exists

        def ends_slowly(path):
            looked.append(path)
            return len(looked) < 4 or exists(path)

        first_use.load("quiver.client")
        os.path.exists = ends_slowly
        first_use._before_fork()
        thread, _ = first_use._ended
        print(len(looked) >= 4, set(looked) == {f"/proc/self/task/{thread}"})
        print(exists(f"/proc/self/task/{thread}"))
    """
    assert run_script(script) == "True True\nFalse\n"


@pytest.mark.long
def test_the_exit_amid_it() -> None:
    for delay in (0.0, 0.03, 0.1):
        script = f"""
            import _thread, time
            import quiver
            _thread.start_new_thread(lambda: quiver.Client, ())
            time.sleep({delay})
        """
        assert run_script(script) == ""


def test_a_first_use_at_the_exit(origin: Origin) -> None:
    script = """
        import atexit, sys
        import quiver

        @atexit.register
        def last():
            try:
                print(quiver.get(sys.argv[1], timeout=2).status)
            except quiver.QuiverError as error:
                print(type(error).__name__)
    """
    assert run_script(script, origin.url) in {"PoolStopped\n", "CertificateInvalid\n"}


def test_without_a_thread_it_is_imported_here() -> None:
    script = """
        import _thread
        import quiver

        def refuse(*_):
            raise RuntimeError("can't start new thread")

        _thread.start_new_thread = refuse
        print(quiver.Request("GET", "/").method)
    """
    assert run_script(script) == "GET\n"


# interrupted, or short of descriptors ---------------------------------------------------------

PATCHED = """
from gevent import monkey
monkey.patch_all(os=False, signal=False)  # this process only forks, and has no loop of its own
from tests.support.programs import first_use
first_use.main()
"""


def walked(origin: Origin, walk: str, step: int, more: int, *, patched: bool = False) -> Any:
    program = ["-c", PATCHED] if patched else ["-m", "tests.support.programs.first_use"]
    arguments = [origin.url, origin.cafile, walk, str(step), str(more)]
    found = json.loads(run_program(*program, *arguments, timeout=900))
    assert found["faults"] == [], "\n".join(found["faults"])
    return found["seen"]


slow = pytest.mark.slow
long = pytest.mark.long


in_both = pytest.mark.parametrize(
    "patched", [False, pytest.param(True, marks=long)], ids=["threads", "greenlets"]
)


@pytest.mark.timeout(1000)
@in_both
@pytest.mark.parametrize("more", [pytest.param(9, marks=long), pytest.param(1, marks=slow)])
def test_at_a_line_of_ours(more: int, patched: bool, origin: Origin) -> None:
    seen = walked(origin, "lines", 1, more, patched=patched)
    assert seen["SoftTimeLimitExceeded"] > 0


@pytest.mark.long
@pytest.mark.timeout(1000)
@in_both
@pytest.mark.parametrize("more", [150, pytest.param(7, marks=slow)])
@pytest.mark.parametrize("kind", ["once", pytest.param("storm", marks=long)])
def test_by_signals(kind: str, more: int, patched: bool, origin: Origin) -> None:
    seen = walked(origin, kind, 1, more, patched=patched)
    assert seen["SoftTimeLimitExceeded"] > 0


@pytest.mark.long
@pytest.mark.timeout(1000)
@in_both
@pytest.mark.parametrize("more", [300, pytest.param(7, marks=slow)])
def test_with_no_descriptor_left(more: int, patched: bool, origin: Origin) -> None:
    seen = walked(origin, "descriptors", 1, more, patched=patched)
    assert seen["told"] > 0
