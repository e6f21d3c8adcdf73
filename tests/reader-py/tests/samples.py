"""Small sealed things for the tests, made with fixed keys."""

from __future__ import annotations

from dataclasses import dataclass, field

from sealgate_reader.commit import CommitRecord, Part, upload_hash
from sealgate_reader.header import MULTIPART, OpenedHeader, open_header, parse_header
from sealgate_reader.keys import DataKey, GivenWorkingKeys, Wrap
from sealgate_reader.limits import HEADER_IN_S3
from sealgate_reader.pattern import pattern
from sealgate_reader.sealer import HeaderFields, seal_body, seal_header, single_part

WORKING_KEY_ID = bytes(range(16))
WORKING_KEY = bytes(range(100, 132))
KEYS = GivenWorkingKeys({WORKING_KEY_ID: WORKING_KEY})
OBJECT_ID = bytes(range(200, 216))
DOMAIN = "deployment/bucket"
KEY = "photos/été 1.jpg"
WRAPS = (Wrap(1, b"\x01" * 8, b"blob of the key service"), Wrap(77, b"\x02" * 8, b"\xff"))
METADATA = {"content-type": b"text/plain", "x:colour": "grün".encode(), "checksum-crc32": b"\0\1\2\3"}
MEBIBYTE = 1024 * 1024


@dataclass
class Sample:
    """One sealed object and what it was made of."""

    suite: int = 1
    flags: int = 0
    parts: tuple[Part, ...] | None = None
    length: int = 0
    upload_id: str | None = None
    checksum: tuple[int, int, bytes] = (0, 0, b"")
    metadata: dict[str, bytes] = field(default_factory=lambda: dict(METADATA))
    wraps: tuple[Wrap, ...] = WRAPS
    domain: str = DOMAIN
    key: str = KEY

    def __post_init__(self) -> None:
        if self.parts is None:
            self.parts = single_part(self.length, OBJECT_ID, bytes(len(self.checksum[2])))
        self.length = sum(part.length for part in self.parts)
        self.data_key = DataKey(self.suite, OBJECT_ID, bytes(range(50, 82)))
        fields = HeaderFields(
            self.flags, WORKING_KEY_ID, b"\x33" * 32, self.length, 1_700_000_000_123,
            self.metadata, b"\x44" * 12, self.wraps,
        )  # fmt: skip
        self.raw = seal_header(fields, self.data_key, WORKING_KEY, self.domain, self.key)

    @property
    def record(self) -> CommitRecord:
        """The commit record."""
        algorithm, checksum_type, value = self.checksum
        return CommitRecord(
            OBJECT_ID, self.length, upload_hash(self.upload_id), algorithm, checksum_type, value, self.parts
        )

    def body(self, record: CommitRecord | None = None) -> bytearray:
        """The sealed body, with another record if one is given."""
        return seal_body(record or self.record, self.data_key, self.flags, pattern)

    def opened(self) -> OpenedHeader:
        """The header, opened."""
        return open_header(parse_header(self.raw, HEADER_IN_S3), KEYS, self.domain, self.key)


def multipart(*lengths: int, suite: int = 1, first_number: int = 1, step: int = 1) -> Sample:
    """A multipart sample with parts of these lengths."""
    parts = tuple(
        Part(first_number + step * index, length, bytes([index % 256, index // 256] * 8), b"")
        for index, length in enumerate(lengths)
    )
    return Sample(suite=suite, flags=MULTIPART, parts=parts, upload_id="an upload")
