"""Records of open uploads: upload records and part records (FORMAT.md section 9)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import checksums, limits
from .commit import ATTEMPT_LENGTH
from .errors import Malformed
from .header import MULTIPART, Header, OpenedHeader, open_header, parse_header
from .keys import DataKey, WorkingKeys
from .primitives import DIGEST_LENGTH, NONCE_LENGTH, SEALING_OVERHEAD, VERSION, mac, sha256, verify_mac
from .wire import Cursor, decode_base32, decode_hex, encode_base32, lp, text, u8, u16, u64

UPLOAD_MAGIC = b"SGUP"
UPLOAD_START = UPLOAD_MAGIC + bytes((VERSION, 0, 0, 0))


@dataclass(frozen=True)
class UploadRecord:
    """An open upload, as the gateways share it."""

    created: int
    """Milliseconds since 1970-01-01T00:00:00Z."""
    checksum_algorithm: int
    checksum_type: int
    bucket: str
    object_key: str
    upload_id: str
    raw_header: bytes

    def authenticated(self) -> bytes:
        """All bytes before the MAC."""
        fields = (self.bucket.encode(), self.object_key.encode(), self.upload_id.encode(), self.raw_header)
        numbers = u64(self.created) + u8(self.checksum_algorithm) + u8(self.checksum_type)
        return UPLOAD_START + numbers + b"".join(lp(field) for field in fields)

    def seal(self, data_key: DataKey) -> bytes:
        """The record as stored."""
        message = self.authenticated()
        return message + mac(data_key.derive("upload"), message)


def upload_name(upload_id: str) -> str:
    """U: the upload's place in the state bucket."""
    return sha256(upload_id.encode("utf-8")).hex()


def parse_upload_header(raw: bytes) -> Header:
    """The header of an object to be: as in S3, and with exactly the multipart flag."""
    header = parse_header(raw, limits.HEADER_IN_S3)
    if header.flags != MULTIPART:
        raise Malformed("the header of an upload is not multipart")
    return header


def parse_upload_record(raw: bytes) -> tuple[UploadRecord, bytes]:
    """The fields and the MAC, nothing of it authenticated."""
    if len(raw) > limits.RECORD:
        raise Malformed(f"the upload record has {len(raw)} bytes, more than {limits.RECORD}")
    cursor = Cursor(raw, "the upload record")
    cursor.expect(UPLOAD_START, "the magic and version")
    created = cursor.integer(8, "the time of creation")
    algorithm = cursor.integer(1, "the checksum algorithm")
    checksum_type = cursor.integer(1, "the checksum type")
    checksums.width(algorithm)
    checksums.check_type(algorithm, checksum_type)
    bucket = text(cursor.prefixed("the bucket", limits.RECORD), "the bucket")
    object_key = text(cursor.prefixed("the object key", limits.OBJECT_KEY), "the object key")
    upload_id = text(cursor.prefixed("the upload id", limits.RECORD), "the upload id")
    raw_header = cursor.prefixed("the header", limits.HEADER_IN_S3)
    record_mac = cursor.take(DIGEST_LENGTH, "the MAC")
    cursor.finish()
    return UploadRecord(created, algorithm, checksum_type, bucket, object_key, upload_id, raw_header), record_mac


def open_upload_record(
    raw: bytes, working_keys: WorkingKeys, domain: str, object_key: str | None = None
) -> tuple[UploadRecord, OpenedHeader]:
    """A record whose MAC verifies and whose header opens for its own object key.

    `object_key` is the key that the caller expects; another one in the record is refused.
    """
    record, record_mac = parse_upload_record(raw)
    if object_key is not None and record.object_key != object_key:
        raise Malformed("the upload record is of another object key")
    opened = open_header(parse_upload_header(record.raw_header), working_keys, domain, record.object_key)
    verify_mac(opened.data_key.derive("upload"), raw[:-DIGEST_LENGTH], record_mac, "the upload record")
    return record, opened


@dataclass(frozen=True)
class PartName:
    """Where a part record says it is: number, attempt and the sealed fields."""

    number: int
    attempt: bytes
    sealed: bytes


@dataclass(frozen=True)
class PartRecord:
    """One stored try at one part."""

    length: int
    """Bytes of plaintext."""
    crc64nvme: int
    stashed: bool
    etag_sha256: bytes
    checksum_algorithm: int
    checksum: bytes

    def encode(self) -> bytes:
        """The plaintext of the sealed fields."""
        stash = u8(1 if self.stashed else 0)
        return (
            u64(self.length)
            + u64(self.crc64nvme)
            + stash
            + self.etag_sha256
            + u8(self.checksum_algorithm)
            + self.checksum
        )


_PART_NAME = re.compile(r"uploads/([0-9a-f]{64})/parts/([0-9]{5})/([0-9a-f]{32})/([a-z2-7]+)", re.ASCII)


def parse_part_name(name: str, upload_id: str) -> PartName:
    """The parts of the name; it must be of this upload."""
    match = _PART_NAME.fullmatch(name)
    if match is None:
        raise Malformed("the name is not that of a part record")
    if match.group(1) != upload_name(upload_id):
        raise Malformed("the part record is of another upload")
    number = int(match.group(2))
    if not 1 <= number <= limits.PARTS:
        raise Malformed(f"part numbers are 1 to {limits.PARTS}, not {number}")
    attempt = decode_hex(match.group(3), ATTEMPT_LENGTH, "the attempt")
    return PartName(number, attempt, decode_base32(match.group(4), "the sealed fields"))


def _part_aad(data_key: DataKey, upload_id: str, number: int, attempt: bytes) -> bytes:
    return data_key.label("part-rec") + data_key.object_id + sha256(upload_id.encode("utf-8")) + u16(number) + attempt


def parse_part_record(plaintext: bytes) -> PartRecord:
    """The fields, with nothing behind them."""
    cursor = Cursor(plaintext, "the part record")
    length = cursor.integer(8, "the length of the part")
    if length > limits.PLAINTEXT:
        raise Malformed(f"a part of {length} bytes is beyond the limit of {limits.PLAINTEXT}")
    crc = cursor.integer(8, "the CRC64NVME")
    stash = cursor.integer(1, "the stash flag")
    if stash > 1:
        raise Malformed(f"the stash flag is 0 or 1, not {stash}")
    etag = cursor.take(DIGEST_LENGTH, "the hash of the ETag")
    if stash and any(etag):
        raise Malformed("a part in the stash names an ETag")
    algorithm = cursor.integer(1, "the checksum algorithm")
    checksum = cursor.take(checksums.width(algorithm), "the checksum")
    cursor.finish()
    return PartRecord(length, crc, stash == 1, etag, algorithm, checksum)


def open_part_record(name: str, upload_id: str, data_key: DataKey) -> tuple[PartName, PartRecord]:
    """Open the record that a name of the state bucket is."""
    place = parse_part_name(name, upload_id)
    if len(place.sealed) < SEALING_OVERHEAD:
        raise Malformed("the sealed fields are shorter than nonce and tag")
    aad = _part_aad(data_key, upload_id, place.number, place.attempt)
    nonce, sealed = place.sealed[:NONCE_LENGTH], place.sealed[NONCE_LENGTH:]
    return place, parse_part_record(data_key.aead("part-rec").open(nonce, aad, sealed, "the part record"))


def seal_part_name(
    record: PartRecord, number: int, attempt: bytes, upload_id: str, data_key: DataKey, nonce: bytes
) -> str:
    """The name under which a part record is stored."""
    aad = _part_aad(data_key, upload_id, number, attempt)
    sealed = encode_base32(nonce + data_key.aead("part-rec").seal(nonce, aad, record.encode()))
    return f"uploads/{upload_name(upload_id)}/parts/{number:05}/{attempt.hex()}/{sealed}"
