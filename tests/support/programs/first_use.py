"""Programs whose first use of Quiver fails: by a signal's exception, or for want of a descriptor.

Arguments: the origin's URL, its cafile, and which walk: `lines`, `once` or `storm` of signals, or
`descriptors`; then from which step of it to begin, and how many to go each time. Each step is tried
in a child of its own, forked from this process, which has imported `quiver` and used nothing of it.

It prints one line of JSON: how often each outcome was seen, and each that is a fault.
"""

from __future__ import annotations

import collections
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

import quiver

LIGHT = tuple(f"quiver{os.sep}{name}.py" for name in ("__init__", "first_use", "functions"))
LONGEST = 0.6  # seconds that a first use takes, at the most, where signals are to hit
END = "not reached"  # the step lies behind the end of the first use


class SoftTimeLimitExceeded(Exception):
    """As Celery's: any Exception of the program's own."""


def use(url: str, cafile: str) -> str:
    client = quiver.Client(pools={"default": {"cafile": cafile}})
    try:
        return str(client.get(url + "/ok", timeout=15).status)
    finally:
        client.close()


def lines(step: int, use: Callable[[], str]) -> str:
    """Raise at that line of the light modules to which this thread comes."""
    left = step

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.endswith(LIGHT):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise SoftTimeLimitExceeded
        return trace

    sys.settrace(trace)
    try:
        outcome = use()
        return outcome if left <= 0 else END
    finally:
        sys.settrace(None)


def once(step: int, use: Callable[[], str], again: float = 0.0) -> str:
    """Have a signal's handler raise, after so many milliseconds."""

    def hit(*_: object) -> None:
        raise SoftTimeLimitExceeded

    if step / 1000 > LONGEST:
        return END
    signal.signal(signal.SIGALRM, hit)
    signal.setitimer(signal.ITIMER_REAL, step / 1000, again)
    try:
        return use()
    finally:
        while True:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
                time.sleep(0)
                break
            except SoftTimeLimitExceeded:
                pass


def storm(step: int, use: Callable[[], str]) -> str:
    return once(step, use, again=0.0007)


def descriptors(step: int, use: Callable[[], str]) -> str:
    """Leave none from that opening of a file or folder, or loading of a library, on."""
    left = step
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    def heed(event: str, _: object) -> None:
        nonlocal left
        if event in ("open", "os.listdir", "import"):
            left -= 1
            if left == 0:
                resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))

    sys.addaudithook(heed)
    try:
        outcome = use()
    finally:
        reached, left = left <= 0, -1
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    return outcome if reached else END


def outcome_of(call: Callable[[], str]) -> str:
    try:
        return call()
    except SoftTimeLimitExceeded as error:
        return type(error).__name__
    except quiver.ResourceExhausted as error:
        told = error.kind == "transient" and error.unprocessed
        return "told" if told else f"{error!r} is no {error.kind} failure"
    except BaseException:
        return traceback.format_exc()


def tried(walk: Callable[[int, Callable[[], str]], str], step: int, url: str, cafile: str) -> Any:
    """What the first use and the next one came to, in a child."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(0)
        first = outcome_of(lambda: walk(step, lambda: use(url, cafile)))
        then = outcome_of(lambda: use(url, cafile))
        os.write(writer, json.dumps([first, then]).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        said = file.read()
    os.waitpid(child, 0)
    return json.loads(said) if said else ["died", "died"]


def main() -> None:
    url, cafile, kind, step, more = sys.argv[1:]
    seen: collections.Counter[str] = collections.Counter()
    faults: list[str] = []
    at = int(step)
    while True:
        first, then = tried(globals()[kind], at, url, cafile)
        seen[first] += 1
        if first not in ("200", "told", "SoftTimeLimitExceeded", END) or then != "200":
            faults.append(f"at {at}: {first}; then {then}")
        if first == END:
            break
        at += int(more)
    print(json.dumps({"seen": seen, "faults": faults}))


if __name__ == "__main__":
    main()
