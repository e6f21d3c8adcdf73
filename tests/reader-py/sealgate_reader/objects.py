"""Reading sealed bodies, whole and by range (FORMAT.md sections 7 and 11)."""

from __future__ import annotations

from collections.abc import Iterator

from .bodies import Body
from .commit import SINGLE_PART_NUMBER, CommitRecord, Part, open_region
from .errors import InvalidConfiguration, Malformed, SealgateError, during
from .header import OpenedHeader
from .lengths import plaintext_length, region_length, sealed_length
from .segments import SegmentOpener, lay_out


class Reader:
    """Reads one sealed body behind a header that is open already.

    Construction is step 4 of section 11, and step 5 unless the header says that the commit check
    is not needed. After one refusal the reader refuses for ever.
    """

    def __init__(self, opened: OpenedHeader, body: Body) -> None:
        self._opened = opened
        self._body = body
        self._failure: SealgateError | None = None
        with during("commit"):
            self.plaintext_length = self._check_length()
            self.record: CommitRecord | None = None
            if opened.header.commit_check_needed:
                self.record = self._open_record()

    def _check_length(self) -> int:
        declared = self._opened.header.plaintext_length
        if declared is None:
            return plaintext_length(self._body.length)
        if self._body.length != sealed_length(declared):
            raise Malformed(
                f"the body has {self._body.length} bytes; {declared} bytes of plaintext take {sealed_length(declared)}"
            )
        return declared

    def _open_record(self) -> CommitRecord:
        count = region_length(self.plaintext_length)
        region = self._body.read(self._body.length - count, count)
        return open_region(region, self._opened.header, self._opened.data_key, self.plaintext_length)

    def _parts(self) -> tuple[Part, ...]:
        if self.record is not None:
            return self.record.parts
        object_id = self._opened.header.object_id
        return (Part(SINGLE_PART_NUMBER, self.plaintext_length, object_id, b""),)

    def _segments(self, first: int, end: int) -> Iterator[bytes]:
        opener = SegmentOpener(self._opened.data_key)
        for segment in lay_out(self._parts(), first, end):
            plaintext = opener.open(segment, self._body.read(segment.stored_start, segment.stored_length))
            low = max(first - segment.plaintext_start, 0)
            yield plaintext[low : end - segment.plaintext_start]

    def _guarded(self, pieces: Iterator[bytes], stage: str) -> Iterator[bytes]:
        if self._failure is not None:
            raise self._failure
        try:
            with during(stage):
                yield from pieces
        except SealgateError as error:
            self._failure = error
            raise

    def _whole(self) -> Iterator[bytes]:
        yield from self._segments(0, self.plaintext_length)
        if self.record is None:
            with during("commit"):
                self.record = self._open_record()

    def whole(self) -> Iterator[bytes]:
        """All plaintext in order, each piece authenticated before it is given.

        Where the commit check is not needed beforehand, the record and the padding are checked
        behind the last segment, so a bad commit region still ends in a refusal.
        """
        return self._guarded(self._whole(), "segment")

    def range(self, first: int, last: int) -> Iterator[bytes]:
        """Plaintext bytes `first` to `last`, both included; only their segments are fetched."""
        if not 0 <= first <= last < self.plaintext_length:
            raise InvalidConfiguration(f"range {first}-{last} is not inside {self.plaintext_length} bytes")
        return self._guarded(self._segments(first, last + 1), "segment")
