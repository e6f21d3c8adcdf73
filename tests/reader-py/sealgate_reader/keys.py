"""Domains, working keys, wraps and the keys derived from a data key (FORMAT.md section 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from . import limits
from .errors import InvalidConfiguration, KeyUnavailable, Malformed
from .primitives import KEY_LENGTH, ZERO_NONCE, Aead, expand, label, sha256
from .wire import Cursor, lp, u8, u16

AWS_KMS = 1
LOCAL = 4
PROVIDER_NAMES = {1: "aws-kms", 2: "vault-transit", 3: "pkcs11", 4: "local", 5: "recovery"}
KEY_REFERENCE_LENGTH = 8
WORKING_KEY_ID_LENGTH = 16


def check_domain(domain: str) -> bytes:
    """The domain in UTF-8: 1 to 255 bytes without control characters."""
    encoded = domain.encode("utf-8")
    if not 1 <= len(encoded) <= limits.DOMAIN:
        raise InvalidConfiguration(f"a domain has 1 to {limits.DOMAIN} bytes, not {len(encoded)}")
    if any(character < 0x20 or character == 0x7F for character in encoded):
        raise InvalidConfiguration("a domain has no control characters")
    return encoded


def encryption_context(domain: str, wk_id: bytes) -> dict[str, str]:
    """The three pairs under which a key service wraps a working key."""
    check_domain(domain)
    return {"sealgate:format": "1", "sealgate:domain": domain, "sealgate:working-key": wk_id.hex()}


def key_reference(provider: int, key_name: str) -> bytes:
    """The 8 bytes that stand for a key in a wrap."""
    name = PROVIDER_NAMES[provider].encode("ascii")
    return sha256(lp(name) + lp(key_name.encode("utf-8")))[:KEY_REFERENCE_LENGTH]


@dataclass(frozen=True)
class Wrap:
    """A working key as one key service has wrapped it."""

    provider: int
    key_reference: bytes
    blob: bytes

    def encode(self) -> bytes:
        """As stored in a header or in a registry record."""
        return u8(self.provider) + self.key_reference + u16(len(self.blob)) + self.blob


def parse_wrap(cursor: Cursor) -> Wrap:
    """One wrap; an unknown provider is kept, provider 0 is refused."""
    provider = cursor.integer(1, "the provider of a wrap")
    if provider == 0:
        raise Malformed("provider 0 of a wrap is invalid")
    reference = cursor.take(KEY_REFERENCE_LENGTH, "the key reference of a wrap")
    length = cursor.integer(2, "the length of a wrap's blob")
    if not 1 <= length <= limits.WRAP_BLOB:
        raise Malformed(f"a wrap's blob has 1 to {limits.WRAP_BLOB} bytes, not {length}")
    return Wrap(provider, reference, cursor.take(length, "a wrap's blob"))


def parse_wraps(cursor: Cursor, limit: int) -> tuple[Wrap, ...]:
    """The count of wraps, 1 to `limit`, and the wraps."""
    count = cursor.integer(1, "the number of wraps")
    if not 1 <= count <= limit:
        raise Malformed(f"there are 1 to {limit} wraps, not {count}")
    return tuple(parse_wrap(cursor) for _ in range(count))


def check_working_key(working_key: bytes) -> bytes:
    """Refuse what a key service gave unless it has 32 bytes."""
    if len(working_key) != KEY_LENGTH:
        raise KeyUnavailable(f"the key service gave a working key of {len(working_key)} bytes, not {KEY_LENGTH}")
    return working_key


class WorkingKeys(Protocol):
    """Where working keys come from: given, a local key file, or a key service."""

    def working_key(self, wk_id: bytes, wraps: tuple[Wrap, ...], domain: str) -> bytes:
        """The 32 bytes of the working key, or KeyUnavailable."""


class GivenWorkingKeys:
    """Working keys that the caller holds already, by identifier."""

    def __init__(self, keys: Mapping[bytes, bytes]) -> None:
        self._keys = dict(keys)

    def working_key(self, wk_id: bytes, wraps: tuple[Wrap, ...], domain: str) -> bytes:
        """The key given for this identifier."""
        del wraps
        check_domain(domain)
        if wk_id not in self._keys:
            raise KeyUnavailable(f"no working key {wk_id.hex()} was given")
        return check_working_key(self._keys[wk_id])


class OneWorkingKey:
    """One working key that the caller gives for whatever identifier is asked for."""

    def __init__(self, key: bytes) -> None:
        self._key = check_working_key(key)

    def working_key(self, wk_id: bytes, wraps: tuple[Wrap, ...], domain: str) -> bytes:
        """That key; if it is not the right one, the data key does not open."""
        del wk_id, wraps
        check_domain(domain)
        return self._key


@dataclass(frozen=True, repr=False)
class DataKey:
    """A data key with the suite and object that all its derivations name."""

    suite: int
    object_id: bytes
    key: bytes

    def label(self, purpose: str) -> bytes:
        """L(purpose) with the object's suite."""
        return label(purpose, self.suite)

    def derive(self, purpose: str, context: bytes = b"") -> bytes:
        """EXPAND(DEK, L(purpose) ‖ context)."""
        return expand(self.key, self.label(purpose) + context)

    def aead(self, purpose: str, context: bytes = b"") -> Aead:
        """The object's AEAD under a derived key."""
        return Aead(self.suite, self.derive(purpose, context))

    def body_aead(self, number: int, attempt: bytes) -> Aead:
        """The AEAD of one part's segments."""
        return self.aead("body", self.object_id + u16(number) + attempt)


def _wrapping(suite: int, working_key: bytes, wrap_salt: bytes) -> Aead:
    return Aead(suite, expand(working_key, label("wrap", suite) + wrap_salt))


def open_data_key(suite: int, working_key: bytes, wrap_salt: bytes, object_id: bytes, sealed: bytes) -> DataKey:
    """Open the 48 bytes of sealed_dek."""
    aad = label("wrap", suite) + object_id
    key = _wrapping(suite, working_key, wrap_salt).open(ZERO_NONCE, aad, sealed, "the sealed data key")
    return DataKey(suite, object_id, key)


def seal_data_key(data_key: DataKey, working_key: bytes, wrap_salt: bytes) -> bytes:
    """The 48 bytes of sealed_dek."""
    aad = data_key.label("wrap") + data_key.object_id
    return _wrapping(data_key.suite, working_key, wrap_salt).seal(ZERO_NONCE, aad, data_key.key)
