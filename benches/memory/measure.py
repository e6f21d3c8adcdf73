#!/usr/bin/env python3
"""Resident memory of the gateway over time, while many large transfers pass through it at once: a graph, and every sample as JSON.

    python3 benches/memory/measure.py [--programs DIRECTORY] [--transfers 64] [--mebibytes 1024] [--audit]

The storage and the load client are those of benches/side-by-side. The storage keeps nothing of what is uploaded, and makes sealed content anew
for what is downloaded. Exit status 1 when the peak is over --limit, or a transfer fails.
"""

import argparse
import json
import pathlib
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "side-by-side")]
import chart
from deployment import Deployment
from servers import build, machine

BUCKET = NAME = "memory"
MIB = 1 << 20

AUDIT = """
[audit]
directory = "audit"
key = "file:audit.key"
"""


class Watch:
    """Samples the memory of a program until it is stopped."""

    def __init__(self, program, seconds):
        self.program, self.seconds = program, seconds
        self.started, self.samples, self.spans = time.monotonic(), [], []
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.done.wait(self.seconds):
            self.samples.append((round(time.monotonic() - self.started, 2), round(self.program.resident(), 1)))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def span(self, name, work):
        first = time.monotonic() - self.started
        work()
        self.spans.append((name, round(first, 2), round(time.monotonic() - self.started, 2)))

    def within(self, name):
        _, first, last = next(span for span in self.spans if span[0] == name)
        return sorted(memory for moment, memory in self.samples if first <= moment <= last)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, help="where sealgate, side-by-side-load and side-by-side-store are; else they are built")
    parser.add_argument("--transfers", type=int, default=64)
    parser.add_argument("--mebibytes", type=int, default=1024, help="of each")
    parser.add_argument("--pause", type=float, default=5, help="seconds before, between and after")
    parser.add_argument("--audit", action="store_true", help="with an audit log")
    parser.add_argument("--limit", type=float, default=64, help="MiB")
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "results", help="where memory.svg and memory.json go")
    arguments = parser.parse_args()
    programs = arguments.programs.resolve() if arguments.programs else build()
    count, size = arguments.transfers, arguments.mebibytes * MIB
    down, up = (f"{count} {which} of {arguments.mebibytes} MiB" for which in ("downloads", "uploads"))
    with tempfile.TemporaryDirectory() as place, Deployment(pathlib.Path(place), programs, regenerating=NAME) as deployment:
        if arguments.audit:
            deployment.run(programs / "sealgate", "audit", "keygen", f"{NAME}/gateway", "--output", "audit.key")
        deployment.sealgate(NAME, programs / "sealgate", more=AUDIT if arguments.audit else "")
        program, _ = deployment.proxies[NAME]
        ask = lambda work, prefix, count, connections: deployment.load(
            NAME, work, bucket=BUCKET, prefix=prefix, size=size, part=min(size, 64 * MIB), count=count, connections=connections
        )
        ask("bucket", "", 1, 1)
        with Watch(program, 0.1) as watch:
            watch.span("idle", lambda: time.sleep(arguments.pause))
            ask("multipart", "regenerated/", 1, 1)
            watch.span(down, lambda: ask("get", "regenerated/", count, count))
            time.sleep(arguments.pause)
            watch.span(up, lambda: ask("put", "discard/", count, count))
            watch.span("after", lambda: time.sleep(arguments.pause))
    rows = {name: watch.within(name) for name in ("idle", down, up, "after")}
    print("| | median, MiB | peak, MiB |\n|---|---|---|")
    for name, memory in rows.items():
        print(f"| {name} | {memory[len(memory) // 2]:.1f} | {memory[-1]:.1f} |")
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "memory.json").write_text(json.dumps({
        "machine": machine(), "date": time.strftime("%Y-%m-%d"), "transfers": count, "mebibytes": arguments.mebibytes,
        "spans": watch.spans, "samples": watch.samples,
    }))
    (arguments.output / "memory.svg").write_text(chart.lines(
        "Resident memory of sealgate", "seconds", "MiB", [("sealgate", watch.samples)],
        [span for span in watch.spans if span[0] in (down, up)], (f"target: {arguments.limit:g} MiB", arguments.limit),
    ))
    peak = max(rows[down][-1], rows[up][-1])
    if peak > arguments.limit:
        print(f"the peak is {peak:.1f} MiB, over {arguments.limit:g}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
