import unittest
from dataclasses import replace

from sealgate_reader.errors import InvalidConfiguration, KeyUnavailable, Malformed, NotAuthentic, SealgateError
from sealgate_reader.keys import LOCAL, Wrap, encryption_context, key_reference
from sealgate_reader.local_key import LocalKey, parse_key_file
from sealgate_reader.records import (
    PartRecord,
    UploadRecord,
    open_part_record,
    open_upload_record,
    parse_part_record,
    seal_part_name,
)
from sealgate_reader.registry import RegistryRecord, open_registry_record, registry_name

from .samples import DOMAIN, KEY, KEYS, WORKING_KEY, WORKING_KEY_ID, WRAPS, Sample, multipart

UPLOAD_ID = "the upload"
CONTEXT = encryption_context(DOMAIN, WORKING_KEY_ID)


class UploadRecords(unittest.TestCase):
    def setUp(self):
        self.sample = multipart(1)
        self.record = UploadRecord(5, 2, 1, "bucket", KEY, UPLOAD_ID, self.sample.raw)

    def _open(self, record, key=KEY):
        return open_upload_record(record.seal(self.sample.data_key), KEYS, DOMAIN, key)

    def test_round_trip(self):
        self.assertEqual(self._open(self.record)[0], self.record)

    def test_no_byte_can_be_altered(self):
        raw = self.record.seal(self.sample.data_key)
        for position in range(len(raw)):
            altered = bytearray(raw)
            altered[position] ^= 1
            with self.subTest(position), self.assertRaises(SealgateError):
                open_upload_record(bytes(altered), KEYS, DOMAIN, KEY)
        for wrong in (raw[:-1], raw + b"\0", b"", raw + bytes(70_000)):
            self.assertRaises(SealgateError, open_upload_record, wrong, KEYS, DOMAIN, KEY)

    def test_fields_that_cannot_be(self):
        for changes in (
            {"checksum_algorithm": 0},
            {"checksum_type": 0},
            {"checksum_algorithm": 11},
            {"checksum_type": 3},
            {"raw_header": Sample().raw},
            {"object_key": "k" * 1_025},
        ):
            self.assertRaises(Malformed, self._open, replace(self.record, **changes), None)
        self.assertRaises(Malformed, self._open, self.record, "another")
        self.assertRaises(NotAuthentic, self._open, replace(self.record, object_key="moved"), None)


class PartRecords(unittest.TestCase):
    def setUp(self):
        self.key = multipart(1).data_key
        self.record = PartRecord(77, 2**64 - 1, False, b"e" * 32, 5, b"c" * 32)
        self.name = self._seal(self.record)

    def _seal(self, record):
        return seal_part_name(record, 42, b"\x0a" * 16, UPLOAD_ID, self.key, b"n" * 12)

    def test_round_trip(self):
        place, record = open_part_record(self.name, UPLOAD_ID, self.key)
        self.assertEqual(record, self.record)
        self.assertEqual((place.number, place.attempt), (42, b"\x0a" * 16))

    def test_the_name_is_bound(self):
        self.assertIn("/00042/", self.name)
        for wrong in (
            self.name.replace("/00042/", "/00043/"),
            self.name.replace("/00042/", "/42/"),
            self.name.replace("/00042/", "/00000/"),
            self.name.replace("/00042/", "/10001/"),
            self.name.replace("0a0a", "0b0a", 1),
            self.name.replace("0a0a", "0A0A", 1),
            self.name.upper(),
            self.name + "a",
            self.name[:-1],
            self.name + "/",
            "/" + self.name,
            self.name + "\n",
        ):
            with self.subTest(wrong), self.assertRaises(SealgateError):
                open_part_record(wrong, UPLOAD_ID, self.key)
        self.assertRaises(Malformed, open_part_record, self.name, "other upload", self.key)

    def test_fields_that_cannot_be(self):
        for changes in ({"stashed": True}, {"checksum_algorithm": 11}, {"checksum": b""}, {"length": 2**46 + 1}):
            self.assertRaises(
                Malformed, open_part_record, self._seal(replace(self.record, **changes)), UPLOAD_ID, self.key
            )
        stashed = replace(self.record, stashed=True, etag_sha256=bytes(32))
        plain = bytearray(stashed.encode())
        plain[16] = 2
        self.assertRaises(Malformed, parse_part_record, bytes(plain))
        self.assertEqual(open_part_record(self._seal(stashed), UPLOAD_ID, self.key)[1], stashed)


class RegistryRecords(unittest.TestCase):
    def setUp(self):
        self.record = RegistryRecord(WORKING_KEY_ID, 9, DOMAIN, WRAPS)
        self.name = registry_name(WORKING_KEY_ID)
        self.raw = self.record.seal(WORKING_KEY)

    def test_round_trip(self):
        self.assertEqual(open_registry_record(self.name, self.raw, KEYS, DOMAIN), (self.record, WORKING_KEY))

    def test_no_byte_can_be_altered(self):
        for position in range(len(self.raw)):
            altered = bytearray(self.raw)
            altered[position] ^= 1
            with self.subTest(position), self.assertRaises(SealgateError):
                open_registry_record(self.name, bytes(altered), KEYS, DOMAIN)
        for wrong in (self.raw[:-1], self.raw + b"\0", b""):
            self.assertRaises(SealgateError, open_registry_record, self.name, wrong, KEYS, DOMAIN)

    def test_names_domains_and_wraps(self):
        for name in ("registry/" + "00" * 16, self.name.upper(), self.name + "0", "x" + self.name, ""):
            self.assertRaises(Malformed, open_registry_record, name, self.raw, KEYS, DOMAIN)
        self.assertRaises(Malformed, open_registry_record, self.name, self.raw, KEYS, "another")
        for count, refused in ((0, True), (1, False), (16, False), (17, True)):
            raw = replace(self.record, wraps=WRAPS[:1] * count).seal(WORKING_KEY)
            if refused:
                self.assertRaises(Malformed, open_registry_record, self.name, raw, KEYS, DOMAIN)
            else:
                open_registry_record(self.name, raw, KEYS, DOMAIN)


class LocalKeys(unittest.TestCase):
    def setUp(self):
        self.key = LocalKey("ab" * 16, bytes(range(32)))
        self.blob = self.key.wrap(WORKING_KEY, CONTEXT, b"n" * 12)

    def test_round_trip(self):
        self.assertEqual(len(self.blob), 61)
        self.assertEqual(parse_key_file(self.key.encode()).unwrap(self.blob, CONTEXT), WORKING_KEY)
        shuffled = dict(reversed(CONTEXT.items()))
        self.assertEqual(self.key.unwrap(self.blob, shuffled), WORKING_KEY)

    def test_blob_and_context_are_bound(self):
        for position in range(len(self.blob)):
            altered = bytearray(self.blob)
            altered[position] ^= 1
            self.assertRaises(SealgateError, self.key.unwrap, bytes(altered), CONTEXT)
        for wrong in (self.blob[:-1], self.blob + b"\0", b""):
            self.assertRaises(Malformed, self.key.unwrap, wrong, CONTEXT)
        for context in ({}, {**CONTEXT, "more": ""}, {**CONTEXT, "sealgate:domain": "x"}):
            self.assertRaises(NotAuthentic, self.key.unwrap, self.blob, context)

    def test_key_files_are_strict(self):
        good = self.key.encode()
        for wrong in (
            good[:-1],
            good + "\n",
            " " + good,
            good.replace("-1 ", "-2 "),
            good.upper(),
            good[:-2] + "9\n",
            "",
        ):
            with self.subTest(wrong), self.assertRaises(SealgateError):
                parse_key_file(wrong)
        self.assertRaises(InvalidConfiguration, parse_key_file, good.replace("\n", "\r\n"))

    def test_only_its_own_wrap_is_tried(self):
        own = Wrap(LOCAL, key_reference(LOCAL, self.key.key_id), self.blob)
        self.assertEqual(self.key.working_key(WORKING_KEY_ID, (*WRAPS, own), DOMAIN), WORKING_KEY)
        self.assertRaises(KeyUnavailable, self.key.working_key, WORKING_KEY_ID, WRAPS, DOMAIN)
        self.assertRaises(NotAuthentic, self.key.working_key, WORKING_KEY_ID, (own,), "another")
