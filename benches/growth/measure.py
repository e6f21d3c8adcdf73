#!/usr/bin/env python3
"""How what the gateway costs grows with the size of objects, with listings and with requests: it should not.

    python3 benches/growth/measure.py [--programs DIRECTORY] [--most-gibibytes 50]

CPU for each GB from 1 MiB on, requests to the storage for each object, CPU of a listing by its keys, calls of the key service, the time from start
to listening, and the memory of an idle gateway. The storage and the load client are those of benches/side-by-side. The storage keeps nothing of
what is uploaded, and makes sealed content anew for what is downloaded.
"""

import argparse
import collections
import json
import pathlib
import statistics
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "side-by-side")]
from deployment import Deployment, free_port
from servers import build, machine

BUCKET = NAME = "growth"
MIB, GIB = 1 << 20, 1 << 30
SIZES = [MIB, 16 * MIB, 256 * MIB, 4 * GIB, 50 * GIB]
# S3 takes no more in one PutObject, and the load client holds all of it.
MOST_PUT = GIB
PART = 64 * MIB
KEYS = [1, 10, 100, 300, 1000]
MOST_LISTINGS = 5000

# Probes would be calls of the key service, too.
MORE = """
[limits]
key_service_probe_interval = "24h"

[admin]
address = "127.0.0.1:{port}"
"""


def method_for_objects(line):
    """The method of a request for the objects that are measured or their state; of others, such as looking for commands, None. They come by time."""
    method, target, *_ = line.split()
    return None if "/control/" in target or target.endswith("max-keys=1&prefix=") else method


def named(size):
    return f"{size // GIB} GiB" if size >= GIB else f"{size // MIB} MiB"


class Counters:
    """What is counted of a gateway: CPU, requests that came to the storage, calls of the key service."""

    def __init__(self, gateway, store, admin):
        self.gateway, self.store, self.admin = gateway, store, admin

    def read(self):
        with urllib.request.urlopen(f"{self.admin}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        calls = sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("sealgate_key_service_calls_total"))
        requests = collections.Counter(filter(None, map(method_for_objects, self.store.log.read_text().splitlines())))
        return sum(self.gateway.cpu()), requests, calls

    def during(self, work):
        cpu, requests, calls = self.read()
        result = work()
        cpu_after, requests_after, calls_after = self.read()
        return result, cpu_after - cpu, requests_after - requests, calls_after - calls


class Growth:
    """Everything takes turns, in as many rounds as there are repetitions: what else the machine does meets large and small alike."""

    def __init__(self, deployment, counters, arguments):
        self.deployment, self.counters, self.arguments = deployment, counters, arguments
        most = max(PART, arguments.most_gibibytes * GIB)
        self.sizes = [size for size in SIZES if size <= most]

    def load(self, work, prefix, size, count, keys=1, connections=1):
        """By one connection, unless it is said: four at once have fewer wake-ups for each GB, and the largest objects come alone."""
        return self.deployment.load(
            NAME, work, bucket=BUCKET, prefix=prefix, size=size, part=min(size, PART) or 1, count=count, connections=connections, keys=keys
        )

    def rows(self):
        """Of each row: work, prefix and size."""
        yield from (("put", f"discard/{size}-", size) for size in self.sizes if size <= MOST_PUT)
        # Also what is downloaded below.
        yield from (("multipart", f"regenerated/{size}-", size) for size in self.sizes if size > PART)
        yield from (("get", f"regenerated/{size}-", size) for size in self.sizes)

    def objects(self):
        """CPU for each GB, requests and calls, of every row."""
        for size in self.sizes:
            if size <= PART:
                self.load("put", f"regenerated/{size}-", size, 1)
        samples = collections.defaultdict(list)
        for _ in range(self.arguments.repetitions):
            for work, prefix, size in self.rows():
                count = max(1, int(self.arguments.amount * GIB) // size)
                if work == "multipart":
                    # One after the other: there is one object of each size.
                    count = 1
                result, cpu, requests, calls = self.counters.during(lambda: self.load(work, prefix, size, count))
                each = {method: number / count for method, number in sorted(requests.items())}
                samples[work, size].append({"cpu_seconds_per_gb": cpu / result["bytes"] * 1e9, "requests": each, "key_service_calls": calls})
        print("| work | size | CPU seconds a GB | requests to the storage for each | calls of the key service |\n|---|---|---|---|---|")
        for (work, size), of_row in samples.items():
            cpu = [sample["cpu_seconds_per_gb"] for sample in of_row]
            requests = ", ".join(f"{number:g} {method}" for method, number in of_row[-1]["requests"].items())
            calls = sum(sample["key_service_calls"] for sample in of_row)
            print(f"| {work} | {named(size)} | {statistics.median(cpu):.2f} ({min(cpu):.2f}–{max(cpu):.2f}) | {requests} | {calls:g} |", flush=True)
        return [{"work": work, "size": size, "samples": of_row} for (work, size), of_row in samples.items()]

    def listings(self):
        """CPU of a page by its keys."""
        for keys in KEYS:
            self.load("put", f"list-{keys}/", 1024, keys, keys)
        samples = collections.defaultdict(list)
        for _ in range(self.arguments.repetitions):
            for keys in KEYS:
                count = max(1, min(MOST_LISTINGS, self.arguments.list_keys // keys))
                _, cpu, _, _ = self.counters.during(lambda: self.load("list", f"list-{keys}/", 0, count, connections=4))
                samples[keys].append(cpu / count * 1e3)
        print("\n| keys of a page | CPU ms |\n|---|---|")
        for keys, cpu in samples.items():
            print(f"| {keys} | {statistics.median(cpu):.3f} ({min(cpu):.3f}–{max(cpu):.3f}) |", flush=True)
        return [{"keys": keys, "cpu_ms": cpu} for keys, cpu in samples.items()]


def starts(deployment, program, count):
    """Seconds from start to the line that says that it listens, and the memory a second later; of each start."""
    seconds, memory = [], []
    for number in range(count):
        started = time.monotonic()
        deployment.sealgate(f"start-{number}", program)
        seconds.append(time.monotonic() - started)
        gateway, _ = deployment.proxies[f"start-{number}"]
        time.sleep(1)
        memory.append(gateway.resident())
        gateway.stop()
        deployment.started.remove(gateway)
    return seconds, memory


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=pathlib.Path, help="where sealgate, side-by-side-load and side-by-side-store are; else they are built")
    parser.add_argument("--most-gibibytes", type=int, default=50, help="the largest object")
    parser.add_argument("--amount", type=float, default=1, help="GiB to move for each size, at least")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--list-keys", type=int, default=300_000, help="how many keys are listed for each length of a page")
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--output", type=pathlib.Path, default=HERE / "results", help="where growth.json goes")
    arguments = parser.parse_args()
    programs = arguments.programs.resolve() if arguments.programs else build()
    with tempfile.TemporaryDirectory() as place, Deployment(pathlib.Path(place), programs, regenerating=NAME) as deployment:
        seconds, idle = starts(deployment, programs / "sealgate", arguments.starts)
        print(f"Start to listening: {statistics.median(seconds) * 1e3:.0f} ms (most {max(seconds) * 1e3:.0f}); idle: {statistics.median(idle):.1f} MiB\n")
        port = free_port()
        deployment.sealgate(NAME, programs / "sealgate", more=MORE.format(port=port))
        gateway, _ = deployment.proxies[NAME]
        growth = Growth(deployment, Counters(gateway, deployment.started[0], f"http://127.0.0.1:{port}"), arguments)
        growth.load("bucket", "", 0, 1)
        growth.load("put", "discard/warm-", MIB, 50)
        objects = growth.objects()
        listings = growth.listings()
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "growth.json").write_text(json.dumps({
        "machine": machine(), "date": time.strftime("%Y-%m-%d"), "start_seconds": seconds, "idle_mib": idle, "sizes": objects,
        "listings": listings,
    }, indent=1) + "\n")


if __name__ == "__main__":
    main()
