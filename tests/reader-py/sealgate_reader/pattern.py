"""The plaintext pattern of the vectors: byte i is (i ^ (i >> 8) ^ (i >> 16)) & 255."""

from __future__ import annotations

_BLOCK = 65_536
_FIRST_BLOCK = bytes((i ^ (i >> 8)) & 255 for i in range(_BLOCK))
_TRANSLATIONS = [bytes(byte ^ mask for byte in range(256)) for mask in range(256)]


def pattern(start: int, count: int) -> bytes:
    """Bytes `start` to `start + count` of the pattern.

    Within a block of 65,536 bytes the term i >> 16 is constant, so a block is the first one with
    every byte XORed by it.
    """
    pieces = []
    end = start + count
    while start < end:
        block, low = divmod(start, _BLOCK)
        high = min(_BLOCK, low + end - start)
        pieces.append(_FIRST_BLOCK[low:high].translate(_TRANSLATIONS[block & 255]))
        start += high - low
    return b"".join(pieces)
