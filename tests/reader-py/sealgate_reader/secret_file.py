"""Secrets sealed with a passphrase, version 2 of secret files (FORMAT.md section 2)."""

from __future__ import annotations

import hashlib
import hmac
import re

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from .errors import InvalidConfiguration, Malformed
from .primitives import AES_256_GCM, KEY_LENGTH, ZERO_NONCE, Aead
from .wire import decode_base64url

MAXIMUM_LINE_LENGTH = 512
MAXIMUM_MEMORY = 512 * 1024
MAXIMUM_PASSES = 16
MAXIMUM_LANES = 16
MEMORY_PER_LANE = 8
PASSPHRASE_LENGTHS = range(12, 1025)
_REST = (
    r" argon2id ([1-9][0-9]{0,9}) ([1-9][0-9]{0,9}) ([1-9][0-9]{0,9}) ([A-Za-z0-9_-]{22})"
    r" ([A-Za-z0-9_-]{64}) ([0-9a-f]{8})\n"
)


def open_sealed_key(content: str, name: str, labels: str, passphrase: str) -> tuple[tuple[str, ...], bytes]:
    """The labels and the key of a line of version 2; `labels` is a pattern with a group for each label."""
    match = re.fullmatch(f"{name}-2 {labels}{_REST}", content)
    if match is None or len(content) > MAXIMUM_LINE_LENGTH:
        raise InvalidConfiguration(f"a sealed file is one line: {name}-2 <labels> argon2id <numbers> <salt> <key> <sum>")
    *found, memory_text, passes_text, lanes_text, salt_text, sealed_text, checksum = match.groups()
    before = content[: match.start(match.lastindex or 0)]
    if not hmac.compare_digest(hashlib.sha256(before.encode("ascii")).hexdigest()[:8], checksum):
        raise Malformed("the checksum of a sealed file is wrong: it was damaged or altered")
    memory, passes, lanes = int(memory_text), int(passes_text), int(lanes_text)
    if memory > MAXIMUM_MEMORY or passes > MAXIMUM_PASSES or lanes > MAXIMUM_LANES:
        raise Malformed("a sealed file asks for more than the limits of Argon2id")
    if memory < MEMORY_PER_LANE * lanes:
        raise Malformed("a sealed file has less than 8 KiB for each lane")
    secret = passphrase.encode("utf-8")
    if len(secret) not in PASSPHRASE_LENGTHS:
        raise InvalidConfiguration("a passphrase has 12 to 1024 bytes")
    salt = decode_base64url(salt_text, "the salt of a sealed file")
    derived = Argon2id(salt=salt, length=KEY_LENGTH, iterations=passes, lanes=lanes, memory_cost=memory).derive(secret)
    head = content[: match.start((match.lastindex or 0) - 1)].encode("ascii")
    sealed = decode_base64url(sealed_text, "the key of a sealed file")
    return tuple(found), Aead(AES_256_GCM, derived).open(ZERO_NONCE, head, sealed, "the sealed file")
