#!/usr/bin/env python3
"""Measures what proxies cost in front of the same storage in memory: nginx and HAProxy, which pass everything through, and sealgate.

Every repetition asks every proxy the same, one after the other, in an order that changes, and reads from /proc what its processes used.
Builds what it needs of this workspace, unless --programs names a directory with it. README.md says what the columns are.
"""

import argparse
import dataclasses
import datetime
import json
import pathlib
import subprocess
import sys
import tempfile

import report
from deployment import HERE, Deployment, found
from servers import build, machine

KIB, MIB = 1 << 10, 1 << 20


@dataclasses.dataclass(frozen=True)
class Row:
    """Something to ask. `size` is that of the object, `part` of its parts or of a range; what is uploaded is not kept by the storage."""

    name: str
    work: str
    count: int
    connections: int
    size: int = 0
    part: int = 0
    keys: int = 1
    prefix: str = ""
    unit: str = report.PER_GB

    @property
    def is_upload(self):
        return self.work in ("put", "multipart")


ROWS = [
    Row("PUT 1 MiB", "put", 768, 8, size=MIB, keys=64, prefix="discard/1m-"),
    Row("PUT 64 MiB", "put", 16, 4, size=64 * MIB, keys=4, prefix="discard/64m-"),
    Row("multipart 128 MiB, 8 MiB parts", "multipart", 8, 4, size=128 * MIB, part=8 * MIB, prefix="discard/parts-"),
    Row("GET 1 MiB", "get", 1024, 8, size=MIB, keys=16, prefix="1m-"),
    Row("GET 64 MiB", "get", 16, 4, size=64 * MIB, prefix="64m-"),
    Row("GET 4 KiB", "get", 8000, 8, size=4 * KIB, keys=64, prefix="4k-", unit=report.PER_REQUEST),
    Row("PUT 4 KiB", "put", 8000, 8, size=4 * KIB, keys=64, prefix="discard/4k-", unit=report.PER_REQUEST),
    Row("HEAD 4 KiB", "head", 8000, 8, size=4 * KIB, keys=64, prefix="4k-", unit=report.PER_REQUEST),
    Row("range 64 KiB of 64 MiB", "range", 4000, 8, size=64 * MIB, part=64 * KIB, prefix="64m-", unit=report.PER_REQUEST),
    Row("list 300 keys", "list", 5000, 8, prefix="list/", unit=report.PER_REQUEST),
]

# Asked once, for the memory alone.
CROWDS = [
    Row("64 GET of 64 MiB at once", "get", 64, 64, size=64 * MIB, prefix="64m-", unit=report.MEMORY),
    Row("64 PUT of 64 MiB at once", "put", 64, 64, size=64 * MIB, keys=64, prefix="discard/crowd-", unit=report.MEMORY),
]


@dataclasses.dataclass(frozen=True)
class Column:
    name: str
    proxy: str
    payload: str = "unsigned"

    def has(self, row):
        """Other payloads are of interest where something is uploaded in bulk."""
        return self.payload == "unsigned" or row.is_upload and row.unit == report.PER_GB


COLUMNS = {
    column.name: column
    for column in [
        Column("nginx", "nginx"),
        Column("haproxy", "haproxy"),
        Column("sealgate", "sealgate"),
        Column("sealgate-signed", "sealgate", "signed"),
        Column("sealgate-crc64nvme", "sealgate", "crc64nvme"),
        Column("sealgate-crc32c", "sealgate", "crc32c"),
        Column("nginx-tls", "nginx-tls"),
        Column("haproxy-tls", "haproxy-tls"),
        Column("sealgate-tls", "sealgate-tls"),
    ]
}


class Measurement:
    def __init__(self, deployment, columns, rows, crowds=()):
        self.deployment, self.columns, self.rows, self.crowds = deployment, columns, rows, crowds
        self.samples = {row.name: {column.name: [] for column in columns if column.has(row)} for row in [*rows, *crowds]}

    def load(self, column, row, *options, count=None):
        # Each has a bucket of its own: what one gateway sealed, another one opens only if it is of the same deployment.
        return self.deployment.load(
            column.proxy, row.work, *options, bucket=f"bucket-{column.proxy}", prefix=row.prefix, keys=row.keys, size=row.size,
            part=row.part or row.size or 1, payload=column.payload, count=count or row.count, connections=row.connections,
        )

    def reads(self, prefix):
        return any(row.prefix == prefix for row in [*self.rows, *self.crowds])

    def prepare(self):
        """Stores what is downloaded later, and compares it: whoever breaks content is not measured."""
        for column in self.columns:
            if column.payload != "unsigned":
                continue
            self.load(column, Row("bucket", "bucket", 1, 1))
            for name, size, keys in (("1m-", MIB, 16), ("64m-", 64 * MIB, 1), ("4k-", 4 * KIB, 64), ("list/", 4 * KIB, 300)):
                if not self.reads(name):
                    continue
                self.load(column, Row("stores", "put", keys, 4, size=size, keys=keys, prefix=name))
                self.load(column, Row("compares", "get", keys, 4, size=size, keys=keys, prefix=name), "--verify")
            if self.reads("64m-"):
                self.load(column, Row("compares", "range", 64, 4, size=64 * MIB, part=64 * KIB, prefix="64m-"), "--verify")
        for column in self.columns:
            if column.payload != "unsigned":
                self.load(column, Row("stores", "put", 4, 4, size=MIB, keys=4, prefix=f"{column.payload}-"))
                plain = dataclasses.replace(column, payload="unsigned")
                self.load(plain, Row("compares", "get", 4, 4, size=MIB, keys=4, prefix=f"{column.payload}-"), "--verify")

    def sample(self, column, row):
        program, _ = self.deployment.proxies[column.proxy]
        program.forget_peak()
        before = program.cpu()
        result = self.load(column, row)
        user, kernel = (after - start for after, start in zip(program.cpu(), before))
        self.samples[row.name][column.name].append({**result, "user": user, "kernel": kernel, "peak": program.peak()})

    def repeat(self, repetitions):
        for number in range(repetitions + 1):
            for row in self.rows:
                columns = [column for column in self.columns if column.has(row)]
                turn = number % len(columns)
                for column in columns[turn:] + columns[:turn]:
                    if number == 0:
                        # Warms up: connections, working keys, memory.
                        self.load(column, row, count=max(row.connections, row.count // 10))
                    else:
                        self.sample(column, row)
            print(f"repetition {number} of {repetitions}" if number else "warm", file=sys.stderr, flush=True)
        for row in self.crowds:
            for column in self.columns:
                if column.has(row):
                    self.sample(column, row)


def version(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    return (done.stdout or done.stderr).splitlines()[0].strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, help="where sealgate, side-by-side-load and side-by-side-store are; else they are built")
    parser.add_argument("--sealgate", type=pathlib.Path, help="the gateway to measure, if it is not in --programs")
    parser.add_argument("--columns", default="nginx,haproxy,sealgate", help=f"of {', '.join(COLUMNS)}; or all (default: %(default)s)")
    parser.add_argument("--compare", action="append", default=[], metavar="NAME=PROGRAM", help="one more column: another build of sealgate")
    parser.add_argument("--rclone", type=pathlib.Path, metavar="PROGRAM", help="one more column: rclone serve s3 over a crypt remote")
    parser.add_argument("--rows", default="", help="only those whose name contains one of these, separated by commas")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1.0, help="requests in each repetition, as a factor")
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "results", help="where table.md, results.json and plot.svg go")
    arguments = parser.parse_args()

    programs = arguments.programs.resolve() if arguments.programs else build()
    names = list(COLUMNS) if arguments.columns == "all" else arguments.columns.split(",")
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        parser.error(f"unknown columns: {', '.join(unknown)}")
    columns = [COLUMNS[name] for name in names]
    others = dict(pair.split("=", 1) for pair in arguments.compare)
    columns += [Column(name, name) for name in others]
    if arguments.rclone:
        columns.append(Column("rclone", "rclone"))
    chosen = [part.strip().lower() for part in arguments.rows.split(",") if part.strip()]
    rows = [
        dataclasses.replace(row, count=max(row.connections, int(row.count * arguments.scale)))
        for row in ROWS
        if not chosen or any(part in row.name.lower() for part in chosen)
    ]
    crowds = [row for row in CROWDS if not chosen or any(part in row.name.lower() for part in chosen)]
    needed = {column.proxy for column in columns}
    sealgate = (arguments.sealgate or programs / "sealgate").resolve()
    with tempfile.TemporaryDirectory(prefix="side-by-side-") as place, Deployment(pathlib.Path(place), programs) as deployment:
        versions = {}
        if needed & {"nginx", "nginx-tls"}:
            deployment.nginx()
            versions["nginx"] = version(found("nginx"), "-v")
        if needed & {"haproxy", "haproxy-tls"}:
            deployment.haproxy()
            versions["haproxy"] = version(found("haproxy"), "-v")
        for name in ("sealgate", "sealgate-tls"):
            if name in needed:
                deployment.sealgate(name, sealgate, tls=name.endswith("-tls"))
                versions["sealgate"] = version(sealgate, "--version")
        for name, program in others.items():
            deployment.sealgate(name, pathlib.Path(program).resolve(), tls=False)
        if arguments.rclone:
            rclone = arguments.rclone.resolve()
            deployment.rclone(rclone)
            versions["rclone"] = version(rclone, "version")
        measurement = Measurement(deployment, columns, rows, crowds)
        measurement.prepare()
        measurement.repeat(arguments.repetitions)

    results = {
        "date": datetime.date.today().isoformat(), "machine": machine(), "versions": versions, "repetitions": arguments.repetitions,
        "columns": [column.name for column in columns],
        "rows": [
            {**dataclasses.asdict(row), "samples": measurement.samples[row.name]} for row in [*rows, *crowds]
        ],
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (arguments.output / "table.md").write_text(report.markdown(results))
    (arguments.output / "plot.svg").write_text(report.plot(results))
    print(report.markdown(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
