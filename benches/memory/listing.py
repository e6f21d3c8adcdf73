"""CPU and resident memory of a running gateway while an SDK lists a large bucket through it, page by page.

    python benches/memory/listing.py --endpoint URL --pid PID [--keys 100000] [--rounds 5] [--workers 4]

Credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. The bucket `listing-measurement` is filled with empty objects through the
gateway where it does not hold them yet (a few minutes for 100,000) and is kept for the next run; --remove takes it away at the end. Then it is
listed --rounds times in pages of 1,000 keys with ListObjectsV2 while /proc/PID is sampled. Prints a Markdown table and exits 1 when a page
costs more than --milliseconds of CPU, when resident memory grows by more than --growth MiB from the first round to the last, or when a key is
missing, twice, or of another size than was uploaded. Needs boto3, and Linux for /proc.
"""

import argparse
import concurrent.futures
import multiprocessing
import os
import statistics
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

BUCKET = "listing-measurement"
PAGE = 1_000
TICKS = os.sysconf("SC_CLK_TCK")


def client(endpoint):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            max_pool_connections=16,
            retries={"max_attempts": 1},
        ),
    )


def key_of(number):
    return f"photographs/{number // 1_000:04}/photograph-of-something-{number:07}.jpeg"


def upload(arguments):
    endpoint, numbers = arguments
    s3 = client(endpoint)

    def put(number):
        s3.put_object(Bucket=BUCKET, Key=key_of(number), Body=b"")

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for _ in threads.map(put, numbers):
            pass
    return len(numbers)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(pid):
    with open(f"/proc/{pid}/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def pages(s3):
    return s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, PaginationConfig={"PageSize": PAGE})


def fill(s3, endpoint, keys, workers):
    """Uploads what is missing; a run that was interrupted goes on."""
    there = {entry["Key"] for page in pages(s3) for entry in page.get("Contents", [])}
    missing = [number for number in range(keys) if key_of(number) not in there]
    pieces = [(endpoint, missing[start : start + PAGE]) for start in range(0, len(missing), PAGE)]
    done = 0
    with multiprocessing.Pool(workers) as pool:
        for count in pool.imap_unordered(upload, pieces):
            done += count
            print(f"\ruploaded {done} of {len(missing)}", end="", file=sys.stderr, flush=True)
    if missing:
        print(file=sys.stderr)


def remove(s3):
    for page in pages(s3):
        names = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
        if names:
            s3.delete_objects(Bucket=BUCKET, Delete={"Objects": names, "Quiet": True})
    s3.delete_bucket(Bucket=BUCKET)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=4, help="processes that upload")
    parser.add_argument("--milliseconds", type=float, default=2.0, help="CPU for 1,000 keys")
    parser.add_argument("--growth", type=float, default=4.0, help="MiB")
    parser.add_argument("--remove", action="store_true", help="remove the bucket at the end")
    arguments = parser.parse_args()

    s3 = client(arguments.endpoint)
    try:
        s3.create_bucket(Bucket=BUCKET)
    except ClientError as error:
        if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
            raise
    fill(s3, arguments.endpoint, arguments.keys, arguments.workers)

    expected = [key_of(number) for number in range(arguments.keys)]
    failures, rows = [], []
    for number in range(arguments.rounds):
        found, peak, count = [], 0, 0
        before, started = cpu_seconds(arguments.pid), time.monotonic()
        for page in pages(s3):
            count += 1
            peak = max(peak, resident(arguments.pid))
            for entry in page.get("Contents", []):
                found.append(entry["Key"])
                if entry["Size"] != 0:
                    failures.append(f"{entry['Key']} is listed with {entry['Size']} bytes")
        seconds = time.monotonic() - started
        milliseconds = (cpu_seconds(arguments.pid) - before) * 1_000 / (len(found) / PAGE)
        rows.append((milliseconds, peak))
        if found != expected:
            failures.append(f"round {number}: {len(found)} keys are listed, not exactly the {len(expected)} that were uploaded, in order")
        if number == 0:
            print("| round | keys | pages | CPU for 1,000 keys | peak memory | seconds |")
            print("|---|---|---|---|---|---|")
        print(f"| {number} | {len(found)} | {count} | {milliseconds:.2f} ms | {peak / (1 << 20):.1f} MiB | {seconds:.1f} |", flush=True)
    if arguments.remove:
        remove(s3)

    # The first round also makes the connections.
    median = statistics.median(milliseconds for milliseconds, _ in rows[1:] or rows)
    if median > arguments.milliseconds:
        failures.append(f"1,000 keys cost {median:.2f} ms of CPU in the median round, over {arguments.milliseconds}")
    growth = (rows[-1][1] - rows[0][1]) / (1 << 20)
    if growth > arguments.growth:
        failures.append(f"resident memory grew by {growth:.1f} MiB, over {arguments.growth}")
    for failure in failures[:20]:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
