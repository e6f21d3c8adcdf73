"""The command line: vectors, mutate, file, object."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .bodies import StreamBody
from .cases import VectorError
from .errors import InvalidConfiguration, KeyUnavailable, SealgateError, during
from .files import DOMAIN as FILE_DOMAIN
from .files import open_file
from .header import OpenedHeader, open_header, parse_s3_values
from .keys import OneWorkingKey, WorkingKeys
from .local_key import parse_key_file
from .mutations import mutate_directory
from .objects import Reader
from .output import write_plaintext
from .vectors import check_directory

DEFAULT_REGION = "us-east-1"


def _client(
    service: str, endpoint: str | None, region: str, access_key: str | None = None, secret: str | None = None
) -> Any:
    import boto3  # only for the commands that talk to servers
    from botocore.config import Config

    config = Config(connect_timeout=5, read_timeout=60, retries={"max_attempts": 3}, s3={"addressing_style": "path"})
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        config=config,
    )


def _kms_keys(arguments: argparse.Namespace) -> WorkingKeys:
    from .kms import KmsWorkingKeys, list_key_arns

    client = _client(
        "kms",
        arguments.kms_endpoint,
        arguments.region,
        os.environ.get("SEALGATE_KMS_ACCESS_KEY_ID"),
        os.environ.get("SEALGATE_KMS_SECRET_ACCESS_KEY"),
    )
    return KmsWorkingKeys(client, arguments.kms_key or list_key_arns(client))


def _working_keys(arguments: argparse.Namespace) -> WorkingKeys:
    if arguments.working_key_hex is not None:
        try:
            return OneWorkingKey(bytes.fromhex(arguments.working_key_hex))
        except ValueError as error:
            raise InvalidConfiguration("--working-key-hex is not hexadecimal") from error
    if arguments.local_key_file is not None:
        try:
            return parse_key_file(arguments.local_key_file.read_bytes().decode("ascii"))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidConfiguration(f"{arguments.local_key_file} is no local key file: {error}") from error
    if arguments.kms_endpoint is not None or arguments.kms_key:
        return _kms_keys(arguments)
    raise KeyUnavailable("name a key: --working-key-hex, --local-key-file, or --kms-endpoint and --kms-key")


def _range(text: str) -> tuple[int, int]:
    first, separator, last = text.partition("-")
    if not separator or not (first.isdecimal() and last.isdecimal()):
        raise argparse.ArgumentTypeError("a range is FIRST-LAST, both included")
    return int(first), int(last)


def _plaintext(reader: Reader, wanted: tuple[int, int] | None) -> Iterator[bytes]:
    return reader.whole() if wanted is None else reader.range(*wanted)


def _report(arguments: argparse.Namespace, opened: OpenedHeader, reader: Reader, written: int) -> None:
    header = opened.header
    summary = {
        "suite": header.suite,
        "flags": header.flags,
        "created": header.created,
        "object_id": header.object_id.hex(),
        "wk_id": header.wk_id.hex(),
        "plaintext_length": reader.plaintext_length,
        "written": written,
        "parts": None if reader.record is None else [[part.number, part.length] for part in reader.record.parts],
        "metadata": {name: value.decode("utf-8", "backslashreplace") for name, value in opened.metadata.items()},
    }
    stream = sys.stdout if arguments.output is not None else sys.stderr
    if arguments.json:
        print(json.dumps(summary), file=stream)
    else:
        print(
            f"{written} of {reader.plaintext_length} bytes written, suite {header.suite}, flags {header.flags}",
            file=stream,
        )


def _run_file(arguments: argparse.Namespace) -> int:
    keys = _working_keys(arguments)
    with arguments.path.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        opened, reader = open_file(StreamBody(stream, 0, stream.tell()), keys, arguments.domain)
        written = write_plaintext(_plaintext(reader, arguments.range), arguments.output)
    _report(arguments, opened, reader, written)
    return 0


def _run_object(arguments: argparse.Namespace) -> int:
    from .kms import RegistryWorkingKeys
    from .storage import StoredObject, fetch_record

    storage = _client("s3", arguments.endpoint, arguments.region)
    keys = _working_keys(arguments)
    if arguments.state_bucket is not None:
        keys = RegistryWorkingKeys(keys, lambda name: fetch_record(storage, arguments.state_bucket, name))
    stored = StoredObject(storage, arguments.bucket, arguments.key)
    with during("header"):
        opened = open_header(parse_s3_values(stored.header_values), keys, arguments.domain, arguments.key)
    reader = Reader(opened, stored)
    written = write_plaintext(_plaintext(reader, arguments.range), arguments.output)
    _report(arguments, opened, reader, written)
    return 0


def _run_vectors(arguments: argparse.Namespace) -> int:
    summary = check_directory(arguments.directory)
    for mismatch in summary.mismatches:
        print(f"MISMATCH {mismatch}", file=sys.stderr)
    if arguments.verbose:
        for note in summary.stage_notes:
            print(f"stage {note}", file=sys.stderr)
    if arguments.json:
        document = {
            "checked": summary.checked,
            "opens": dict(summary.opened),
            "fails": dict(summary.refused),
            "mismatches": summary.mismatches,
            "stage_notes": summary.stage_notes,
        }
        print(json.dumps(document))
    else:
        print(summary.line())
    return 1 if summary.mismatches or not summary.checked else 0


def _run_mutate(arguments: argparse.Namespace) -> int:
    summary = mutate_directory(arguments.directory, arguments.seed)
    for failure in summary.failures:
        print(f"FAILURE {failure}", file=sys.stderr)
    if arguments.json:
        document = {"vectors": summary.vectors, "tried": summary.tried, "failures": summary.failures}
        print(json.dumps(document))
    else:
        print(summary.line())
    return 1 if summary.failures or not summary.tried else 0


def _add_reading_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--working-key-hex", metavar="HEX", help="the working key itself, 64 hexadecimal digits")
    parser.add_argument(
        "--local-key-file", type=Path, metavar="PATH", help="a local key file that made one of the wraps"
    )
    parser.add_argument("--kms-endpoint", metavar="URL", help="an AWS KMS-compatible key server")
    parser.add_argument(
        "--kms-key",
        action="append",
        metavar="ARN",
        help="a key to unwrap with; all keys the server lists if none is named",
    )
    parser.add_argument(
        "--region", default=os.environ.get("AWS_REGION", DEFAULT_REGION), help="region of storage and key server"
    )
    parser.add_argument(
        "--range", type=_range, metavar="FIRST-LAST", help="only these bytes of plaintext, both included"
    )
    parser.add_argument(
        "--output", type=Path, metavar="PATH", help="a file for the plaintext; standard output if none is named"
    )
    parser.add_argument("--json", action="store_true", help="the summary as JSON")


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(prog="sealgate_reader", description="The second reader of the sealgate format.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    vectors = commands.add_parser("vectors", help="open all good vectors of a directory, refuse all bad ones")
    vectors.add_argument("directory", type=Path)
    vectors.add_argument("--verbose", action="store_true", help="name vectors refused at another stage than they say")
    vectors.add_argument("--json", action="store_true", help="the summary as JSON")
    vectors.set_defaults(run=_run_vectors)

    mutate = commands.add_parser("mutate", help="alter good vectors at random; all must be refused")
    mutate.add_argument("directory", type=Path)
    mutate.add_argument("seed", help="any text; the same seed gives the same mutations")
    mutate.add_argument("--json", action="store_true", help="the summary as JSON")
    mutate.set_defaults(run=_run_mutate)

    file = commands.add_parser("file", help="open a sealed file")
    file.add_argument("path", type=Path)
    file.add_argument("--domain", default=FILE_DOMAIN)
    _add_reading_options(file)
    file.set_defaults(run=_run_file)

    stored = commands.add_parser("object", help="open an object fetched straight from an S3 storage")
    stored.add_argument("--endpoint", required=True, metavar="URL", help="the storage, not the gateway")
    stored.add_argument("--bucket", required=True)
    stored.add_argument("--key", required=True)
    stored.add_argument("--domain", required=True, help="of gateway objects: <deployment id>/<bucket>")
    stored.add_argument("--state-bucket", metavar="BUCKET", help="where registry/ holds further wraps")
    _add_reading_options(stored)
    stored.set_defaults(run=_run_object)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. 0 is success, 1 a refusal or a mismatch, 2 a wrong command line."""
    parsed = build_parser().parse_args(arguments)
    try:
        return parsed.run(parsed)
    except SealgateError as error:
        stage = f" ({error.stage})" if error.stage else ""
        print(f"refused{stage}: {type(error).__name__}: {error}", file=sys.stderr)
    except (OSError, VectorError) as error:
        print(f"failed: {error}", file=sys.stderr)
    return 1
