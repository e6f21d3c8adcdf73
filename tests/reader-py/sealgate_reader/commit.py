"""The commit record and its deterministic sealing (FORMAT.md section 6)."""

from __future__ import annotations

import hmac as constant_time
from dataclasses import dataclass
from itertools import pairwise

from . import checksums, limits
from .errors import Malformed, NotAuthentic
from .header import Header
from .keys import DataKey
from .lengths import MINIMUM_PART, region_length, sealed_part_length
from .primitives import DIGEST_LENGTH, TAG_LENGTH, ZERO_NONCE, mac, sha256
from .wire import Cursor, u8, u16, u32, u64

TAIL_MAGIC = b"SGCR"
TAIL_LENGTH = 8
SEALING_LENGTH = DIGEST_LENGTH + TAG_LENGTH
"""What sealing adds to a record: s and the tag."""
ATTEMPT_LENGTH = 16
SINGLE_PART_NUMBER = 0
NO_UPLOAD = bytes(DIGEST_LENGTH)


@dataclass(frozen=True)
class Part:
    """One part: a run of plaintext under one body key."""

    number: int
    length: int
    """Bytes of plaintext."""
    attempt: bytes
    checksum: bytes


@dataclass(frozen=True)
class CommitRecord:
    """Which parts an object has, and in which upload they were put together."""

    object_id: bytes
    plaintext_length: int
    upload_hash: bytes
    checksum_algorithm: int
    checksum_type: int
    checksum: bytes
    parts: tuple[Part, ...]

    def encode(self) -> bytes:
        """The plaintext of the sealed record."""
        head = (
            self.object_id
            + u64(self.plaintext_length)
            + self.upload_hash
            + u8(self.checksum_algorithm)
            + u8(self.checksum_type)
            + self.checksum
            + u16(len(self.parts))
        )
        return head + b"".join(u16(p.number) + u64(p.length) + p.attempt + p.checksum for p in self.parts)

    @property
    def segments_length(self) -> int:
        """Stored bytes of all segments of all parts."""
        return sum(sealed_part_length(part.length) for part in self.parts)


def upload_hash(upload_id: str | None) -> bytes:
    """SHA-256 of the storage's upload id, or zero if there was none."""
    return NO_UPLOAD if upload_id is None else sha256(upload_id.encode("utf-8"))


def parse_record(plaintext: bytes) -> CommitRecord:
    """The fields, with widths, counts and nothing behind; meaning is checked by `check_record`."""
    cursor = Cursor(plaintext, "the commit record")
    object_id = cursor.take(16, "the object identifier")
    total = cursor.integer(8, "the plaintext length")
    upload = cursor.take(DIGEST_LENGTH, "the upload hash")
    algorithm = cursor.integer(1, "the checksum algorithm")
    checksum_type = cursor.integer(1, "the checksum type")
    width = checksums.width(algorithm)
    checksums.check_type(algorithm, checksum_type)
    checksum = cursor.take(width, "the checksum")
    count = cursor.integer(2, "the number of parts")
    if not 1 <= count <= limits.PARTS:
        raise Malformed(f"an object has 1 to {limits.PARTS} parts, not {count}")
    parts = tuple(
        Part(
            cursor.integer(2, "a part number"),
            cursor.integer(8, "the length of a part"),
            cursor.take(ATTEMPT_LENGTH, "the attempt of a part"),
            cursor.take(width, "the checksum of a part"),
        )
        for _ in range(count)
    )
    cursor.finish()
    return CommitRecord(object_id, total, upload, algorithm, checksum_type, checksum, parts)


def check_record(record: CommitRecord, header: Header, plaintext_length: int) -> None:
    """The record must agree with itself, with the header and with the length of the body."""
    if record.object_id != header.object_id:
        raise Malformed("the commit record is of another object")
    if record.plaintext_length != plaintext_length:
        raise Malformed(f"the commit record names {record.plaintext_length} bytes, the body has {plaintext_length}")
    if sum(part.length for part in record.parts) != plaintext_length:
        raise Malformed("the lengths of the parts do not add up")
    if any(part.length < MINIMUM_PART for part in record.parts[:-1]):
        raise Malformed(f"a part that is not the last has less than {MINIMUM_PART} bytes")
    numbers = [part.number for part in record.parts]
    if header.multipart:
        _check_numbers(numbers)
    else:
        _check_single(record, numbers)


def _check_numbers(numbers: list[int]) -> None:
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        raise Malformed("part numbers are not strictly ascending")
    if not 1 <= numbers[0] <= numbers[-1] <= limits.PARTS:
        raise Malformed(f"part numbers are 1 to {limits.PARTS}")


def _check_single(record: CommitRecord, numbers: list[int]) -> None:
    if numbers != [SINGLE_PART_NUMBER]:
        raise Malformed("an object without the multipart flag has one part, number 0")
    if record.parts[0].attempt != record.object_id:
        raise Malformed("the attempt of part 0 is not the object identifier")
    if record.upload_hash != NO_UPLOAD:
        raise Malformed("an object without the multipart flag names an upload")


def _additional_data(data_key: DataKey, flags: int, tail: bytes) -> bytes:
    return data_key.label("commit") + data_key.object_id + u8(flags) + tail


def _synthetic(data_key: DataKey, additional: bytes, record: bytes) -> bytes:
    return mac(data_key.derive("commit-mac"), u64(len(additional)) + additional + record)


def seal_record(record: bytes, data_key: DataKey, flags: int) -> bytes:
    """Sealed record ‖ tail; the same bytes whoever seals the same record."""
    tail = TAIL_MAGIC + u32(SEALING_LENGTH + len(record))
    additional = _additional_data(data_key, flags, tail)
    synthetic = _synthetic(data_key, additional, record)
    return synthetic + data_key.aead("commit", synthetic).seal(ZERO_NONCE, additional, record) + tail


def open_record(sealed: bytes, tail: bytes, data_key: DataKey, flags: int) -> bytes:
    """The plaintext of a sealed record; s is recomputed and compared."""
    additional = _additional_data(data_key, flags, tail)
    synthetic, box = sealed[:DIGEST_LENGTH], sealed[DIGEST_LENGTH:]
    record = data_key.aead("commit", synthetic).open(ZERO_NONCE, additional, box, "the commit record")
    if not constant_time.compare_digest(_synthetic(data_key, additional, record), synthetic):
        raise NotAuthentic("the commit record's s does not match")
    return record


def open_region(region: bytes, header: Header, data_key: DataKey, plaintext_length: int) -> CommitRecord:
    """Open and check the last R(P) bytes of a body, all of their padding included.

    The segments reach into these bytes by what cutting into parts has added; the padding lies
    between the segments that the record implies and the sealed record.
    """
    if len(region) != region_length(plaintext_length):
        raise Malformed("the commit region has a wrong length")
    tail = region[-TAIL_LENGTH:]
    cursor = Cursor(tail, "the tail")
    cursor.expect(TAIL_MAGIC, "the magic")
    sealed_length = cursor.integer(4, "the length of the sealed record")
    if not SEALING_LENGTH < sealed_length <= len(region) - TAIL_LENGTH:
        raise Malformed(f"a sealed record of {sealed_length} bytes does not fit the commit region")
    start = len(region) - TAIL_LENGTH - sealed_length
    sealed = region[start:-TAIL_LENGTH]
    record = parse_record(open_record(sealed, tail, data_key, header.flags))
    check_record(record, header, plaintext_length)
    padding_start = record.segments_length - sealed_part_length(plaintext_length)
    if padding_start > start:
        raise Malformed("the sealed record lies over the last segments")
    if any(region[padding_start:start]):
        raise Malformed("the padding of the commit region is not zero")
    return record
