"""One vector as something to open: what it holds, decoded, and what opening it gives.

The schema is that of crates/envelope/vectors/README.md.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .bodies import Body, MemoryBody
from .commit import CommitRecord, Part, seal_record, upload_hash
from .errors import SealgateError, during
from .files import open_file
from .header import Header, OpenedHeader, open_header, parse_s3_values
from .keys import GivenWorkingKeys
from .local_key import parse_key_file
from .objects import Reader
from .pattern import pattern
from .primitives import sha256
from .records import open_part_record, open_upload_record, parse_upload_header
from .recovery_key import parse_recovery_key_file
from .registry import open_registry_record
from .sealer import seal_body
from .wire import decode_base64url

Vector = dict[str, Any]


class VectorError(Exception):
    """The vector itself is not what the schema says, or its recipe gives other bytes than it names."""


@dataclass
class Outcome:
    """What became of one attempt to open something."""

    error: SealgateError | None
    released: int
    fields: dict[str, Any]
    plaintext_is_right: bool


def expected_plaintext(vector: Vector) -> tuple[int, Callable[[int, int], bytes]] | None:
    """Length and content of the plaintext that a vector names, or that its recipe is sealed from."""
    plaintext = vector.get("plaintext")
    if plaintext is None:
        recipe = vector.get("recipe")
        return None if recipe is None else (sum(part["length"] for part in recipe["parts"]), pattern)
    if set(plaintext) == {"pattern"}:
        return int(plaintext["pattern"]), pattern
    if set(plaintext) == {"hex"}:
        data = bytes.fromhex(plaintext["hex"])
        return len(data), lambda start, count: data[start : start + count]
    raise VectorError(f"plaintext {sorted(plaintext)} is not in the schema")


def _given_keys(vector: Vector) -> GivenWorkingKeys:
    keys = vector["working_keys"]
    return GivenWorkingKeys({bytes.fromhex(name): bytes.fromhex(key) for name, key in keys.items()})


@dataclass(frozen=True)
class ObjectCase:
    """A sealed object: header values, body, and where the reader expects it."""

    header_values: tuple[str, ...]
    body: Body
    keys: GivenWorkingKeys
    domain: str
    object_key: str

    def open(self) -> tuple[OpenedHeader, Reader]:
        """Header and commit region opened."""
        with during("header"):
            opened = open_header(parse_s3_values(self.header_values), self.keys, self.domain, self.object_key)
        return opened, Reader(opened, self.body)


@dataclass(frozen=True)
class FileCase:
    """A sealed file."""

    body: Body
    keys: GivenWorkingKeys
    domain: str

    def open(self) -> tuple[OpenedHeader, Reader]:
        """Header and commit region opened."""
        return open_file(self.body, self.keys, self.domain)


@dataclass(frozen=True)
class UploadRecordCase:
    """An upload record."""

    record: bytes
    keys: GivenWorkingKeys
    domain: str
    object_key: str | None

    def fields(self) -> dict[str, Any]:
        """The opened record in the words of the schema."""
        with during("record"):
            record, _ = open_upload_record(self.record, self.keys, self.domain, self.object_key)
        return {
            "bucket": record.bucket,
            "object_key": record.object_key,
            "upload_id": record.upload_id,
            "created": record.created,
            "checksum_algorithm": record.checksum_algorithm,
            "checksum_type": record.checksum_type,
        }


@dataclass(frozen=True)
class PartRecordCase:
    """A part record, which is a name."""

    name: str
    header: str
    upload_id: str
    keys: GivenWorkingKeys
    domain: str
    object_key: str

    def fields(self) -> dict[str, Any]:
        """The opened record in the words of the schema."""
        with during("record"):
            header: Header = parse_upload_header(decode_base64url(self.header, "the header"))
            opened = open_header(header, self.keys, self.domain, self.object_key)
            place, record = open_part_record(self.name, self.upload_id, opened.data_key)
        return {
            "number": place.number,
            "attempt": place.attempt.hex(),
            "length": record.length,
            "crc64nvme": str(record.crc64nvme),
            "stashed": record.stashed,
            "etag_sha256": record.etag_sha256.hex(),
            "checksum_algorithm": record.checksum_algorithm,
            "checksum": record.checksum.hex(),
        }


@dataclass(frozen=True)
class RegistryRecordCase:
    """A registry record."""

    name: str
    record: bytes
    keys: GivenWorkingKeys
    domain: str

    def fields(self) -> dict[str, Any]:
        """The opened record in the words of the schema."""
        with during("record"):
            record, _ = open_registry_record(self.name, self.record, self.keys, self.domain)
        wraps = [
            {"provider": wrap.provider, "key_reference": wrap.key_reference.hex(), "blob": wrap.blob.hex()}
            for wrap in record.wraps
        ]
        return {"wk_id": record.wk_id.hex(), "created": record.created, "domain": record.domain, "wraps": wraps}


@dataclass(frozen=True)
class LocalWrapCase:
    """A working key wrapped with a local key file."""

    key_file: str
    blob: bytes
    context: dict[str, str]
    passphrase: str | None = None

    def fields(self) -> dict[str, Any]:
        """The unwrapped key in the words of the schema."""
        with during("record"):
            return {"working_key": parse_key_file(self.key_file, self.passphrase).unwrap(self.blob, self.context).hex()}


@dataclass(frozen=True)
class RecoveryWrapCase:
    """A working key wrapped for an offline recovery key."""

    key_file: str
    blob: bytes
    context: dict[str, str]

    def fields(self) -> dict[str, Any]:
        """The unwrapped key in the words of the schema."""
        with during("record"):
            return {"working_key": parse_recovery_key_file(self.key_file).unwrap(self.blob, self.context).hex()}


ContentCase = ObjectCase | FileCase
RecordCase = UploadRecordCase | PartRecordCase | RegistryRecordCase | LocalWrapCase | RecoveryWrapCase
Case = ContentCase | RecordCase


def _recipe_record(recipe: dict[str, Any], header: Header) -> CommitRecord:
    parts = tuple(
        Part(part["number"], part["length"], bytes.fromhex(part["attempt"]), bytes.fromhex(part["checksum"]))
        for part in recipe["parts"]
    )
    return CommitRecord(
        header.object_id,
        sum(part.length for part in parts),
        upload_hash(recipe["upload_id"]),
        recipe["checksum_algorithm"],
        recipe["checksum_type"],
        bytes.fromhex(recipe["checksum"]),
        parts,
    )


def _body_from_recipe(vector: Vector, case: ObjectCase) -> bytes:
    """Seal the body that a recipe describes, and compare it with the hash that the vector names."""
    recipe = vector["recipe"]
    header = parse_s3_values(case.header_values)
    opened = open_header(header, case.keys, case.domain, case.object_key)
    if opened.data_key.key.hex() != recipe["dek"]:
        raise VectorError("the recipe's data key is not the header's")
    record = _recipe_record(recipe, header)
    if seal_record(record.encode(), opened.data_key, header.flags).hex() != vector["region"]:
        raise VectorError("the recipe gives another commit record than the vector names")
    body = seal_body(record, opened.data_key, header.flags, pattern)
    if len(body) != vector["body_length"] or sha256(body).hex() != vector["body_sha256"]:
        raise VectorError("the recipe gives another body than the vector names")
    return _put_together(body, vector["pieces"]) if "pieces" in vector else body


def _put_together(body: bytes, pieces: list[dict[str, Any]]) -> bytes:
    """The pieces of an altered body: runs `from` up to `to` of the right one, and bytes in `hex`."""
    view = memoryview(body)
    altered = bytearray()
    for piece in pieces:
        if set(piece) == {"hex"}:
            altered += bytes.fromhex(piece["hex"])
        elif set(piece) == {"from", "to"} and 0 <= piece["from"] <= piece["to"] <= len(body):
            altered += view[piece["from"] : piece["to"]]
        else:
            raise VectorError(f"piece {piece} is not in the schema or not inside the body")
    return bytes(altered)


def _object_case(vector: Vector) -> ObjectCase:
    header = vector["header"]
    values = (header,) if isinstance(header, str) else tuple(header)
    case = ObjectCase(values, MemoryBody(b""), _given_keys(vector), vector["domain"], vector["object_key"])
    if "recipe" in vector:
        return replace(case, body=MemoryBody(_body_from_recipe(vector, case)))
    return replace(case, body=MemoryBody(base64.b64decode(vector["body"], validate=True)))


_COMMON_FIELDS = {"name", "comment", "kind", "expect", "released", "stage", "plaintext"}
_SEALED_FIELDS = {"working_keys", "domain", "metadata", "created", "suite", "flags"}
_FIELDS = {
    "object": _SEALED_FIELDS
    | {"object_key", "header", "body", "recipe", "pieces", "region", "body_sha256", "body_length"},
    "file": _SEALED_FIELDS | {"file"},
    "upload-record": {"working_keys", "domain", "record", "object_key", "bucket", "upload_id", "created"}
    | {"checksum_algorithm", "checksum_type"},
    "part-record": {"working_keys", "domain", "object_key", "header", "upload_id", "number", "attempt", "length"}
    | {"crc64nvme", "stashed", "etag_sha256", "checksum_algorithm", "checksum"},
    "registry-record": {"working_keys", "domain", "record", "wk_id", "created", "wraps"},
    "local-wrap": {"key_file", "passphrase", "blob", "context", "working_key"},
    "recovery-wrap": {"key_file", "blob", "context", "working_key"},
    "lengths": {"pairs", "not_in_image"},
}
"""Fields of each kind beside the common ones; one that this reader does not know could change a vector's meaning."""


def check_fields(vector: Vector) -> None:
    """Refuse an unknown kind or field."""
    kind = vector["kind"]
    if kind not in _FIELDS:
        raise VectorError(f"kind {kind!r} is not in the schema")
    unknown = set(vector) - _COMMON_FIELDS - _FIELDS[kind]
    if unknown:
        raise VectorError(f"fields {sorted(unknown)} are not in the schema")


def decode(vector: Vector) -> Case:
    """The case of a vector of any kind but `lengths`."""
    check_fields(vector)
    kind = vector["kind"]
    if kind == "object":
        return _object_case(vector)
    if kind == "file":
        return FileCase(
            MemoryBody(base64.b64decode(vector["file"], validate=True)), _given_keys(vector), vector["domain"]
        )
    if kind == "upload-record":
        record = base64.b64decode(vector["record"], validate=True)
        return UploadRecordCase(record, _given_keys(vector), vector["domain"], vector.get("object_key"))
    if kind == "part-record":
        return PartRecordCase(
            vector["name"],
            vector["header"],
            vector["upload_id"],
            _given_keys(vector),
            vector["domain"],
            vector["object_key"],
        )
    if kind == "registry-record":
        record = base64.b64decode(vector["record"], validate=True)
        return RegistryRecordCase(vector["name"], record, _given_keys(vector), vector["domain"])
    if kind == "local-wrap":
        return LocalWrapCase(
            vector["key_file"], bytes.fromhex(vector["blob"]), vector["context"], vector.get("passphrase")
        )
    if kind == "recovery-wrap":
        return RecoveryWrapCase(vector["key_file"], bytes.fromhex(vector["blob"]), vector["context"])
    raise VectorError(f"kind {kind!r} is not in the schema")


def attempt(case: Case, expected: tuple[int, Callable[[int, int], bytes]] | None) -> Outcome:
    """Open a case and read all of it; refusals are in the outcome, anything else is raised."""
    outcome = Outcome(None, 0, {}, True)
    try:
        if not isinstance(case, ObjectCase | FileCase):
            outcome.fields = case.fields()
            return outcome
        opened, reader = case.open()
        for piece in reader.whole():
            if expected is not None and piece != expected[1](outcome.released, len(piece)):
                outcome.plaintext_is_right = False
            outcome.released += len(piece)
        outcome.fields = {
            "metadata": {name: value.hex() for name, value in opened.metadata.items()},
            "created": opened.header.created,
            "suite": opened.header.suite,
            "flags": opened.header.flags,
        }
    except SealgateError as error:
        outcome.error = error
    if outcome.error is None and expected is not None and outcome.released != expected[0]:
        outcome.plaintext_is_right = False
    return outcome
