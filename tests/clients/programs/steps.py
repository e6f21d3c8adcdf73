"""What programs in Python use to report to the frame, as `Session.run_program` reads it."""

import contextlib
import hashlib
import os
import traceback

ENDPOINT = os.environ["S3_ENDPOINT"]
CA_FILE = os.environ.get("S3_CA_FILE")
BASE_DOMAIN = os.environ["S3_BASE_DOMAIN"]
PREFIX = os.environ["BUCKET_PREFIX"]
CANARY = os.environ["CANARY"]
ACCESS_KEY_ID = os.environ["AWS_ACCESS_KEY_ID"]
SECRET_ACCESS_KEY = os.environ["AWS_SECRET_ACCESS_KEY"]
REGION = os.environ["AWS_REGION"]


@contextlib.contextmanager
def step(name):
    """One line of the report. What it raises is the failure; the program goes on."""
    try:
        yield
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[1:] or traceback.extract_tb(error.__traceback__)
        reason = f"{type(error).__name__}: {error} (line {where[0].lineno})"
        print("fail", name, " ".join(reason.split()), sep="\t", flush=True)
    else:
        print("ok", name, sep="\t", flush=True)


def text(seed, size):
    """Numbered lines with the canary, exactly `size` bytes."""
    line = f"{CANARY} {seed} {{:08d}}\n"
    return "".join(map(line.format, range(size // len(line.format(0)) + 1))).encode()[:size]


def stored(bucket, key, body):
    """Declares what the gateway must return under a key: bytes."""
    print("object", bucket, key, len(body), hashlib.sha256(body).hexdigest(), sep="\t", flush=True)


def gone(bucket, key):
    """Declares that a key is no more."""
    print("gone", bucket, key, sep="\t", flush=True)


def equal(actual, expected, what):
    """Fails unless both are the same."""
    if actual != expected:
        if isinstance(actual, bytes) and isinstance(expected, bytes):
            raise AssertionError(f"{what}: {len(actual)} bytes that differ from the {len(expected)} expected")
        raise AssertionError(f"{what} is {str(actual)[:400]}, expected {str(expected)[:400]}")
