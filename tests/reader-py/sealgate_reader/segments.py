"""Segments and where they lie (FORMAT.md sections 4 and 11)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .commit import Part
from .keys import DataKey
from .lengths import SEALED_SEGMENT, SEGMENT, sealed_part_length, segment_count
from .primitives import NONCE_LENGTH, SEALING_OVERHEAD, Aead
from .wire import u8, u64


def segment_aad(index: int, final: bool) -> bytes:
    """`u64` index ‖ `u8` final."""
    return u64(index) + u8(1 if final else 0)


def seal_segment(aead: Aead, nonce: bytes, index: int, final: bool, plaintext: bytes) -> bytes:
    """One segment as stored."""
    return nonce + aead.seal(nonce, segment_aad(index, final), plaintext)


def open_segment(aead: Aead, index: int, final: bool, stored: bytes, what: str) -> bytes:
    """The plaintext of one stored segment."""
    return aead.open(stored[:NONCE_LENGTH], segment_aad(index, final), stored[NONCE_LENGTH:], what)


@dataclass(frozen=True)
class Segment:
    """Where one segment lies, in plaintext and in the body, both in bytes."""

    part: Part
    index: int
    final: bool
    plaintext_start: int
    plaintext_length: int
    stored_start: int

    @property
    def stored_length(self) -> int:
        """Bytes in the body, nonce and tag counted."""
        return self.plaintext_length + SEALING_OVERHEAD


def lay_out(parts: tuple[Part, ...], first: int, end: int) -> Iterator[Segment]:
    """The segments that hold plaintext bytes `first` up to, not including, `end`, in order."""
    plaintext_start = stored_start = 0
    for part in parts:
        count = segment_count(part.length)
        low = max(first - plaintext_start, 0) // SEGMENT
        high = min(segment_count(max(end - plaintext_start, 0)), count)
        for index in range(low, high):
            offset = index * SEGMENT
            yield Segment(
                part, index, index == count - 1, plaintext_start + offset,
                min(SEGMENT, part.length - offset), stored_start + index * SEALED_SEGMENT,
            )  # fmt: skip
        plaintext_start += part.length
        stored_start += sealed_part_length(part.length)


class SegmentOpener:
    """Opens stored segments; keeps the body key of the part it is in."""

    def __init__(self, data_key: DataKey) -> None:
        self._data_key = data_key
        self._part: Part | None = None
        self._aead: Aead | None = None

    def open(self, segment: Segment, stored: bytes) -> bytes:
        """The plaintext of the whole segment."""
        if self._aead is None or segment.part is not self._part:
            self._part = segment.part
            self._aead = self._data_key.body_aead(segment.part.number, segment.part.attempt)
        what = f"segment {segment.index} of part {segment.part.number}"
        return open_segment(self._aead, segment.index, segment.final, stored, what)
