"""Suites, labels, HKDF-Expand and HMAC (FORMAT.md section 1)."""

from __future__ import annotations

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from .errors import Malformed, NotAuthentic

VERSION = 1
AES_256_GCM = 1
CHACHA20_POLY1305 = 2
SUITES = frozenset({AES_256_GCM, CHACHA20_POLY1305})
NO_SUITE = 0
"""The suite in the label `registry`, which belongs to no object."""

KEY_LENGTH = 32
NONCE_LENGTH = 12
TAG_LENGTH = 16
SEALING_OVERHEAD = NONCE_LENGTH + TAG_LENGTH
ZERO_NONCE = bytes(NONCE_LENGTH)
DIGEST_LENGTH = 32
LABEL_LENGTH = 24


def label(purpose: str, suite: int) -> bytes:
    """L(purpose): 24 bytes that bind a derivation to format, version, suite and purpose."""
    value = b"sealgate" + bytes((VERSION, suite)) + purpose.encode("ascii")
    if len(value) > LABEL_LENGTH:
        raise ValueError(f"label {purpose!r} is too long")
    return value.ljust(LABEL_LENGTH, b"\0")


def expand(key: bytes, info: bytes) -> bytes:
    """EXPAND(key, info): 32 bytes of HKDF-Expand with SHA-256 (RFC 5869, section 2.3)."""
    return HKDFExpand(algorithm=SHA256(), length=KEY_LENGTH, info=info).derive(key)


def sha256(data: bytes) -> bytes:
    """SHA-256 (FIPS 180-4)."""
    return hashlib.sha256(data).digest()


def mac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104)."""
    return hmac.new(key, message, hashlib.sha256).digest()


def verify_mac(key: bytes, message: bytes, expected: bytes, what: str) -> None:
    """Refuse unless `expected` is the MAC of the message; compares in constant time."""
    if not hmac.compare_digest(mac(key, message), expected):
        raise NotAuthentic(f"the MAC of {what} does not verify")


def _cipher(suite: int, key: bytes) -> AESGCM | ChaCha20Poly1305:
    if suite == AES_256_GCM:
        return AESGCM(key)
    if suite == CHACHA20_POLY1305:
        return ChaCha20Poly1305(key)
    raise Malformed(f"suite {suite} is unknown")


class Aead:
    """One suite under one 32-byte key."""

    def __init__(self, suite: int, key: bytes) -> None:
        if len(key) != KEY_LENGTH:
            raise ValueError("an AEAD key has 32 bytes")
        self._cipher = _cipher(suite, key)

    def seal(self, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        """SEAL: ciphertext then tag."""
        return self._cipher.encrypt(nonce, plaintext, aad)

    def open(self, nonce: bytes, aad: bytes, sealed: bytes, what: str) -> bytes:
        """The plaintext, or NotAuthentic."""
        if len(sealed) < TAG_LENGTH:
            raise Malformed(f"{what} is shorter than a tag")
        try:
            return self._cipher.decrypt(nonce, sealed, aad)
        except InvalidTag as error:
            raise NotAuthentic(f"{what} does not open") from error
