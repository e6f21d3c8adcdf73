"""Length arithmetic (FORMAT.md section 5): pure functions, no I/O."""

from __future__ import annotations

from . import limits
from .errors import Malformed
from .primitives import SEALING_OVERHEAD

SEGMENT = 65_536
"""Plaintext bytes of a segment."""
SEALED_SEGMENT = SEGMENT + SEALING_OVERHEAD
MINIMUM_PART = 5_242_880
"""Plaintext bytes of every part but the last."""


def segment_count(plaintext: int) -> int:
    """Segments of a part of this many bytes; a part of 0 bytes has none."""
    return -(-plaintext // SEGMENT)


def sealed_part_length(plaintext: int) -> int:
    """Stored bytes of a part of this many bytes of plaintext."""
    return plaintext + SEALING_OVERHEAD * segment_count(plaintext)


def region_length(plaintext: int) -> int:
    """R(P): the commit region of an object that is one part, in bytes."""
    return 256 + 128 * min(plaintext // MINIMUM_PART + 1, limits.PARTS)


def sealed_length(plaintext: int) -> int:
    """C(P): stored bytes of a whole body. Refuses P beyond the limit of section 12."""
    if not 0 <= plaintext <= limits.PLAINTEXT:
        raise Malformed(f"a plaintext of {plaintext} bytes is beyond the limit of {limits.PLAINTEXT}")
    return sealed_part_length(plaintext) + region_length(plaintext)


def plaintext_length(sealed: int) -> int:
    """The only P with C(P) = `sealed`; refuses a length that is not in the image.

    C is strictly increasing, so halving the interval finds P without an inverse formula that could
    share a mistake with the other reader.
    """
    low, high = 0, limits.PLAINTEXT
    while low < high:
        middle = (low + high) // 2
        if sealed_length(middle) < sealed:
            low = middle + 1
        else:
            high = middle
    if sealed_length(low) != sealed:
        raise Malformed(f"{sealed} bytes is not the length of a sealed body")
    return low
