"""Local key files, provider 4 (FORMAT.md section 2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import InvalidConfiguration, KeyUnavailable, Malformed
from .keys import LOCAL, Wrap, check_working_key, encryption_context, key_reference
from .primitives import AES_256_GCM, KEY_LENGTH, NONCE_LENGTH, TAG_LENGTH, Aead
from .secret_file import open_sealed_key
from .wire import decode_base64url, encode_base64url, lp

BLOB_VERSION = 1
BLOB_LENGTH = 1 + NONCE_LENGTH + KEY_LENGTH + TAG_LENGTH
_LINE = re.compile(r"sealgate-local-key-1 ([0-9a-f]{32}) ([A-Za-z0-9_-]{43})\n")


def context_aad(context: Mapping[str, str]) -> bytes:
    """The encryption context as additional data: pairs in ascending order of names."""
    pairs = sorted((name.encode("utf-8"), value.encode("utf-8")) for name, value in context.items())
    return b"".join(lp(name) + lp(value) for name, value in pairs)


@dataclass(frozen=True, repr=False)
class LocalKey:
    """A key-encryption key kept in a file."""

    key_id: str
    key: bytes

    def encode(self) -> str:
        """The text of the key file."""
        return f"sealgate-local-key-1 {self.key_id} {encode_base64url(self.key)}\n"

    def unwrap(self, blob: bytes, context: Mapping[str, str]) -> bytes:
        """The working key in a wrap's blob, under exactly this encryption context."""
        if len(blob) != BLOB_LENGTH or blob[0] != BLOB_VERSION:
            raise Malformed(f"a local wrap has {BLOB_LENGTH} bytes and version {BLOB_VERSION}")
        nonce, sealed = blob[1 : 1 + NONCE_LENGTH], blob[1 + NONCE_LENGTH :]
        opened = Aead(AES_256_GCM, self.key).open(nonce, context_aad(context), sealed, "the local wrap")
        return check_working_key(opened)

    def wrap(self, working_key: bytes, context: Mapping[str, str], nonce: bytes) -> bytes:
        """The blob of a wrap of this working key."""
        sealed = Aead(AES_256_GCM, self.key).seal(nonce, context_aad(context), working_key)
        return bytes((BLOB_VERSION,)) + nonce + sealed

    def working_key(self, wk_id: bytes, wraps: tuple[Wrap, ...], domain: str) -> bytes:
        """Unwrap the wrap that this key has made; the others are not for it."""
        context = encryption_context(domain, wk_id)
        reference = key_reference(LOCAL, self.key_id)
        for wrap in wraps:
            if (wrap.provider, wrap.key_reference) == (LOCAL, reference):
                return self.unwrap(wrap.blob, context)
        raise KeyUnavailable(f"no wrap of working key {wk_id.hex()} was made with local key {self.key_id}")


def parse_key_file(content: str, passphrase: str | None = None) -> LocalKey:
    """The one line of a local key file, in either version."""
    if passphrase is not None:
        labels, key = open_sealed_key(content, "sealgate-local-key", "([0-9a-f]{32})", passphrase)
        return LocalKey(labels[0], key)
    match = _LINE.fullmatch(content)
    if match is None:
        raise InvalidConfiguration("a local key file is one line: sealgate-local-key-1 <key id> <key>")
    key = decode_base64url(match.group(2), "the key of a local key file")
    return LocalKey(match.group(1), key)
