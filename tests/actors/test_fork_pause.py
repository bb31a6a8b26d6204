"""A fork waits until the loop's thread is at rest."""

from __future__ import annotations

from tests.support.programs.runner import run_script

AMID_C = """
    import os, threading, time
    from quiver.actors.hub import Hub
    from quiver.actors.native_threads import allocate_lock, sleep

    lock, amid = allocate_lock(), threading.Event()

    def in_c():
        with lock:  # as OpenSSL holds its own
            amid.set()
            sleep(0.5)

    hub = Hub.current()
    asked = threading.Thread(target=hub.run, args=(in_c,))
    asked.start()
    amid.wait()
    child = os.fork()
    if not child:
        os._exit(lock.locked())
    assert os.waitpid(child, 0)[1] == 0, "it is locked in the child for ever"
    asked.join()
    assert hub.run(lambda: "on") == "on"
"""

BLOCKED = """
    import os, threading, time
    from quiver.actors import fork_pause
    from quiver.actors.hub import Hub
    from quiver.actors.native_threads import sleep

    fork_pause._PATIENCE = 0.1
    hub, amid, over = Hub.current(), threading.Event(), threading.Event()

    def blocks():
        amid.set()
        while not over.is_set():
            sleep(0.01)

    asked = threading.Thread(target=hub.run, args=(blocks,))
    asked.start()
    amid.wait()
    child = os.fork()
    if not child:
        os._exit(0)
    over.set()
    assert os.waitpid(child, 0)[1] == 0
    asked.join()
    assert hub.run(lambda: "on") == "on"
"""

IN_THE_LOOP = """
    import os
    from quiver.actors.hub import Hub

    def fork():
        child = os.fork()
        if not child:
            os._exit(0)
        return os.waitpid(child, 0)[1]

    hub = Hub.current()
    assert hub.run(fork) == 0
    hub.stop()
    assert fork() == 0
"""


def test_no_lock_of_c_is_held_in_the_child() -> None:
    run_script(AMID_C)


def test_a_loop_that_is_blocked_keeps_no_fork_from_its_turn() -> None:
    run_script(BLOCKED)


def test_a_fork_in_the_loop_itself() -> None:
    run_script(IN_THE_LOOP)
