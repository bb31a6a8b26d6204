from __future__ import annotations

import errno
import os
import threading

import gevent
import pytest

from quiver.actors.descriptors import NoneLeft, check, check_for_loop
from tests.support.descriptor_limit import left, none_left


@pytest.mark.parametrize("count", range(4))
def test_so_many_can_be_opened_or_not(count: int) -> None:
    with left(count):
        check(count)
        with pytest.raises(NoneLeft) as caught:
            check(count + 1)
    assert caught.value.errno == errno.EMFILE
    assert os.strerror(errno.EMFILE) in str(caught.value)


def test_nothing_is_kept() -> None:
    with left(2):
        for _ in range(100):
            check(2)


def test_a_hub_that_is_there_needs_none() -> None:
    gevent.get_hub()
    with none_left():
        check_for_loop()


def test_as_many_as_a_loop_takes() -> None:
    """What gevent's loop opens is looked for, and one more: a pipe in place of an eventfd."""
    taken: list[int] = []

    def make() -> None:
        before = len(os.listdir("/proc/self/fd"))
        hub = gevent.get_hub()
        taken.append(len(os.listdir("/proc/self/fd")) - before)
        hub.destroy(destroy_loop=True)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    outcomes: list[object] = []

    def look() -> None:
        for count in (taken[0], taken[0] + 1):
            try:
                with left(count):
                    check_for_loop()
                outcomes.append(None)
            except NoneLeft as error:
                outcomes.append(error)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert isinstance(outcomes[0], NoneLeft)
    assert outcomes[1] is None
