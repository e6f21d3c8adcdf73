"""Sealed files (FORMAT.md section 8)."""

from __future__ import annotations

from . import limits
from .bodies import Body
from .commit import NO_UPLOAD
from .errors import Malformed, during
from .header import OpenedHeader, open_header, parse_header
from .keys import WorkingKeys
from .objects import Reader
from .primitives import SUITES
from .wire import Cursor, lp

MAGIC = b"SEALGATE"
DOMAIN = "file"
"""The domain of files unless the user names one."""
OBJECT_KEY = ""
PREAMBLE_LENGTH = len(MAGIC) + 4


class _Behind:
    """The bytes of a body behind `start`."""

    def __init__(self, body: Body, start: int) -> None:
        self._body = body
        self._start = start
        self.length = body.length - start

    def read(self, offset: int, count: int) -> bytes:
        return self._body.read(self._start + offset, count)


def read_raw_header(file: Body) -> bytes:
    """The header's bytes, of a file whose magic and header length are right."""
    preamble = Cursor(file.read(0, min(PREAMBLE_LENGTH, file.length)), "the file")
    preamble.expect(MAGIC, "the magic")
    length = preamble.integer(4, "the length of the header")
    if length > limits.HEADER_IN_FILE:
        raise Malformed(f"the header has {length} bytes, more than {limits.HEADER_IN_FILE}")
    return file.read(PREAMBLE_LENGTH, length)


def open_file(
    file: Body,
    working_keys: WorkingKeys,
    domain: str = DOMAIN,
    allowed_suites: frozenset[int] = SUITES,
) -> tuple[OpenedHeader, Reader]:
    """Open header and commit region of a sealed file; the reader then gives its plaintext."""
    with during("header"):
        raw = read_raw_header(file)
        header = parse_header(raw, limits.HEADER_IN_FILE)
        opened = open_header(header, working_keys, domain, OBJECT_KEY, allowed_suites)
    reader = Reader(opened, _Behind(file, PREAMBLE_LENGTH + len(raw)))
    with during("commit"):
        _check_parts(opened, reader)
    return opened, reader


def _check_parts(opened: OpenedHeader, reader: Reader) -> None:
    if not opened.header.multipart or reader.record is None:
        return
    if [part.number for part in reader.record.parts] != [1]:
        raise Malformed("a file of unknown length is one part, number 1")
    if reader.record.upload_hash != NO_UPLOAD:
        raise Malformed("a file names an upload")


def frame_file(raw_header: bytes, body: bytes) -> bytes:
    """A sealed file of a header and a sealed body."""
    return MAGIC + lp(raw_header) + body
