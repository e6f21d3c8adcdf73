"""The offline recovery key, provider 5 (FORMAT.md section 2): HPKE in Auth mode, written from RFC 9180."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from .errors import InvalidConfiguration, Malformed, NotAuthentic
from .keys import check_working_key
from .local_key import context_aad
from .primitives import CHACHA20_POLY1305, Aead, mac
from .wire import decode_base64url, lp

BLOB_LENGTH = 81
BLOB_VERSION = 1
MODE_AUTH = b"\x02"
KEM_ID, KDF_ID, AEAD_ID = b"\x00\x20", b"\x00\x01", b"\x00\x03"
KEM_SUITE = b"KEM" + KEM_ID
HPKE_SUITE = b"HPKE" + KEM_ID + KDF_ID + AEAD_ID
_LINE = re.compile(r"sealgate-recovery-key-1 ([A-Za-z0-9._-]{1,64}) ([A-Za-z0-9_-]{43}) ([A-Za-z0-9_-]{43})\n")


def _extract(suite: bytes, salt: bytes, name: bytes, ikm: bytes) -> bytes:
    return mac(salt, b"HPKE-v1" + suite + name + ikm)


def _expand(suite: bytes, prk: bytes, name: bytes, info: bytes, length: int) -> bytes:
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + name + info
    return HKDFExpand(algorithm=SHA256(), length=length, info=labeled).derive(prk)


@dataclass(frozen=True, repr=False)
class RecoveryKey:
    """The private key, and the one sender that it believes."""

    deployment: str
    sender: bytes
    private: bytes

    def _shared_secret(self, encapsulated: bytes) -> bytes:
        """AuthDecap (RFC 9180, section 4.1)."""
        private = X25519PrivateKey.from_private_bytes(self.private)
        try:
            dh = b"".join(
                private.exchange(X25519PublicKey.from_public_bytes(public)) for public in (encapsulated, self.sender)
            )
        except ValueError as error:
            raise NotAuthentic("a public key of small order") from error
        context = encapsulated + private.public_key().public_bytes_raw() + self.sender
        prk = _extract(KEM_SUITE, b"", b"eae_prk", dh)
        return _expand(KEM_SUITE, prk, b"shared_secret", context, 32)

    def open(self, encapsulated: bytes, info: bytes, aad: bytes, sealed: bytes) -> bytes:
        """OpenAuth (RFC 9180, sections 5.1 and 6.1)."""
        psk_id_hash = _extract(HPKE_SUITE, b"", b"psk_id_hash", b"")
        info_hash = _extract(HPKE_SUITE, b"", b"info_hash", info)
        schedule = MODE_AUTH + psk_id_hash + info_hash
        secret = _extract(HPKE_SUITE, self._shared_secret(encapsulated), b"secret", b"")
        key = _expand(HPKE_SUITE, secret, b"key", schedule, 32)
        nonce = _expand(HPKE_SUITE, secret, b"base_nonce", schedule, 12)
        return Aead(CHACHA20_POLY1305, key).open(nonce, aad, sealed, "the recovery wrap")

    def unwrap(self, blob: bytes, context: Mapping[str, str]) -> bytes:
        """The working key in a wrap's blob, under exactly this encryption context."""
        if len(blob) != BLOB_LENGTH or blob[0] != BLOB_VERSION:
            raise Malformed(f"a recovery wrap has {BLOB_LENGTH} bytes and version {BLOB_VERSION}")
        info = lp(b"sealgate recovery wrap 1") + lp(self.deployment.encode("ascii"))
        return check_working_key(self.open(blob[1:33], info, context_aad(context), blob[33:]))


def parse_recovery_key_file(content: str) -> RecoveryKey:
    """The one line of a recovery key file that is not sealed."""
    match = _LINE.fullmatch(content)
    if match is None:
        raise InvalidConfiguration("a recovery key file is one line: sealgate-recovery-key-1 <deployment> <sender> <key>")
    sender = decode_base64url(match.group(2), "the sender in a recovery key file")
    return RecoveryKey(match.group(1), sender, decode_base64url(match.group(3), "the key in a recovery key file"))
