"""Object metadata inside a header (FORMAT.md section 3)."""

from __future__ import annotations

from collections.abc import Mapping

from . import limits
from .checksums import WIDTH_BY_NAME
from .errors import Malformed
from .primitives import SEALING_OVERHEAD
from .wire import Cursor, u8, u16

PADDING_UNIT = 32
CHECKSUM_WIDTHS = {f"checksum-{name}": width for name, width in WIDTH_BY_NAME.items()}


def padded_length(unpadded: int, rest_of_header: int) -> int:
    """The one valid length of the metadata plaintext.

    `unpadded` is n, entries and their length field; `rest_of_header` is o, all of the header but
    the sealed metadata.
    """
    rounded = -(-unpadded // PADDING_UNIT) * PADDING_UNIT
    fits = rest_of_header + SEALING_OVERHEAD + rounded <= limits.HEADER_IN_S3
    return rounded if fits else unpadded


def _check_name(name: bytes) -> None:
    if not name or any(not 0x21 <= byte <= 0x7E or 0x41 <= byte <= 0x5A for byte in name):
        raise Malformed(f"metadata name {name!r} is empty or has a character that names have not")


def _check_entry(name: str, value: bytes) -> None:
    width = CHECKSUM_WIDTHS.get(name)
    if width is not None and len(value) != width:
        raise Malformed(f"metadata {name} has {len(value)} bytes, not {width}")


def parse_metadata(plaintext: bytes, rest_of_header: int) -> dict[str, bytes]:
    """All entries, known and unknown, with names, order and padding checked."""
    cursor = Cursor(plaintext, "the metadata")
    entries = Cursor(cursor.take(cursor.integer(2, "the length of the entries"), "the entries"), "the metadata entries")
    unpadded = cursor.position
    if len(plaintext) != padded_length(unpadded, rest_of_header):
        raise Malformed(f"metadata of {unpadded} bytes is padded to {len(plaintext)}")
    if any(plaintext[unpadded:]):
        raise Malformed("the padding of the metadata is not zero")
    result: dict[str, bytes] = {}
    previous = b""
    while entries.position != unpadded - 2:
        name = entries.take(entries.integer(1, "the length of a name"), "a name")
        value = entries.take(entries.integer(2, "the length of a value"), "a value")
        _check_name(name)
        if name <= previous:
            raise Malformed(f"metadata name {name!r} is not in ascending order or not unique")
        previous = name
        _check_entry(name.decode("ascii"), value)
        result[name.decode("ascii")] = value
    return result


def encode_metadata(metadata: Mapping[str, bytes], rest_of_header: int) -> bytes:
    """The plaintext of the sealed metadata, padded."""
    entries = bytearray()
    for name, value in sorted((name.encode("ascii"), value) for name, value in metadata.items()):
        entries += u8(len(name)) + name + u16(len(value)) + value
    unpadded = u16(len(entries)) + bytes(entries)
    return unpadded.ljust(padded_length(len(unpadded), rest_of_header), b"\0")
