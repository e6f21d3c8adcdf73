"""Strict reading and writing of the integers and strings of FORMAT.md section 1."""

from __future__ import annotations

import base64
import binascii
import re

from .errors import Malformed


def u8(value: int) -> bytes:
    """One byte. Raises OverflowError where the value does not fit; so do the other widths."""
    return value.to_bytes(1, "big")


def u16(value: int) -> bytes:
    """Two bytes, big-endian."""
    return value.to_bytes(2, "big")


def u32(value: int) -> bytes:
    """Four bytes, big-endian."""
    return value.to_bytes(4, "big")


def u64(value: int) -> bytes:
    """Eight bytes, big-endian."""
    return value.to_bytes(8, "big")


def lp(value: bytes) -> bytes:
    """`u32` length of the value, then the value."""
    return u32(len(value)) + value


class Cursor:
    """Reads a byte string from front to back and refuses to read past its end."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = bytes(data)
        self._what = what
        self.position = 0

    def take(self, count: int, field: str) -> bytes:
        """The next `count` bytes; `field` names them in the error."""
        end = self.position + count
        if end > len(self._data):
            raise Malformed(
                f"{self._what} ends inside {field}: {count} bytes wanted, {len(self._data) - self.position} left"
            )
        value = self._data[self.position : end]
        self.position = end
        return value

    def integer(self, width: int, field: str) -> int:
        """The next `width` bytes as an unsigned big-endian integer."""
        return int.from_bytes(self.take(width, field), "big")

    def prefixed(self, field: str, limit: int) -> bytes:
        """The next lp() string, of at most `limit` bytes."""
        length = self.integer(4, f"the length of {field}")
        if length > limit:
            raise Malformed(f"{self._what}: {field} has {length} bytes, more than {limit}")
        return self.take(length, field)

    def expect(self, value: bytes, field: str) -> None:
        """The next bytes must be exactly `value`."""
        found = self.take(len(value), field)
        if found != value:
            raise Malformed(f"{self._what}: {field} is {found.hex()}, not {value.hex()}")

    def finish(self) -> None:
        """Nothing may follow."""
        if self.position != len(self._data):
            raise Malformed(f"{self._what}: {len(self._data) - self.position} bytes follow its end")


def text(value: bytes, field: str) -> str:
    """Strict UTF-8."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"{field} is not UTF-8") from error


def decode_base64url(value: str, field: str) -> bytes:
    """base64url without padding; the one spelling of each byte string only."""
    if re.fullmatch(r"[A-Za-z0-9_-]*", value) is None or len(value) % 4 == 1:
        raise Malformed(f"{field} is not base64url without padding")
    try:
        decoded = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise Malformed(f"{field} is not base64url without padding") from error
    if encode_base64url(decoded) != value:
        raise Malformed(f"{field}: unused trailing bits are not zero")
    return decoded


def encode_base64url(value: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(value).decode("ascii").rstrip("=")


def decode_base32(value: str, field: str) -> bytes:
    """RFC 4648 base32 in lower case without padding, trailing bits zero."""
    if re.fullmatch(r"[a-z2-7]*", value) is None or len(value) % 8 in (1, 3, 6):
        raise Malformed(f"{field} is not lower-case base32 without padding")
    decoded = base64.b32decode(value.upper() + "=" * (-len(value) % 8))
    if encode_base32(decoded) != value:
        raise Malformed(f"{field}: unused trailing bits are not zero")
    return decoded


def encode_base32(value: bytes) -> str:
    """RFC 4648 base32 in lower case without padding."""
    return base64.b32encode(value).decode("ascii").rstrip("=").lower()


def decode_hex(value: str, count: int, field: str) -> bytes:
    """Exactly `count` bytes in lower-case hexadecimal digits."""
    if re.fullmatch(r"[0-9a-f]*", value) is None or len(value) != 2 * count:
        raise Malformed(f"{field} is not {2 * count} lower-case hexadecimal digits")
    return bytes.fromhex(value)
