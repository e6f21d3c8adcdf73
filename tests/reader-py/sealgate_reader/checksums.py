"""Checksum algorithms and types by number (FORMAT.md section 1)."""

from __future__ import annotations

from .errors import Malformed

ALGORITHMS: tuple[tuple[str, int], ...] = (
    ("none", 0),
    ("crc32", 4),
    ("crc32c", 4),
    ("crc64nvme", 8),
    ("sha1", 20),
    ("sha256", 32),
    ("sha512", 64),
    ("md5", 16),
    ("xxhash64", 8),
    ("xxhash3", 8),
    ("xxhash128", 16),
)
"""Name and width in bytes; the index is the number."""

WIDTH_BY_NAME = dict(ALGORITHMS[1:])
TYPES = ("none", "full-object", "composite")


def width(algorithm: int) -> int:
    """Bytes of a checksum of this algorithm; refuses unknown numbers."""
    if algorithm >= len(ALGORITHMS):
        raise Malformed(f"checksum algorithm {algorithm} is unknown")
    return ALGORITHMS[algorithm][1]


def check_type(algorithm: int, checksum_type: int) -> None:
    """The type must be known, and 0 exactly where the algorithm is 0."""
    if checksum_type >= len(TYPES):
        raise Malformed(f"checksum type {checksum_type} is unknown")
    if (checksum_type == 0) != (algorithm == 0):
        raise Malformed(f"checksum type {checksum_type} does not go with algorithm {algorithm}")
