"""Registry records of working keys (FORMAT.md section 10)."""

from __future__ import annotations

from dataclasses import dataclass

from . import limits
from .errors import InvalidConfiguration, Malformed
from .keys import WORKING_KEY_ID_LENGTH, WorkingKeys, Wrap, check_domain, parse_wraps
from .primitives import DIGEST_LENGTH, NO_SUITE, VERSION, expand, label, mac, verify_mac
from .wire import Cursor, decode_hex, lp, text, u8, u64

MAGIC = b"SGWK"
START = MAGIC + bytes((VERSION, 0, 0, 0))
PREFIX = "registry/"


@dataclass(frozen=True)
class RegistryRecord:
    """One working key: when it was made, for which domain, and its wraps."""

    wk_id: bytes
    created: int
    domain: str
    wraps: tuple[Wrap, ...]

    def seal(self, working_key: bytes) -> bytes:
        """The record as stored."""
        head = START + self.wk_id + u64(self.created) + lp(check_domain(self.domain))
        message = head + u8(len(self.wraps)) + b"".join(wrap.encode() for wrap in self.wraps)
        return message + mac(_key(working_key), message)


def _key(working_key: bytes) -> bytes:
    return expand(working_key, label("registry", NO_SUITE))


def registry_name(wk_id: bytes) -> str:
    """The record's name in the state bucket."""
    return PREFIX + wk_id.hex()


def _check_stored_domain(domain: str) -> None:
    try:
        check_domain(domain)
    except InvalidConfiguration as error:
        raise Malformed(f"the registry record's domain: {error}") from error


def parse_registry_record(name: str, raw: bytes) -> tuple[RegistryRecord, bytes]:
    """The fields and the MAC of the record of this name, nothing of it authenticated."""
    if not name.startswith(PREFIX):
        raise Malformed("the name is not that of a registry record")
    expected_id = decode_hex(name.removeprefix(PREFIX), WORKING_KEY_ID_LENGTH, "the name's working key identifier")
    if len(raw) > limits.RECORD:
        raise Malformed(f"the registry record has {len(raw)} bytes, more than {limits.RECORD}")
    cursor = Cursor(raw, "the registry record")
    cursor.expect(START, "the magic and version")
    wk_id = cursor.take(WORKING_KEY_ID_LENGTH, "the working key identifier")
    if wk_id != expected_id:
        raise Malformed("the registry record is of another working key than its name")
    created = cursor.integer(8, "the time of creation")
    domain = text(cursor.prefixed("the domain", limits.DOMAIN), "the domain")
    _check_stored_domain(domain)
    wraps = parse_wraps(cursor, limits.WRAPS_IN_REGISTRY)
    record_mac = cursor.take(DIGEST_LENGTH, "the MAC")
    cursor.finish()
    return RegistryRecord(wk_id, created, domain, wraps), record_mac


def open_registry_record(name: str, raw: bytes, working_keys: WorkingKeys, domain: str) -> tuple[RegistryRecord, bytes]:
    """A record whose MAC verifies, and its working key, for the domain that the caller expects."""
    record, record_mac = parse_registry_record(name, raw)
    if record.domain != domain:
        raise Malformed("the registry record is of another domain")
    working_key = working_keys.working_key(record.wk_id, record.wraps, domain)
    verify_mac(_key(working_key), raw[:-DIGEST_LENGTH], record_mac, "the registry record")
    return record, working_key
