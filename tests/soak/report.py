"""A soak in words: a line for each sample, and the table at the end."""

from __future__ import annotations

from tests.soak.account import ANSWERED, Account
from tests.soak.run import Result
from tests.soak.samples import Sample
from tests.support.memory import MIB

__all__ = ["head", "line", "table"]

_HEAD = (
    *("seconds", "asked", "answered", "errors", "rate", "MiB", "fds", "threads", "greenlets"),
    *("conns", "queued", "network"),
)


def head() -> str:
    """The names of the columns of `line`."""
    return " ".join(f"{name:>9}" for name in _HEAD)


def line(sample: Sample) -> str:
    """One sample."""
    counts = (sample.asked, sample.answered, sample.errors, sample.rate, sample.rss / MIB)
    held = (sample.descriptors, sample.threads, sample.greenlets)
    numbers = (sample.seconds, *counts, *held, sample.connections, sample.queued)
    shown = [
        f"{number:>9,.1f}" if isinstance(number, float) else f"{number:>9,}" for number in numbers
    ]
    return " ".join([*shown, f"{sample.network:>9}"])


def table(result: Result) -> str:
    """What became of the asks, what has grown, and what must not be."""
    account, totals = result.account, result.account.totals()
    rate = totals.asked / result.seconds
    lines = ["", f"{'kind':<20} {'outcome':<18} {'asks':>9}"]
    for kind in result.stage.kinds:
        of_kind = {o: n for (name, o), n in account.outcomes.items() if name == kind.name}
        lines += [f"{kind.name:<20} {o:<18} {of_kind[o]:>9,}" for o in sorted(of_kind, key=_order)]
    lines += [
        "",
        f"asked {totals.asked:,} = answered {totals.answered:,} + named errors {totals.errors:,}",
        f"in {result.seconds:.0f} s: {rate:,.0f} asks per second",
        *_of_versions(account),
        f"late by {account.late:.2f} s at the most",
        f"the loop waited for a core {result.kept:.2f} s of {result.plan.every:g} at the most",
        *map(str, result.growths()),
        f"held before: {result.before}",
        f"held at the end: {result.left}",
        "",
        *(f"FAULT: {fault}" for fault in result.faults()),
        "FAILED" if result.faults() else "nothing was lost",
    ]
    return "\n".join(lines)


def _of_versions(account: Account) -> list[str]:
    if not account.versions:
        return []
    carried = (f"{version} {times:,}" for version, times in sorted(account.versions.items()))
    repeated, again = account.repeated.total(), account.carried_out_again()
    return [
        f"carried out: {', '.join(carried)}",
        f"repeated by RFC 9112 9.3.1: {repeated:,}, of which {again:,} had been carried out",
    ]


def _order(outcome: str) -> tuple[bool, str]:
    return outcome != ANSWERED, outcome
