"""A soak: callers in threads and greenlets, a relay, faults, a server that is restarted."""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import attrs
import gevent

import quiver
from quiver.actors.hub import Hub
from tests.soak.account import Account
from tests.soak.asks import Kind, Site, late, mixed
from tests.soak.samples import Growth, Sample, growths
from tests.soak.turns import Turns
from tests.support.held_resources import Held, settles_within
from tests.support.memory import resident
from tests.support.run_queue_delay import run_queue_delay

__all__ = ["Plan", "Result", "Stage", "soak"]

PAUSE: Final = 0.2  # seconds after an error: a dead server refuses at once
GRACE: Final = 30.0  # seconds after which a caller without a reply has none
MANY: Final = 0.05  # of what is carried out, over each of several versions of HTTP
LATE: Final = 2.0  # seconds that so many threads may cost that wait for the interpreter
LOGGERS: Final = ("quiver", "quic", "http3", "pykka")  # which are quiet in a program without logs


@attrs.frozen(kw_only=True)
class Plan:
    """A run ends after so many asks, or after so many seconds if that is earlier.

    Half of the callers are threads, half greenlets. In seconds: `timeout` of an ask, `period`
    between restarts of the server, `every` between samples.
    """

    asks: int
    seconds: float
    callers: int
    seed: int
    timeout: float
    period: float
    every: float


@attrs.frozen
class Result:
    """What a run came to. `left` is what it still held when all was over, beyond `before`.

    `kept` is the most that other programs kept the loop from running, in seconds between samples.
    """

    plan: Plan
    stage: Stage
    seconds: float
    account: Account
    samples: list[Sample]
    before: Held
    left: Held
    kept: float

    def growths(self) -> list[Growth]:
        """After a quarter of the time, or 60 seconds; the pool and the allocator have what they
        need by then."""
        return growths(self.samples, min(60.0, self.seconds / 4), self.stage.room)

    def faults(self) -> list[str]:
        """What must not be, in words."""
        found = self.account.faults()
        changes = self.growths()
        found += [f"grows: {change}" for change in changes if change.too_much]
        if not changes:
            found.append("too few samples to tell whether anything grows")
        if self.account.late > LATE + self.kept:
            found.append(f"{self.account.late:.1f} s late, more than {LATE} + {self.kept:.1f}")
        if not self.left.within(self.before):
            found.append(f"left behind: {self.before} became {self.left}")
        if self.account.totals().answered < self.account.asked / 2:
            found.append("less than half of the asks were answered: this was no soak")
        carried = self.account.versions
        for version in self.stage.versions:
            if carried[version] < MANY * carried.total():
                found.append(f"few were carried out over {version}: {dict(carried)}")
        return found


@attrs.frozen(kw_only=True)
class Stage:
    """Where a soak takes place.

    Attributes:
        url: of the server, which is behind a relay.
        kinds: what it is asked.
        clients: makes those that take turns to ask.
        turns: makes what goes wrong meanwhile.
        warm: has the first client start what stays: the hub's thread, its descriptors.
        versions: of HTTP, over each of which a good part is to be carried out.
        room: connections that may be open at one time and not at another.
    """

    url: str
    kinds: tuple[Kind, ...]
    clients: Callable[[], list[quiver.Client]]
    turns: Callable[[Account], Turns]
    warm: Callable[[], object]
    versions: tuple[str, ...] = ()
    room: int = 4


def soak(plan: Plan, stage: Stage, tell: Callable[[Sample], object]) -> Result:
    """Run it, and `tell` each sample."""
    account = Account(plan.asks)
    stage.warm()
    # The loop's log has a thread of its own from its first record on, which stays.
    Hub.current().run(partial(logging.getLogger("quiver.actors").warning, "the soak begins"))
    gc.freeze()
    before = settles_within(Held(0, 0, 0), seconds=0.5)
    quiver.telemetry.attach("soak", _REQUESTS, account.observe)
    with contextlib.ExitStack() as ends:
        ends.enter_context(_logs_told())
        clients = [ends.enter_context(client) for client in stage.clients()]
        sites = [Site(client, stage.url, plan.timeout) for client in clients]
        running = Run(plan, account, sites, stage.kinds)
        turns = stage.turns(account)
        turns.start()
        running.start()
        samples = running.watch(lambda: turns.now, tell)
        turns.stop()
    quiver.telemetry.detach("soak")
    left = settles_within(before)
    kept = running.kept
    return Result(plan, stage, samples[-1].seconds, account, samples, before, left, kept)


@contextlib.contextmanager
def _logs_told() -> Iterator[None]:
    """Tell on stderr what is logged as a warning or worse: an error that no caller is told of."""
    teller = logging.StreamHandler()
    teller.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    teller.setLevel(logging.WARNING)
    for name in LOGGERS:
        logging.getLogger(name).addHandler(teller)
    try:
        yield
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(teller)


_REQUESTS: Final = ("request.start", "request.stop", "request.exception", "request.repeated")


class Run:
    """The callers of one run.

    Attributes:
        kept: as of a Result.
    """

    def __init__(
        self, plan: Plan, account: Account, sites: list[Site], kinds: tuple[Kind, ...]
    ) -> None:
        self._plan = plan
        self._account = account
        self._sites = sites
        self._loop = Hub.current().run(threading.get_native_id)
        self.kept = 0.0
        self._turns = mixed(kinds, plan.seed)
        self._began = time.monotonic()
        threads = plan.callers // 2
        self._threads = [
            threading.Thread(target=self._call, args=(time.sleep,), daemon=True)
            for _ in range(threads)
        ]
        greenlets = (plan.callers - threads,)
        self._threads.append(
            threading.Thread(target=self._call_in_greenlets, args=greenlets, daemon=True)
        )

    def start(self) -> None:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def watch(self, network: Callable[[], str], tell: Callable[[Sample], object]) -> list[Sample]:
        """Take samples until every caller has ended, or ought to have."""
        samples: list[Sample] = []
        due = self._began
        before = run_queue_delay(self._loop)
        given_up = self._began + self._plan.seconds + self._plan.timeout + GRACE
        over = False
        while not over:  # asked before a sample: the last one has all that ended
            due += self._plan.every
            self._wait_until(due)
            if due - self._began >= self._plan.seconds:
                self._account.finish()
            over = due >= given_up or not any(thread.is_alive() for thread in self._threads)
            now = run_queue_delay(self._loop)
            self.kept, before = max(self.kept, now - before), now
            samples.append(self._sample(network(), samples[-1:]))
            tell(samples[-1])
        return samples

    def _wait_until(self, due: float) -> None:
        for thread in self._threads:
            thread.join(max(0.0, due - time.monotonic()))

    def _sample(self, network: str, last: list[Sample]) -> Sample:
        seconds = time.monotonic() - self._began
        totals = self._account.totals()
        ended = totals.answered + totals.errors
        done = ended - sum(sample.answered + sample.errors for sample in last)
        pace = done / (seconds - sum(sample.seconds for sample in last))
        stats = [site.client.stats(site.url) for site in self._sites]
        held = Held.now()
        return Sample(
            seconds=round(seconds, 2),
            asked=totals.asked,
            answered=totals.answered,
            errors=totals.errors,
            rate=round(pace, 1),
            rss=resident(),
            descriptors=held.descriptors,
            threads=held.threads,
            greenlets=held.greenlets,
            connections=sum(each.connections for each in stats),
            queued=sum(each.queued for each in stats),
            network=network,
        )

    # callers --------------------------------------------------------------------------------

    def _call_in_greenlets(self, callers: int) -> None:
        gevent.joinall([gevent.spawn(self._call, gevent.sleep) for _ in range(callers)])
        gevent.get_hub().destroy(destroy_loop=True)

    def _call(self, pause: Callable[[float], object]) -> None:
        while (number := self._account.begin()) is not None:
            if not self._answered(number, self._turns[number % len(self._turns)]):
                pause(PAUSE)

    def _answered(self, number: int, kind: Kind) -> bool:
        # Each kind comes to each client: the thousand may be a multiple of their number.
        site = self._sites[(number + number // len(self._turns)) % len(self._sites)]
        started, limit, failure = time.monotonic(), kind.within(site), None
        try:
            kind.ask(site, number, limit)
        except BaseException as error:  # noqa: BLE001 - the account judges it
            failure = error
        self._account.end(number, kind.name, failure, late(started, limit))
        return failure is None
