#!/usr/bin/env python3
"""Shows where the gateway spends its time in one of measure.py's rows: the functions that take the most CPU, in user space and in the kernel.

Needs `perf` (Debian: linux-perf), and the right to look into the kernel (root, or kernel.perf_event_paranoid at most 1).
"""

import argparse
import collections
import dataclasses
import pathlib
import re
import subprocess
import sys
import tempfile

import measure
from deployment import Deployment
from servers import build


def stacks(text):
    """Each sample's functions, the running one first, of the output of `perf script`."""
    for block in text.split("\n\n"):
        functions = []
        for line in block.splitlines()[1:]:
            found = re.match(r"\s+[0-9a-f]+ (.*) \((.*)\)$", line)
            if found:
                functions.append((re.sub(r"(::h[0-9a-f]{16})?\+0x[0-9a-f]+$", "", found[1]), found[2]))
        if functions:
            yield functions


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", help="a part of the row's name: \"GET 64\"")
    parser.add_argument("--programs", type=pathlib.Path, help="as in measure.py; a build with symbols (strip=false) says more")
    parser.add_argument("--sealgate", type=pathlib.Path)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--lines", type=int, default=30)
    parser.add_argument("--folded", type=pathlib.Path, help="where to write folded stacks, for a flame graph")
    arguments = parser.parse_args()
    programs = arguments.programs.resolve() if arguments.programs else build()
    row = next((row for row in measure.ROWS if arguments.row.lower() in row.name.lower()), None)
    if not row:
        parser.error(f"no such row: {', '.join(row.name for row in measure.ROWS)}")
    name = "sealgate-tls" if arguments.tls else "sealgate"
    column = measure.COLUMNS[name]
    with tempfile.TemporaryDirectory(prefix="side-by-side-") as place, Deployment(pathlib.Path(place), programs) as deployment:
        deployment.sealgate(name, (arguments.sealgate or programs / "sealgate").resolve(), tls=arguments.tls)
        gateway, _ = deployment.proxies[name]
        measurement = measure.Measurement(deployment, [column], [row])
        measurement.prepare()
        trial = measurement.load(column, row)
        wanted = dataclasses.replace(row, count=max(row.connections, int(row.count * (arguments.seconds + 4) / trial["seconds"])))
        recorded = deployment.place / "perf.data"
        perf = subprocess.Popen(
            ["perf", "record", "-q", "-F", "499", "-g", "--call-graph", "fp", "-p", str(gateway.pids[0]), "-o", recorded, "--", "sleep",
             str(arguments.seconds)]
        )
        measurement.load(column, wanted)
        perf.wait()
        script = subprocess.run(["perf", "script", "-i", recorded], check=True, capture_output=True, text=True, errors="replace").stdout

    own, kernel, folded, total = collections.Counter(), 0, collections.Counter(), 0
    for functions in stacks(script):
        total += 1
        is_kernel = functions[0][1].startswith("[kernel") or functions[0][1].startswith("[guest")
        kernel += is_kernel
        own[("kernel" if is_kernel else "user", functions[0][0])] += 1
        folded[";".join(function for function, _ in reversed(functions))] += 1
    if not total:
        raise SystemExit("perf has seen nothing")
    print(f"{row.name}: {total} samples, {kernel / total:.0%} of them in the kernel\n\n| share | where | function |\n|---|---|---|")
    for (where, function), count in own.most_common(arguments.lines):
        print(f"| {count / total:.1%} | {where} | `{function}` |")
    if arguments.folded:
        arguments.folded.write_text("".join(f"{stack} {count}\n" for stack, count in folded.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
