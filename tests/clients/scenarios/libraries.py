"""Libraries of Python: each has an environment of its own, and a program in programs/ that uses it."""

import os
import pathlib

from ..client import Client
from ..inspection import connect

PROGRAMS = pathlib.Path(__file__).resolve().parent.parent / "programs"


def library(name, version, requirements, program, buckets=()):
    """A client whose scenario is one of the programs. Without requirements, it is in the frame's own environment.

    Buckets that it can't make itself are made for it.
    """

    def install(cache):
        if requirements:
            return cache.python(name, *requirements)
        return pathlib.Path(os.environ["SEALGATE_TEST_VENV"], "bin", "python")

    def scenario(session):
        for bucket in buckets:
            connect(session.endpoint).create_bucket(Bucket=session.bucket(bucket))
        session.run_program(session.tool, "-B", PROGRAMS / program)

    return Client(name, version, install, scenario)


CLIENTS = [
    # tests/requirements.txt names its version, and awscrt's for the checksums that botocore can't compute by itself.
    library("boto3", "1.44.5", [], "boto3_program.py"),
    library("minio-py", "7.2.20", ["minio==7.2.20"], "minio_program.py"),
    library("s3fs", "2026.9.0", ["s3fs==2026.9.0"], "s3fs_program.py"),
    library("pyarrow", "26.0.1", ["pyarrow==26.0.1"], "pyarrow_program.py"),
    library("duckdb", "1.5.5", ["duckdb==1.5.5", "duckdb-extension-httpfs==1.5.5"], "duckdb_program.py", ["tables"]),
]
