import hashlib
import unittest

from sealgate_reader.errors import InvalidConfiguration, KeyUnavailable, Malformed, NotAuthentic, SealgateError
from sealgate_reader.header import open_header, parse_header, parse_s3_values
from sealgate_reader.keys import GivenWorkingKeys, OneWorkingKey, Wrap, encryption_context, key_reference
from sealgate_reader.limits import HEADER_IN_FILE, HEADER_IN_S3
from sealgate_reader.metadata import encode_metadata, padded_length, parse_metadata
from sealgate_reader.primitives import label
from sealgate_reader.wire import encode_base64url

from .samples import DOMAIN, KEY, KEYS, METADATA, WORKING_KEY_ID, WRAPS, Sample


def reopen(raw, domain=DOMAIN, key=KEY, keys=KEYS, **options):
    return open_header(parse_header(raw, HEADER_IN_S3), keys, domain, key, **options)


class Headers(unittest.TestCase):
    def test_opens_with_all_fields(self):
        for suite in (1, 2):
            opened = reopen(Sample(suite=suite, length=70_000).raw)
            self.assertEqual(opened.metadata, METADATA)
            self.assertEqual(opened.header.plaintext_length, 70_000)
            self.assertEqual(opened.header.created, 1_700_000_000_123)
            self.assertEqual(opened.header.wraps, WRAPS)

    def test_no_byte_can_be_altered(self):
        for suite in (1, 2):
            raw = Sample(suite=suite).raw
            for position in range(len(raw)):
                for mask in (1, 128, 255):
                    altered = bytearray(raw)
                    altered[position] ^= mask
                    with self.subTest(position=position, mask=mask), self.assertRaises(SealgateError):
                        reopen(bytes(altered))

    def test_no_byte_can_be_cut_or_added(self):
        raw = Sample().raw
        for length in range(len(raw)):
            self.assertRaises(SealgateError, reopen, raw[:length])
        for extension in (b"\0", raw[-32:], raw):
            self.assertRaises(Malformed, reopen, raw + extension)

    def test_bound_to_its_place(self):
        raw = Sample().raw
        for domain, key in ((DOMAIN + "x", KEY), (DOMAIN, KEY + "x"), (DOMAIN, ""), (DOMAIN + KEY[0], KEY[1:])):
            self.assertRaises(NotAuthentic, reopen, raw, domain, key)
        self.assertRaises(NotAuthentic, reopen, raw, DOMAIN, "photos/e\u0301te\u0301 1.jpg")

    def test_expectations_are_checked(self):
        raw = Sample().raw
        for domain in ("", "a\nb", "a\x7f", "é" * 128):
            self.assertRaises(InvalidConfiguration, reopen, raw, domain)
        self.assertRaises(InvalidConfiguration, reopen, raw, DOMAIN, "k" * 1_025)
        self.assertRaises(Malformed, reopen, raw, allowed_suites=frozenset({2}))

    def test_keys(self):
        raw = Sample().raw
        self.assertRaises(KeyUnavailable, reopen, raw, keys=GivenWorkingKeys({}))
        self.assertRaises(KeyUnavailable, reopen, raw, keys=GivenWorkingKeys({WORKING_KEY_ID: bytes(31)}))
        self.assertRaises(NotAuthentic, reopen, raw, keys=OneWorkingKey(bytes(32)))

    def test_flags(self):
        for flags in (3, 4, 128):
            self.assertRaises(Malformed, reopen, Sample(flags=flags).raw)
        named = bytearray(Sample(flags=1).raw)
        named[72:80] = bytes(8)
        self.assertRaisesRegex(Malformed, "multipart", reopen, bytes(named))
        unnamed = bytearray(Sample().raw)
        unnamed[72:80] = b"\xff" * 8
        self.assertRaisesRegex(Malformed, "beyond", reopen, bytes(unnamed))

    def test_wraps(self):
        one = Wrap(1, bytes(8), b"b")
        for wraps in ((), (one, one, one), (Wrap(0, bytes(8), b"b"),), (Wrap(1, bytes(8), b""),)):
            self.assertRaises(Malformed, reopen, Sample(wraps=wraps).raw)
        self.assertRaises(Malformed, parse_header, Sample(wraps=(Wrap(1, bytes(8), bytes(1_025)),)).raw, HEADER_IN_FILE)
        reopen(Sample(wraps=(one, one)).raw)

    def test_one_s3_value(self):
        text = encode_base64url(Sample().raw)
        self.assertEqual(parse_s3_values([text]).suite, 1)
        for values in ([], [text, text], [text + ","], [text + "="], ["A" * 2_001], [text + "\n"], [""]):
            self.assertRaises(Malformed, parse_s3_values, values)

    def test_the_limits_of_its_length(self):
        rest = len(Sample(metadata={}).raw) - 60
        value = HEADER_IN_S3 - rest - 28 - 2 - 1 - 3 - 2
        self.assertEqual(len(Sample(metadata={"x:a": bytes(value)}).raw), HEADER_IN_S3)
        reopen(Sample(metadata={"x:a": bytes(value)}).raw)
        longer = Sample(metadata={"x:a": bytes(value + 1)}).raw
        self.assertRaises(Malformed, reopen, longer)
        open_header(parse_header(longer, HEADER_IN_FILE), KEYS, DOMAIN, KEY)


class Metadata(unittest.TestCase):
    def test_round_trip_and_padding(self):
        for rest in (200, 1_000, 1_400, 1_440, 1_441, 5_000):
            for metadata in ({}, METADATA, {"a": bytes(31)}, {f"x:{n:03}": b"v" for n in range(30)}):
                plaintext = encode_metadata(metadata, rest)
                self.assertEqual(parse_metadata(plaintext, rest), metadata)
                for wrong in (plaintext + b"\0", plaintext + bytes(32), plaintext[:-1]):
                    self.assertRaises(Malformed, parse_metadata, wrong, rest)

    def test_the_border_of_padding(self):
        self.assertEqual(padded_length(2, 1_500 - 28 - 32), 32)
        self.assertEqual(padded_length(2, 1_500 - 28 - 31), 2)

    def test_padding_must_be_zero(self):
        self.assertRaises(Malformed, parse_metadata, bytes(31) + b"\1", 200)

    def test_entries_are_strict(self):
        def entry(name, value=b""):
            return bytes([len(name)]) + name + len(value).to_bytes(2, "big") + value

        good = entry(b"a") + entry(b"b", b"2")
        wrong = {
            "order": entry(b"b") + entry(b"a"),
            "unique": entry(b"a") + entry(b"a"),
            "empty name": entry(b""),
            "upper case": entry(b"A"),
            "space": entry(b"a b"),
            "not ascii": entry("é".encode()),
            "delete": entry(b"\x7f"),
            "checksum width": entry(b"checksum-md5", bytes(15)),
            "open end": entry(b"a")[:-1],
            "value beyond": entry(b"a")[:-1] + b"\x09",
        }
        self.assertEqual(self._parse(good), {"a": b"", "b": b"2"})
        for name, entries in wrong.items():
            with self.subTest(name):
                self.assertRaises(Malformed, self._parse, entries)

    def _parse(self, entries):
        plaintext = len(entries).to_bytes(2, "big") + entries
        return parse_metadata(plaintext.ljust(padded_length(len(plaintext), 200), b"\0"), 200)

    def test_entries_longer_than_the_plaintext(self):
        self.assertRaises(Malformed, parse_metadata, b"\xff\xff" + bytes(30), 200)
        self.assertRaises(Malformed, parse_metadata, b"", 200)


class Keys(unittest.TestCase):
    def test_labels(self):
        self.assertEqual(label("wrap", 2), b"sealgate\x01\x02wrap" + bytes(10))
        self.assertEqual(len(label("commit-mac", 1)), 24)

    def test_key_reference(self):
        message = b"\0\0\0\x07aws-kms" + b"\0\0\0\x03arn"
        self.assertEqual(key_reference(1, "arn"), hashlib.sha256(message).digest()[:8])

    def test_encryption_context(self):
        expected = {"sealgate:format": "1", "sealgate:domain": "d/b", "sealgate:working-key": "0f" * 16}
        self.assertEqual(encryption_context("d/b", b"\x0f" * 16), expected)
