"""What one warm GET enters: the files of ours, and the calls of Python that are made for it.

`python -m tests.support.programs.warm_get` prints both, as JSON. They are counted in the caller's
thread and in the loop's, from the call of `get` until the turn of the loop is over in which it
was answered. What acknowledges the response goes with the next request, if there is one at once.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any, Final

import quiver
from quiver.actors.actor import GeventActor
from quiver.actors.hub import Hub
from quiver.testing import Authority, Origin

__all__ = ["main"]

ROOT: Final = Path(quiver.__file__).resolve().parents[1]
OURS: Final = tuple(f"{ROOT / room}/" for room in ("actors", "quiver"))
TURN: Final = GeventActor.run.__code__
TRIES: Final = 31
QUIET: Final = 0.05  # seconds after which a response's last acknowledgement has been sent


class Account:
    """Counts calls while it is open, in each thread that has `heard` as its profiler.

    Attributes:
        answered: the end of an actor's turn closes it.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.open = self.answered = False

    def begin(self) -> None:
        self.calls.clear()
        self.open, self.answered = True, False

    def heard(self, frame: FrameType, event: str, _: Any) -> None:
        if self.open and event == "call":
            self.calls[frame.f_code.co_filename] += 1
        elif self.answered and event == "return" and frame.f_code is TURN:
            self.open = False


def main() -> None:
    """Print the files and calls of a usual GET.

    Of the third with the fewest calls: on a loaded machine an acknowledgement comes in a batch of
    its own for most of them, which takes the loop another turn.
    """
    account = Account()
    seen: list[dict[str, int]] = []
    with (
        Authority() as authority,
        Origin(authority=authority) as origin,
        quiver.Client(pools={"default": {"cafile": authority.cafile}}) as client,
    ):
        url = f"{origin.url}/ok"
        for _ in range(20):
            client.get(url)
        Hub.current().run(lambda: sys.setprofile(account.heard))
        for _ in range(TRIES):
            time.sleep(QUIET)
            account.begin()
            sys.setprofile(account.heard)
            client.get(url)
            account.answered = True
            sys.setprofile(None)
            time.sleep(QUIET)
            account.open = False
            seen.append(dict(account.calls))
    calm = sorted(seen, key=lambda calls: sum(calls.values()))[: TRIES // 3]
    files = Counter(str(Path(file).resolve()) for calls in calm for file in calls)
    usual = sorted(file for file, times in files.items() if times > len(calm) // 2)
    print(
        json.dumps(
            {
                "files": [file for file in usual if file.startswith(OURS)],
                "others": [file for file in usual if not file.startswith(OURS)],
                "calls": sum(calm[TRIES // 10].values()),
            }
        )
    )


if __name__ == "__main__":
    main()
