import unittest

from sealgate_reader.errors import Malformed
from sealgate_reader.wire import (
    Cursor,
    decode_base32,
    decode_base64url,
    decode_hex,
    encode_base32,
    encode_base64url,
    lp,
)


class Encodings(unittest.TestCase):
    def test_round_trips_of_every_length(self):
        for length in range(70):
            data = bytes(255 - index for index in range(length))
            self.assertEqual(decode_base64url(encode_base64url(data), "x"), data)
            self.assertEqual(decode_base32(encode_base32(data), "x"), data)

    def test_base64url_has_one_spelling(self):
        self.assertEqual(decode_base64url("-_8", "x"), b"\xfb\xff")
        for wrong in ("-_8=", "-_9", "+/8", "-_8\n", " -_8", "-_8 ", "A", "AAAAA", "é", "-_,8"):
            with self.subTest(wrong):
                self.assertRaises(Malformed, decode_base64url, wrong, "x")

    def test_base32_has_one_spelling(self):
        self.assertEqual(decode_base32("mzxw6", "x"), b"foo")
        for wrong in ("MZXW6", "mzxw6===", "mzxw7", "m", "mzx", "mzxw6a", "mzxw1", "mzxw6\n"):
            with self.subTest(wrong):
                self.assertRaises(Malformed, decode_base32, wrong, "x")

    def test_hex_is_lower_case_and_of_its_length(self):
        self.assertEqual(decode_hex("00ff", 2, "x"), b"\0\xff")
        for wrong in ("00FF", "00f", "00ff00", "0x00", "00f\n", ""):
            with self.subTest(wrong):
                self.assertRaises(Malformed, decode_hex, wrong, 2, "x")


class Cursors(unittest.TestCase):
    def test_reads_and_ends(self):
        cursor = Cursor(b"\x01\x02" + lp(b"abc") + b"z", "a test")
        self.assertEqual(cursor.integer(2, "n"), 0x0102)
        self.assertEqual(cursor.prefixed("text", 3), b"abc")
        self.assertRaises(Malformed, cursor.finish)
        cursor.take(1, "z")
        cursor.finish()
        self.assertRaises(Malformed, cursor.take, 1, "more")

    def test_a_length_beyond_its_limit_or_the_end(self):
        self.assertRaises(Malformed, Cursor(lp(b"abc"), "a test").prefixed, "text", 2)
        self.assertRaises(Malformed, Cursor(b"\xff\xff\xff\xff", "a test").prefixed, "text", 2**32)
