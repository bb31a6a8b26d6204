"""The runner: cases in turns, round after round, each in a fresh program."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Container, Iterator, Sequence
from pathlib import Path

import attrs

from benchmarks.clients.registry import CLIENTS, Client
from benchmarks.report.results import Results
from benchmarks.servers import Servers
from benchmarks.workloads.jobs import Figures, Job
from benchmarks.workloads.measures import Measure, Scale

__all__ = ["Runner"]

_ROOT = Path(__file__).resolve().parents[1]
_BESIDE = 4.0  # seconds of a program beside what is measured in it


@attrs.frozen
class Runner:
    """Measures `measures` of `clients` (None is all), and tells `say` what comes next."""

    servers: Servers
    scale: Scale
    measures: Sequence[Measure]
    clients: tuple[str, ...] | None
    say: Callable[[str], None]

    def run(self, rounds: int, results: Results) -> None:
        """Measure round after round, client after client: a noisy minute is noisy for all of them.

        Each has another before it in each round: the first one finds a server that is not warm
        yet, and who comes next may find what the last one left behind.
        """
        results.absent.update(self._absences())
        self._say_how_long(rounds, results.absent)
        for number in range(rounds):
            for measure, client, at in self._cases(number):
                if client in results.absent or number >= (measure.rounds or rounds):
                    continue
                self.say(
                    f"round {number + 1} of {rounds}: {measure.name}, {client}, {measure.words(at)}"
                )
                self._case(measure, client, at, number, results)

    def _cases(self, number: int) -> Iterator[tuple[Measure, str, int]]:
        for measure in self.measures:
            for turn in range(number * measure.times, (number + 1) * measure.times):
                for client, at in measure.cases(self.clients, self.scale, turn):
                    yield measure, client, at

    def _say_how_long(self, rounds: int, absent: Container[str]) -> None:
        for measure in self.measures:
            if measure.alone:
                cases = list(measure.cases(self.clients, self.scale))
                count = rounds * sum(client not in absent for client, _ in cases)
                minutes = count * (len(measure.figures) * self.scale.seconds + _BESIDE) / 60
                self.say(f"{measure.name}: {count} programs, some {minutes:.0f} minutes")

    def _case(self, measure: Measure, client: str, at: int, turn: int, results: Results) -> None:
        try:
            job = measure.prepare(measure, self.servers, self.scale, client, at)
            figures = _in_a_fresh_program(attrs.evolve(job, turn=turn), measure.limit)
            results.add(measure.name, client, at, figures)
        except RuntimeError as why:
            results.fail(measure.name, client, at, str(why))
            self.say(f"  failed: {why}")

    def _absences(self) -> dict[str, str]:
        named = {name for measure in self.measures for name in measure.clients}
        if self.clients is not None:
            named &= set(self.clients)
        wanted = [each for each in CLIENTS if each.name in named]
        return {each.name: why for each in wanted if (why := self._absence(each))}

    def _absence(self, client: Client) -> str | None:
        if client.over_tcp and not self.servers.over_tcp:
            return f"{self.servers.kind} speaks HTTP/3 alone"
        return client.absence()


def _in_a_fresh_program(job: Job, limit: float) -> Figures:
    """Measure in a fresh program. Raises RuntimeError with the last line of one that fails."""
    command = [sys.executable, "-m", "benchmarks.workloads.jobs", job.encoded()]
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, cwd=_ROOT, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"no end within {limit:.0f} s") from None
    if ended.returncode != 0:
        lines = ended.stderr.strip().splitlines() or ["no word"]
        raise RuntimeError(f"status {ended.returncode}: {lines[-1]}")
    figures: Figures = json.loads(ended.stdout.splitlines()[-1])
    return figures
