"""Bodies as random-access bytes: in memory, in a file, or with faults put in on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Protocol

from .errors import Malformed


class Body(Protocol):
    """Stored bytes that can be read at any place."""

    length: int

    def read(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes from `offset`; Malformed if the body is shorter."""


def _check(body: Body, offset: int, count: int) -> None:
    if offset < 0 or count < 0 or offset + count > body.length:
        raise Malformed(f"the body has {body.length} bytes; bytes {offset} to {offset + count} were wanted")


class MemoryBody:
    """A body in memory."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._view = memoryview(data)
        self.length = len(data)

    def read(self, offset: int, count: int) -> bytes:
        """See Body."""
        _check(self, offset, count)
        return bytes(self._view[offset : offset + count])


class StreamBody:
    """A body in an open file, from `start` to `end`."""

    def __init__(self, stream: BinaryIO, start: int, end: int) -> None:
        self._stream = stream
        self._start = start
        self.length = end - start

    def read(self, offset: int, count: int) -> bytes:
        """See Body."""
        _check(self, offset, count)
        self._stream.seek(self._start + offset)
        data = self._stream.read(count)
        if len(data) != count:
            raise Malformed("the file became shorter while it was read")
        return data


@dataclass
class FlippedBody:
    """A body with some bits of one byte turned."""

    body: Body
    position: int
    mask: int

    def __post_init__(self) -> None:
        self.length = self.body.length

    def read(self, offset: int, count: int) -> bytes:
        """See Body."""
        data = bytearray(self.body.read(offset, count))
        if offset <= self.position < offset + count:
            data[self.position - offset] ^= self.mask
        return bytes(data)


@dataclass
class ResizedBody:
    """A body cut to `length`, or lengthened to it by the bytes of `extension`, repeated."""

    body: Body
    length: int
    extension: bytes = b"\0"

    def read(self, offset: int, count: int) -> bytes:
        """See Body."""
        _check(self, offset, count)
        inside = max(min(count, self.body.length - offset), 0)
        data = self.body.read(offset, inside) if inside else b""
        missing = count - inside
        return data + (self.extension * (missing // len(self.extension) + 1))[:missing]


@dataclass
class SwappedBody:
    """A body in which two runs of equal length have changed places; the runs must not overlap."""

    body: Body
    first: int
    second: int
    count: int

    def __post_init__(self) -> None:
        self.length = self.body.length

    def read(self, offset: int, count: int) -> bytes:
        """See Body."""
        data = bytearray(self.body.read(offset, count))
        for source, target in ((self.first, self.second), (self.second, self.first)):
            low, high = max(offset, target), min(offset + count, target + self.count)
            if low < high:
                data[low - offset : high - offset] = self.body.read(source + low - target, high - low)
        return bytes(data)
