"""Runs versitygw's client suite against MinIO and versitygw's POSIX server, each bare and through the gateway.

    python -m versitygw --versitygw FILE --minio FILE --programs DIR [--report FILE] [--only TEXT …] [--upstream NAME]
                        [--recorded | --record | --all]

A case that passes bare and fails through is lost: the exit status is 1 where one is lost that differences.py does not
declare, or where a declared one passes or fails for another reason. Run in the directory that holds this package, with
boto3 installed; --programs names the directory of the gateway's and the key server's binaries.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import signal
import sys
import threading
import time

from . import cases, differences
from .comparison import compare
from .targets import UPSTREAMS, close_all

HERE = pathlib.Path(__file__).parent


@dataclasses.dataclass
class Programs:
    """Where the binaries are."""

    versitygw: pathlib.Path
    minio: pathlib.Path
    directory: pathlib.Path

    def own(self, name):
        return self.directory / name


def recorded(upstream):
    """The file that names the cases which pass against this storage, bare."""
    return HERE / "passing" / f"{upstream}.txt"


def arguments():
    parser = argparse.ArgumentParser(
        prog="versitygw", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--versitygw", required=True, type=pathlib.Path)
    parser.add_argument("--minio", required=True, type=pathlib.Path)
    parser.add_argument("--programs", required=True, type=pathlib.Path)
    parser.add_argument("--report", type=pathlib.Path, help="a file for everything that the run came to, as JSON")
    parser.add_argument("--only", action="append", default=[], help="cases whose name contains this text")
    parser.add_argument("--upstream", choices=UPSTREAMS, action="append", help="this storage only")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--recorded",
        action="store_true",
        help="the cases that are recorded to pass bare, through the gateway only: a quarter of the time",
    )
    mode.add_argument("--record", action="store_true", help="record which cases pass bare")
    mode.add_argument("--all", action="store_true", help="through the gateway also what fails bare")
    return parser.parse_args()


def end_early(number, _):
    """Servers live in process groups of their own, so that a signal to ours does not reach them."""
    close_all()
    os._exit(128 + number)


def main():
    options = arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_early)
    programs = Programs(options.versitygw.resolve(), options.minio.resolve(), options.programs.resolve())
    names = [
        name
        for name in cases.names(programs.versitygw)
        if not options.only or any(text in name for text in options.only)
    ]
    started = time.monotonic()
    lock = threading.Lock()

    def said(line):
        with lock:
            print(f"{time.monotonic() - started:6.0f} s  {line}", flush=True)

    comparisons = {}
    failures = []

    def run(upstream):
        try:
            passing = set(recorded(upstream).read_text(encoding="utf-8").split()) if options.recorded else set()
            chosen = [name for name in names if name in passing] if options.recorded else names
            comparisons[upstream] = compare(programs, upstream, chosen, options.all, passing, said)
        except Exception as error:  # told below, when the other storage is done
            failures.append(f"{upstream}: {error}")

    upstreams = options.upstream or UPSTREAMS
    threads = [threading.Thread(target=run, args=(upstream,)) for upstream in upstreams]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ordered = [comparisons[upstream] for upstream in upstreams if upstream in comparisons]
    if options.report:
        options.report.write_text(json.dumps([dataclasses.asdict(one) for one in ordered], indent=1), encoding="utf-8")
    if options.record and not options.only:
        for one in ordered:
            passed = sorted(name for name, outcome in one.bare.items() if outcome.passed and name not in one.flaky)
            recorded(one.upstream).parent.mkdir(exist_ok=True)
            recorded(one.upstream).write_text("".join(f"{name}\n" for name in passed), encoding="utf-8")
    summary(ordered)
    for failure in failures:
        print(f"\nthe run broke off: {failure}")
    ran = sum(len(one.through) for one in ordered)
    failed = sum(len(one.lost) + len(one.otherwise) + len(one.stale) for one in ordered) + len(failures)
    # What ./test counts.
    print(f"\n{ran + len(failures)} cases, {failed} failed")
    return 1 if failed or not ran else 0


def summary(comparisons):
    """Tables of what was lost, and of the figures."""
    for one in comparisons:
        for name in one.lost:
            print(f"\nlost with {one.upstream}: {name}\n    {one.through[name].reason()}")
        for name, how in one.otherwise.items():
            print(f"\ndeclared with {one.upstream}, but it fails otherwise: {name}\n    {how}")
        for name in one.stale:
            print(f"\ndeclared with {one.upstream}, but it passes: {name}")
        for name, where in one.flaky.items():
            print(f"\nflaky with {one.upstream}, {where}: {name}\n    {one.through[name].reason()}")
        for name in one.open:
            print(f"\nopen with {one.upstream}: {name}\n    {one.through[name].reason()}")
        for name in one.mended:
            print(f"\nmended with {one.upstream}, take it out of differences.OPEN: {name}")
        for name in one.declared:
            print(f"\ndeclared with {one.upstream}: {name}\n    {differences.declared(one.upstream)[name].reason}")
    columns = "{:<8} {:>12} {:>12} {:>15} {:>15} {:>6} {:>6} {:>9} {:>9} {:>6} {:>6} {:>8}"
    heads = ["storage", "bare passed", "bare failed", "through passed", "through failed"]
    print("\n" + columns.format(*heads, "lost", "open", "declared", "otherwise", "stale", "flaky", "seconds"))
    for one in comparisons:
        counts = []
        for outcomes in (one.bare, one.through):
            passed = sum(outcome.passed for outcome in outcomes.values())
            counts += [passed, len(outcomes) - passed]
        row = [*counts, len(one.lost), len(one.open), len(one.declared), len(one.otherwise), len(one.stale), len(one.flaky), round(one.seconds)]
        print(columns.format(one.upstream, *row))


if __name__ == "__main__":
    sys.exit(main())
