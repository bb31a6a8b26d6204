"""The command line: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from rich.console import Console

from benchmarks.clients.registry import CLIENTS
from benchmarks.report.charts import draw
from benchmarks.report.markdown import fill
from benchmarks.report.results import Results, about
from benchmarks.report.table import print_grid, show
from benchmarks.report.targets import PLACES, needed, target_grid
from benchmarks.runner import Runner
from benchmarks.servers import SERVERS, Absent, Servers
from benchmarks.workloads.measures import MEASURES, Measure, Scale

_WHAT = """Measure Quiver beside its peers and beside a bare aioquic loop, in turns and in fresh
programs. Prints tables and the ratios that are aimed at; saves JSON and charts."""

_BRIEF = ("first", "sessions")  # they take no `--seconds`, and so go beside what takes long


def main() -> None:
    given = _arguments()
    console = Console(width=None if sys.stdout.isatty() else 200)
    if given.show is not None:
        _report(Results.load(given.show), given, console)
        return
    chosen = _chosen(given)
    seconds = given.seconds or (0.3 if given.quick else max(each.seconds for each in chosen))
    scale = Scale(seconds, given.quick)
    rounds = given.rounds or (1 if given.quick else 5)
    results = Results(about(server=given.server, rounds=rounds, seconds=scale.seconds))
    log = Console(stderr=True)
    given.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: it saves as well
    try:
        with Servers(given.server) as servers:
            Runner(servers, scale, chosen, given.clients, log.print).run(rounds, results)
    except KeyboardInterrupt:
        log.print("stopped: what was measured until now")
    finally:
        results.save(given.out / f"{_saved_as(given.server, chosen)}.json")
    _report(results, given, console)
    console.print(f"saved in {given.out}")


def _report(results: Results, given: argparse.Namespace, console: Console) -> None:
    show(results, console)
    for each in PLACES.values():
        targets = target_grid(results, each)
        if targets.rows:
            print_grid(targets, console)
    for document in given.fill:
        fill(document, results)
    if given.charts:
        draw(results, given.out, console.print)


def _chosen(given: argparse.Namespace) -> list[Measure]:
    if given.only is None:
        chosen = [each for each in MEASURES if not each.alone]
    else:
        chosen = [
            each
            for each in MEASURES
            if each.name in given.only or not given.only.isdisjoint(each.along)
        ]
    if not given.targets:
        return chosen
    return [less for each in chosen if (less := needed(each)) is not None]


def _saved_as(server: str, chosen: list[Measure]) -> str:
    alone = [each.name for each in chosen if each.alone]
    return f"{server}-{alone[0]}" if alone else server


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=_WHAT)
    parser.add_argument("--server", choices=SERVERS, default="caddy")
    parser.add_argument("--rounds", type=int, help="5; with --quick 1")
    parser.add_argument(
        "--seconds", type=float, help="of one measurement: 2, of paths 10; with --quick 0.3"
    )
    parser.add_argument("--quick", action="store_true", help="small and short: does it run at all?")
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="MEASURE",
        choices=[each.name for each in MEASURES],
        help=", ".join(each.name for each in MEASURES),
    )
    parser.add_argument(
        "--clients",
        nargs="+",
        metavar="CLIENT",
        choices=[each.name for each in CLIENTS],
        help=", ".join(each.name for each in CLIENTS),
    )
    parser.add_argument("--targets", action="store_true", help="only what the targets need")
    parser.add_argument("--show", type=Path, metavar="JSON", help="saved results: measure nothing")
    parser.add_argument(
        "--fill", type=Path, nargs="+", default=[], metavar="FILE",
        help="write the tables into documents, where `<!-- bench: ... -->` stands",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"), metavar="FOLDER")
    parser.add_argument("--no-charts", dest="charts", action="store_false")
    given = parser.parse_args()
    given.clients = tuple(given.clients) if given.clients else None
    given.only = frozenset(given.only) if given.only else None
    for each in MEASURES:
        if each.alone and each.name in (given.only or ()) and given.only - {each.name, *_BRIEF}:
            parser.error(f"{each.name} is measured by itself, or beside {' and '.join(_BRIEF)}")
    return given


if __name__ == "__main__":
    try:
        main()
    except Absent as missing:
        sys.exit(str(missing))
