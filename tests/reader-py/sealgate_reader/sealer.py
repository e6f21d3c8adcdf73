"""Sealing, good enough to build large vectors from a recipe and to test the reader.

It is no tool for real data: every salt and nonce is given by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .commit import CommitRecord, Part, seal_record
from .header import LENGTH_UNKNOWN, MAGIC, MULTIPART, SEGMENT_EXPONENT, place
from .keys import DataKey, Wrap, seal_data_key
from .lengths import sealed_length
from .metadata import encode_metadata
from .primitives import DIGEST_LENGTH, NONCE_LENGTH, VERSION, mac, sha256
from .segments import lay_out, seal_segment
from .wire import u8, u16, u64


@dataclass(frozen=True)
class HeaderFields:
    """What a header says beside keys and place."""

    flags: int
    wk_id: bytes
    wrap_salt: bytes
    plaintext_length: int
    created: int
    metadata: Mapping[str, bytes]
    metadata_nonce: bytes
    wraps: tuple[Wrap, ...]


def seal_header(fields: HeaderFields, data_key: DataKey, working_key: bytes, domain: str, object_key: str) -> bytes:
    """The raw header of an object at this place."""
    length = LENGTH_UNKNOWN if fields.flags & MULTIPART else fields.plaintext_length
    start = (
        MAGIC
        + bytes((VERSION, data_key.suite, fields.flags, SEGMENT_EXPONENT))
        + fields.wk_id
        + fields.wrap_salt
        + data_key.object_id
        + u64(length)
        + u64(fields.created)
        + seal_data_key(data_key, working_key, fields.wrap_salt)
    )
    wraps = u8(len(fields.wraps)) + b"".join(wrap.encode() for wrap in fields.wraps)
    plaintext = encode_metadata(fields.metadata, len(start) + 2 + len(wraps) + DIGEST_LENGTH)
    aad = data_key.label("meta") + data_key.object_id
    sealed = fields.metadata_nonce + data_key.aead("meta").seal(fields.metadata_nonce, aad, plaintext)
    message = start + u16(len(sealed)) + sealed + wraps
    return message + mac(data_key.derive("header"), message + place(domain, object_key))


def recipe_nonce(number: int, index: int) -> bytes:
    """The nonce that vectors made from a recipe use for segment `index` of part `number`."""
    return sha256(b"nonce" + u16(number) + u64(index))[:NONCE_LENGTH]


def seal_body(
    record: CommitRecord,
    data_key: DataKey,
    flags: int,
    plaintext: Callable[[int, int], bytes],
    nonce: Callable[[int, int], bytes] = recipe_nonce,
) -> bytearray:
    """Segments ‖ commit region.

    `plaintext(start, count)` gives bytes of the whole object, `nonce(part number, index)` the nonce
    of a segment.
    """
    body = bytearray(sealed_length(record.plaintext_length))
    part: Part | None = None
    for segment in lay_out(record.parts, 0, record.plaintext_length):
        if part is not segment.part:
            part = segment.part
            aead = data_key.body_aead(part.number, part.attempt)
        piece = plaintext(segment.plaintext_start, segment.plaintext_length)
        stored = seal_segment(aead, nonce(part.number, segment.index), segment.index, segment.final, piece)
        body[segment.stored_start : segment.stored_start + len(stored)] = stored
    sealed = seal_record(record.encode(), data_key, flags)
    if record.segments_length + len(sealed) > len(body):
        raise ValueError("the commit record does not fit its region")
    body[len(body) - len(sealed) :] = sealed
    return body


def single_part(length: int, object_id: bytes, checksum: bytes = b"") -> tuple[Part, ...]:
    """The one part of an object that was not uploaded in parts."""
    return (Part(0, length, object_id, checksum),)
