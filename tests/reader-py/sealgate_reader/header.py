"""Headers: strict parsing, and opening at an expected place (FORMAT.md sections 3, 7 and 11)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import limits
from .errors import InvalidConfiguration, Malformed
from .keys import DataKey, WorkingKeys, Wrap, check_domain, open_data_key, parse_wraps
from .metadata import parse_metadata
from .primitives import (
    DIGEST_LENGTH,
    KEY_LENGTH,
    NONCE_LENGTH,
    SEALING_OVERHEAD,
    SUITES,
    TAG_LENGTH,
    VERSION,
    verify_mac,
)
from .wire import Cursor, decode_base64url, lp

MAGIC = b"SGHD"
SEGMENT_EXPONENT = 16
MULTIPART = 1
COMMIT_CHECK_NOT_NEEDED = 2
LENGTH_UNKNOWN = 2**64 - 1
OBJECT_ID_LENGTH = 16
SALT_LENGTH = 32
SEALED_DATA_KEY_LENGTH = KEY_LENGTH + TAG_LENGTH
FIXED_LENGTH = 138
"""Bytes before the sealed metadata, its length field counted."""
MINIMUM_SEALED_METADATA = SEALING_OVERHEAD + 2
HEADER_CHARACTERS_IN_S3 = 2_000


@dataclass(frozen=True)
class Header:
    """A header that is well formed; nothing of it is authenticated yet."""

    raw: bytes
    suite: int
    flags: int
    wk_id: bytes
    wrap_salt: bytes
    object_id: bytes
    plaintext_length: int | None
    """Bytes, or None where only the commit record knows."""
    created: int
    """Milliseconds since 1970-01-01T00:00:00Z."""
    sealed_data_key: bytes
    sealed_metadata: bytes
    wraps: tuple[Wrap, ...]
    mac: bytes

    @property
    def multipart(self) -> bool:
        """The length is in the commit record only."""
        return self.flags & MULTIPART != 0

    @property
    def commit_check_needed(self) -> bool:
        """The commit record must open before the first byte of plaintext is released."""
        return self.flags & COMMIT_CHECK_NOT_NEEDED == 0


@dataclass(frozen=True)
class OpenedHeader:
    """A header that is authentic for the expected domain and object key."""

    header: Header
    data_key: DataKey
    metadata: dict[str, bytes]


def check_flags(flags: int, length_field: int) -> int | None:
    """The plaintext length, or None with the multipart flag."""
    if flags not in (0, MULTIPART, COMMIT_CHECK_NOT_NEEDED):
        raise Malformed(f"header flags {flags:#04x} are not allowed")
    if flags & MULTIPART:
        if length_field != LENGTH_UNKNOWN:
            raise Malformed("a multipart header names a plaintext length")
        return None
    if length_field > limits.PLAINTEXT:
        raise Malformed(f"the header's plaintext length {length_field} is beyond {limits.PLAINTEXT}")
    return length_field


def parse_header(raw: bytes, limit: int) -> Header:
    """Check everything that needs no key. `limit` is the greatest length allowed here, in bytes."""
    if len(raw) > limit:
        raise Malformed(f"the header has {len(raw)} bytes, more than {limit}")
    cursor = Cursor(raw, "the header")
    cursor.expect(MAGIC, "the magic")
    cursor.expect(bytes((VERSION,)), "the version")
    suite = cursor.integer(1, "the suite")
    if suite not in SUITES:
        raise Malformed(f"suite {suite} is unknown")
    flags = cursor.integer(1, "the flags")
    cursor.expect(bytes((SEGMENT_EXPONENT,)), "the segment size exponent")
    wk_id = cursor.take(16, "the working key identifier")
    wrap_salt = cursor.take(SALT_LENGTH, "the wrap salt")
    object_id = cursor.take(OBJECT_ID_LENGTH, "the object identifier")
    plaintext_length = check_flags(flags, cursor.integer(8, "the plaintext length"))
    created = cursor.integer(8, "the time of creation")
    sealed_data_key = cursor.take(SEALED_DATA_KEY_LENGTH, "the sealed data key")
    metadata_length = cursor.integer(2, "the length of the sealed metadata")
    if metadata_length < MINIMUM_SEALED_METADATA:
        raise Malformed(f"sealed metadata has at least {MINIMUM_SEALED_METADATA} bytes, not {metadata_length}")
    sealed_metadata = cursor.take(metadata_length, "the sealed metadata")
    wraps = parse_wraps(cursor, limits.WRAPS_IN_HEADER)
    header_mac = cursor.take(DIGEST_LENGTH, "the MAC")
    cursor.finish()
    return Header(
        raw, suite, flags, wk_id, wrap_salt, object_id, plaintext_length, created,
        sealed_data_key, sealed_metadata, wraps, header_mac,
    )  # fmt: skip


def parse_s3_values(values: Sequence[str]) -> Header:
    """The header in the values of `x-amz-meta-sealgate`, of which there must be exactly one."""
    if len(values) != 1:
        raise Malformed(f"there must be one x-amz-meta-sealgate value, not {len(values)}")
    value = values[0]
    if len(value) > HEADER_CHARACTERS_IN_S3:
        raise Malformed(f"the header has {len(value)} characters, more than {HEADER_CHARACTERS_IN_S3}")
    return parse_header(decode_base64url(value, "the header"), limits.HEADER_IN_S3)


def place(domain: str, object_key: str) -> bytes:
    """lp(domain) ‖ lp(object key): what the header's MAC binds it to."""
    key = object_key.encode("utf-8")
    if len(key) > limits.OBJECT_KEY:
        raise InvalidConfiguration(f"an object key has at most {limits.OBJECT_KEY} bytes, not {len(key)}")
    return lp(check_domain(domain)) + lp(key)


def open_header(
    header: Header,
    working_keys: WorkingKeys,
    domain: str,
    object_key: str,
    allowed_suites: frozenset[int] = SUITES,
) -> OpenedHeader:
    """Steps 1 to 3 of section 11: suite, working key, data key, MAC, metadata."""
    expected_place = place(domain, object_key)
    if header.suite not in allowed_suites:
        raise Malformed(f"suite {header.suite} is not allowed by configuration")
    working_key = working_keys.working_key(header.wk_id, header.wraps, domain)
    data_key = open_data_key(header.suite, working_key, header.wrap_salt, header.object_id, header.sealed_data_key)
    authenticated = header.raw[:-DIGEST_LENGTH] + expected_place
    verify_mac(data_key.derive("header"), authenticated, header.mac, "the header")
    aad = data_key.label("meta") + header.object_id
    nonce, sealed = header.sealed_metadata[:NONCE_LENGTH], header.sealed_metadata[NONCE_LENGTH:]
    plaintext = data_key.aead("meta").open(nonce, aad, sealed, "the metadata")
    metadata = parse_metadata(plaintext, len(header.raw) - len(header.sealed_metadata))
    return OpenedHeader(header, data_key, metadata)
