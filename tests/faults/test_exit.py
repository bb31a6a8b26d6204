"""Programs that start, end and stop the hub, each in an OS process of its own."""

from __future__ import annotations

from tests.support.programs.runner import run_script

ACTORS = """
import os, sys, threading, time
import pykka, gevent
from quiver.actors.actor import GeventActor
from quiver.actors.hub import Hub, HubStopped

class Mute(GeventActor):
    def on_receive(self, message):
        self.kept = self.defer()

class Echo(GeventActor):
    def on_receive(self, message):
        return message, threading.get_ident(), gevent.get_hub()

def tasks():
    return len(os.listdir("/proc/self/task"))
"""


def test_the_hub_starts_on_first_use_only() -> None:
    run_script(
        ACTORS
        + """
import quiver
quiver.Client(), Echo
due = time.monotonic() + 5  # the thread that has imported it is on its way out
while tasks() > 1 and time.monotonic() < due:
    time.sleep(0.001)
assert tasks() == threading.active_count() == 1
ref = Echo.start()
named = {thread.ident: thread.name for thread in threading.enumerate()}
assert named[ref.ask(1)[1]] == "quiver-hub"
assert Echo.start().ask(2)[2] is ref.ask(3)[2]
assert threading.active_count() == 2
"""
    )


def test_the_interpreter_ends_with_actors_and_callers_left() -> None:
    printed = run_script(
        """
import atexit
futures = []
atexit.register(lambda: print(all(future.done for future in futures)))  # runs after the hub's
"""
        + ACTORS
        + """
asked = threading.Event()
def caller():
    futures.extend([Slow.start().ask("?", block=False), Holder.start().ask("?", block=False)])
    asked.set()
    futures[0].get()

class Slow(GeventActor):
    def on_receive(self, message):
        gevent.sleep(60)

class Holder(Mute):
    def on_exit(self, reason):
        self.kept.fail(pykka.ActorDeadError("the end"))

threading.Thread(target=caller, daemon=True).start()
assert asked.wait(10)
Echo.start().ask("x")  # behind both in the loop's queue: they have begun
""",
        timeout=10.0,
    )
    assert printed == "True\n"


def test_nothing_starts_while_the_interpreter_exits() -> None:
    printed = run_script(
        ACTORS
        + """
import atexit
Echo.start()
ref = Echo.start()
def late():
    try:
        Echo.start()
    except HubStopped:
        print("refused", ref.is_alive())
atexit._clear()
atexit.register(late)
atexit.register(Hub._at_exit)
""",
        timeout=10.0,
    )
    assert printed == "refused False\n"


def test_stop_answers_all_who_wait_and_the_next_start_begins_anew() -> None:
    run_script(
        ACTORS
        + """
class Slow(GeventActor):
    def on_receive(self, message):
        gevent.sleep(60)
slow = Slow.start()
futures = [slow.ask(n, block=False) for n in range(100)]
stopped = slow.stop(block=False)
Hub.current().stop()
for future in futures:
    try:
        future.get(timeout=0)
    except pykka.ActorDeadError:
        continue
    raise AssertionError("no answer")
assert stopped.get(timeout=0) is True
due = time.monotonic() + 5
while tasks() > 1:  # the kernel takes its time
    assert time.monotonic() < due
    time.sleep(0.01)
assert Echo.start().ask("again")[0] == "again"
""",
        timeout=15.0,
    )


def test_an_actor_may_stop_its_hub() -> None:
    run_script(
        ACTORS
        + """
class Killer(GeventActor):
    def on_receive(self, message):
        self.other = Echo.start()  # not begun yet
        asker = threading.Thread(target=self.ask_other)  # whose asks do not end with this actor
        asker.start()
        asker.join()
        Hub.current().stop()
        gevent.sleep(60)
    def ask_other(self):
        waiting.append(self.other.ask("?", block=False))
waiting = []
future = Killer.start().ask("go", block=False)
for _ in range(2):
    try:
        future.get(timeout=5)
    except pykka.ActorDeadError:
        future = waiting[0]
    else:
        raise AssertionError("it was to end")
""",
        timeout=15.0,
    )


def test_an_exit_waits_for_a_hub_that_is_about_to_end() -> None:
    said = run_script(
        ACTORS
        + """
class Slow(GeventActor):
    def on_exit(self, reason):
        time.sleep(0.5)
        print("left in order", flush=True)
class Killer(GeventActor):
    def on_receive(self, message):
        Hub.current().stop()
        return "about to end"
slow = Slow.start()
assert Killer.start().ask("go", timeout=5) == "about to end"
""",
        timeout=15.0,
    )
    assert said == "left in order\n"


def test_in_a_patched_program_actors_are_greenlets_of_the_callers_hub() -> None:
    run_script(
        "from gevent import monkey; monkey.patch_all()"
        + ACTORS
        + """
before = tasks(), threading.active_count()
refs = [Echo.start() for _ in range(50)]
assert all(ref.ask(n)[2] is gevent.get_hub() for n, ref in enumerate(refs))
threads = [threading.Thread(target=ref.ask, args=("y",)) for ref in refs]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert (tasks(), threading.active_count()) == before
class Slow(GeventActor):
    def on_receive(self, message):
        gevent.sleep(60)
slow = Slow.start()
futures = [slow.ask(n, block=False) for n in range(10)]
gevent.sleep(0.01)
Hub.current().stop()
assert not slow.is_alive()
assert all(future.done for future in futures)
assert Echo.start().ask("again")[2] is gevent.get_hub()
""",
        timeout=20.0,
    )
