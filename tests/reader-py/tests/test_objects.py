import hmac
import random
import unittest
from dataclasses import replace

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sealgate_reader.bodies import FlippedBody, MemoryBody, ResizedBody, SwappedBody
from sealgate_reader.commit import NO_UPLOAD, CommitRecord, Part, open_record, parse_record, seal_record
from sealgate_reader.errors import InvalidConfiguration, Malformed, NotAuthentic, SealgateError
from sealgate_reader.files import frame_file, open_file
from sealgate_reader.lengths import MINIMUM_PART, SEALED_SEGMENT, sealed_length, sealed_part_length
from sealgate_reader.objects import Reader
from sealgate_reader.pattern import pattern

from .samples import KEYS, OBJECT_ID, Sample, multipart

SIZES = (0, 1, 2, 65_535, 65_536, 65_537, 131_072, 131_073, 200_000)


def release(reader):
    """Plaintext that a whole reader releases, and the refusal that ends it, if any."""
    released = bytearray()
    try:
        for piece in reader.whole():
            released += piece
    except SealgateError as error:
        return bytes(released), error
    return bytes(released), None


class Pattern(unittest.TestCase):
    def test_by_its_definition(self):
        for start in (0, 65_000, 16_777_000, 2**32 - 300):
            expected = bytes((i ^ (i >> 8) ^ (i >> 16)) & 255 for i in range(start, start + 1_000))
            self.assertEqual(pattern(start, 1_000), expected)


class Segments(unittest.TestCase):
    def test_the_bytes_of_section_4(self):
        sample = Sample(length=65_537)
        body = bytes(sample.body())
        info = b"sealgate\1\1body" + bytes(10) + OBJECT_ID + b"\0\0" + OBJECT_ID
        cipher = AESGCM(hmac.digest(sample.data_key.key, info + b"\1", "sha256"))
        first = cipher.decrypt(body[:12], body[12:65_564], bytes(9))
        last = cipher.decrypt(body[65_564:65_576], body[65_576:65_593], bytes(7) + b"\1\1")
        self.assertEqual(first + last, pattern(0, 65_537))


class Whole(unittest.TestCase):
    def test_single_objects_of_every_size_suite_and_flag(self):
        for suite in (1, 2):
            for flags in (0, 2):
                for size in SIZES:
                    sample = Sample(suite=suite, flags=flags, length=size)
                    body = sample.body()
                    self.assertEqual(len(body), sealed_length(size))
                    released, error = release(Reader(sample.opened(), MemoryBody(body)))
                    self.assertIsNone(error)
                    self.assertEqual(released, pattern(0, size))

    def test_multipart_objects(self):
        for sample in (
            multipart(0),
            multipart(10),
            multipart(MINIMUM_PART, 0),
            multipart(MINIMUM_PART + 1, MINIMUM_PART + 65_537, 9, suite=2, first_number=3, step=500),
        ):
            released, error = release(Reader(sample.opened(), MemoryBody(sample.body())))
            self.assertIsNone(error)
            self.assertEqual(released, pattern(0, sample.length))

    def test_what_is_released_before_a_segment_fails(self):
        sample = Sample(length=200_000)
        body = MemoryBody(sample.body())
        for index, released_length in enumerate((0, 65_536, 131_072, 196_608)):
            start = index * SEALED_SEGMENT
            for position in (start, start + 12, start + 3_000, start + 3_419):
                reader = Reader(sample.opened(), FlippedBody(body, position, 4))
                released, error = release(reader)
                self.assertIsInstance(error, NotAuthentic)
                self.assertEqual(error.stage, "segment")
                self.assertEqual(released, pattern(0, released_length))
                self.assertEqual(release(reader), (b"", error))

    def test_segments_exchanged_within_and_across_parts(self):
        sample = multipart(MINIMUM_PART, MINIMUM_PART)
        body = MemoryBody(sample.body())
        for first, second in ((0, 1), (0, 80), (79, 159)):
            swapped = SwappedBody(body, first * SEALED_SEGMENT, second * SEALED_SEGMENT, SEALED_SEGMENT)
            released, error = release(Reader(sample.opened(), swapped))
            self.assertIsInstance(error, NotAuthentic)
            self.assertEqual(released, pattern(0, first * 65_536))

    def test_wrong_lengths_release_nothing(self):
        for sample in (Sample(length=131_072), Sample(flags=2, length=131_072), multipart(131_072)):
            body = MemoryBody(sample.body())
            lengths = (0, body.length - 1, body.length + 1, sealed_length(65_536), sealed_length(131_073), 400)
            for length in lengths:
                with self.assertRaises(SealgateError) as caught:
                    Reader(sample.opened(), ResizedBody(body, length))
                self.assertEqual(caught.exception.stage, "commit")

    def test_no_byte_of_the_region_can_be_altered(self):
        for flags in (0, 2):
            sample = Sample(flags=flags, length=3)
            body = MemoryBody(sample.body())
            for position in range(sealed_part_length(3), body.length):
                with self.assertRaises(SealgateError) as caught:
                    b"".join(Reader(sample.opened(), FlippedBody(body, position, 16)).whole())
                self.assertEqual(caught.exception.stage, "commit")


class Ranges(unittest.TestCase):
    def test_against_slices(self):
        chance = random.Random(2)
        for sample in (
            Sample(length=200_000),
            Sample(length=131_072, flags=2, suite=2),
            multipart(MINIMUM_PART + 1, MINIMUM_PART, 70_000),
        ):
            body = MemoryBody(sample.body())
            whole = pattern(0, sample.length)
            borders = (0, 65_535, 65_536, MINIMUM_PART, MINIMUM_PART + 1, 2 * MINIMUM_PART + 1, sample.length - 1)
            points = [point for point in borders if point < sample.length]
            points += [chance.randrange(sample.length) for _ in range(6)]
            for first in points:
                for last in (point for point in points if point >= first):
                    found = b"".join(Reader(sample.opened(), body).range(first, last))
                    self.assertEqual(found, whole[first : last + 1])

    def test_only_its_own_segments_matter(self):
        sample = Sample(length=200_000)
        body = FlippedBody(MemoryBody(sample.body()), 5, 1)
        self.assertEqual(b"".join(Reader(sample.opened(), body).range(65_536, 65_540)), pattern(65_536, 5))
        with self.assertRaises(NotAuthentic):
            list(Reader(sample.opened(), body).range(65_535, 65_540))

    def test_outside(self):
        reader = Reader(Sample(length=10).opened(), MemoryBody(Sample(length=10).body()))
        for first, last in ((0, 10), (5, 4), (-1, 3), (10, 10)):
            self.assertRaises(InvalidConfiguration, reader.range, first, last)


class Records(unittest.TestCase):
    def _refused(self, sample, **changes):
        record = replace(sample.record, **changes)
        body = bytearray(sample.body())
        sealed = seal_record(record.encode(), sample.data_key, sample.flags)
        body[len(body) - len(sealed) :] = sealed
        with self.assertRaises(Malformed):
            Reader(sample.opened(), MemoryBody(body))

    def test_round_trip(self):
        parts = (Part(1, MINIMUM_PART, b"a" * 16, b"1234"), Part(10_000, 0, b"b" * 16, b"5678"))
        record = CommitRecord(OBJECT_ID, MINIMUM_PART, b"u" * 32, 1, 2, b"abcd", parts)
        self.assertEqual(parse_record(record.encode()), record)
        for wrong in (record.encode()[:-1], record.encode() + b"\0", b""):
            self.assertRaises(Malformed, parse_record, wrong)

    def test_single_objects(self):
        sample = Sample(length=20)
        part = sample.parts[0]
        self._refused(sample, object_id=bytes(16))
        self._refused(sample, plaintext_length=19)
        self._refused(sample, upload_hash=b"u" * 32)
        self._refused(sample, parts=(replace(part, number=1),))
        self._refused(sample, parts=(replace(part, attempt=bytes(16)),))
        self._refused(sample, parts=(replace(part, length=19),))
        self._refused(sample, parts=())
        self._refused(sample, parts=(part, replace(part, number=1, length=0)))
        self._refused(sample, checksum_type=1)
        self._refused(sample, checksum_algorithm=11)
        self._refused(
            sample, checksum_algorithm=1, checksum=bytes(4), checksum_type=3, parts=(replace(part, checksum=bytes(4)),)
        )
        self._refused(sample, checksum_algorithm=1, checksum=bytes(4), parts=(replace(part, checksum=bytes(4)),))

    def test_multipart_objects(self):
        sample = multipart(MINIMUM_PART, 20)
        first, last = sample.parts
        self._refused(sample, object_id=bytes(16))
        self._refused(sample, parts=(replace(first, number=0), last))
        self._refused(sample, parts=(first, replace(last, number=10_001)))
        self._refused(sample, parts=(first, replace(last, number=1)))
        self._refused(sample, parts=(last, first))
        self._refused(sample, parts=(replace(first, length=MINIMUM_PART - 1), replace(last, length=21)))
        self._refused(sample, parts=(replace(first, length=MINIMUM_PART + 20),))

    def test_sealing_is_deterministic_and_checked(self):
        sample = multipart(40)
        record = sample.record.encode()
        sealed = seal_record(record, sample.data_key, 1)
        self.assertEqual(sealed, seal_record(record, sample.data_key, 1))
        self.assertEqual(open_record(sealed[:-8], sealed[-8:], sample.data_key, 1), record)
        self.assertRaises(NotAuthentic, open_record, sealed[:-8], sealed[-8:], sample.data_key, 0)

    def test_a_record_sealed_under_another_s(self):
        sample = multipart(40)
        record = sample.record.encode()
        tail = b"SGCR" + (48 + len(record)).to_bytes(4, "big")
        other = bytes(32)
        aad = sample.data_key.label("commit") + OBJECT_ID + b"\1" + tail
        sealed = other + sample.data_key.aead("commit", other).seal(bytes(12), aad, record)
        self.assertRaisesRegex(NotAuthentic, "s does not match", open_record, sealed, tail, sample.data_key, 1)

    def test_the_flags_are_bound(self):
        sample = Sample(length=9)
        body = sample.body()
        sealed = seal_record(sample.record.encode(), sample.data_key, 2)
        body[len(body) - len(sealed) :] = sealed
        self.assertRaises(NotAuthentic, Reader, sample.opened(), MemoryBody(body))

    def test_the_longest_records_fit_behind_the_last_segments(self):
        sample = Sample(flags=1, checksum=(6, 1, bytes(64)), parts=(Part(1, 0, bytes(16), bytes(64)),))
        for count in (1, 2, 3, 500, 10_000):
            parts = tuple(Part(n, MINIMUM_PART + 1, bytes(16), bytes(64)) for n in range(1, count))
            parts += (Part(10_000, 0, bytes(16), bytes(64)),)
            total = sum(part.length for part in parts)
            record = replace(sample.record, plaintext_length=total, parts=parts)
            stored = record.segments_length + len(seal_record(record.encode(), sample.data_key, 1))
            self.assertLessEqual(stored, sealed_length(total))


class Files(unittest.TestCase):
    def _file(self, sample):
        return frame_file(sample.raw, bytes(sample.body()))

    def test_known_and_unknown_length(self):
        for sample in (
            Sample(length=70_000, domain="file", key=""),
            Sample(flags=1, parts=(Part(1, 70_000, b"t" * 16, b""),), domain="file", key=""),
        ):
            opened, reader = open_file(MemoryBody(self._file(sample)), KEYS)
            self.assertEqual(release(reader), (pattern(0, 70_000), None))
            self.assertEqual(opened.metadata, sample.metadata)

    def test_every_byte_counts(self):
        file = MemoryBody(self._file(Sample(length=5, domain="file", key="")))
        for position in range(file.length):
            with self.subTest(position), self.assertRaises(SealgateError):
                b"".join(open_file(FlippedBody(file, position, 1), KEYS)[1].whole())
        for length in [*range(file.length), file.length + 1, file.length + 29]:
            with self.subTest(length), self.assertRaises(SealgateError):
                b"".join(open_file(ResizedBody(file, length), KEYS)[1].whole())

    def test_parts_that_a_file_cannot_have(self):
        number_two = Sample(flags=1, parts=(Part(2, 10, b"t" * 16, b""),), domain="file", key="")
        two_parts = Sample(
            flags=1, parts=(Part(1, MINIMUM_PART, b"t" * 16, b""), Part(2, 1, b"u" * 16, b"")), domain="file", key=""
        )
        upload = Sample(flags=1, parts=(Part(1, 10, b"t" * 16, b""),), upload_id="u", domain="file", key="")
        for sample in (number_two, two_parts, upload):
            self.assertRaises(Malformed, open_file, MemoryBody(self._file(sample)), KEYS)
        self.assertEqual(number_two.record.upload_hash, NO_UPLOAD)

    def test_an_object_is_no_file(self):
        self.assertRaises(NotAuthentic, open_file, MemoryBody(self._file(Sample(domain="file"))), KEYS)
