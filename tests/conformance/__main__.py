"""Runs the suite against one endpoint and writes what every case came to as JSON.

    python -m conformance --endpoint URL --store minio|devstore [--sealed] [--only TEXT] --report FILE

Credentials come from where boto3 looks for them. `--sealed` says that the endpoint is the gateway: then the declared
differences (differences.py) apply, and only they. Run in the directory that holds this package. The exit status is 0
when the suite ran to its end; which failures are defects is for the caller to judge, who can compare endpoints.
"""

import argparse
import json
import sys
import time

from . import (  # importing a module registers its cases
    addressing,
    attributes,
    buckets,
    checksums,
    conditions,
    copies,
    deletes,
    forms,
    keys,
    labels,
    listings,
    locks,
    multipart,
    objects,
    parts,
    precedence,
    presigned,
    ranges,
    surface,
    tagging,
    versions,
)
from .suite import Target, cases


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--store", required=True, choices=["minio", "devstore"])
    parser.add_argument("--sealed", action="store_true")
    parser.add_argument("--only", default="", help="cases whose name contains this text")
    parser.add_argument("--report", required=True)
    options = parser.parse_args()

    target = Target(options.endpoint, options.store, options.sealed)
    results = []
    for name, check in cases(options.only):
        started = time.monotonic()
        failure = target.run(check)
        seconds = round(time.monotonic() - started, 3)
        results.append({"name": name, "failure": failure, "seconds": seconds})
        print(f"{'ok  ' if failure is None else 'FAIL'} {name}{'' if failure is None else ': ' + failure}", flush=True)
    with open(options.report, "w", encoding="utf-8") as file:
        report = {"missing": target.missing, "mended": target.mended, "unsteady": target.unsteady}
        json.dump({"results": results, **report}, file)
    failed = sum(result["failure"] is not None for result in results)
    print(f"{len(results)} cases, {failed} failed")
    return 0 if results else 1


if __name__ == "__main__":
    sys.exit(main())
