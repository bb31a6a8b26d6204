"""Ask through a bad network for minutes, and account for every ask.

    python -m tests.soak [--over all] [--asks 4000000] [--seconds 600] [--csv soak.csv] ...

Over "quic" it is HTTP/3; over "all" HTTP/3, HTTP/2 and HTTP/1.1 at once, with UDP blocked and
opened in turns.

The status is 1 when an ask was lost, answered twice, carried out twice or late, or when something
has grown or was left behind.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.soak.over_all import over_all
from tests.soak.over_quic import over_quic
from tests.soak.report import head, line, table
from tests.soak.run import Plan, soak
from tests.soak.samples import Sample, csv_of
from tests.support.network.conditions import a_seed

ALLOCATOR: Final = {"MALLOC_ARENA_MAX": "2", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
"""For glibc: with many threads its caches fill for many minutes, which is no growth of ours."""


def main() -> int:
    if not ALLOCATOR.keys() <= os.environ.keys():
        os.execve(sys.executable, sys.orig_argv, {**ALLOCATOR, **os.environ})
    given = _arguments().parse_args()
    plan = Plan(
        asks=given.asks,
        seconds=given.seconds,
        callers=given.callers,
        seed=a_seed() if given.seed is None else given.seed,
        timeout=given.timeout,
        period=given.period,
        every=given.every,
    )
    print(head(), flush=True)
    with csv_of(given.csv) as keep:

        def tell(sample: Sample) -> None:
            print(line(sample), flush=True)
            keep(sample)

        with tempfile.TemporaryDirectory() as folder:
            stage = over_all(plan, Path(folder)) if given.over == "all" else over_quic(plan)
            with stage as entered:
                result = soak(plan, entered, tell)
    print(table(result))
    return 1 if result.faults() else 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--over", choices=["quic", "all"], default="quic", help="protocols")
    parser.add_argument("--asks", type=int, default=4_000_000, help="at the most")
    parser.add_argument("--seconds", type=float, default=600.0, help="at the most")
    parser.add_argument("--callers", type=int, default=160, help="half threads, half greenlets")
    parser.add_argument("--seed", type=int, default=None, help="QUIVER_SEED, or any")
    parser.add_argument("--timeout", type=float, default=5.0, help="seconds for one ask")
    parser.add_argument("--period", type=float, default=20.0, help="seconds between restarts")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between samples")
    parser.add_argument("--csv", type=Path, default=os.devnull, help="for the samples")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
