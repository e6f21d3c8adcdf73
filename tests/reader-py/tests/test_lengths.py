import random
import unittest

from sealgate_reader import limits
from sealgate_reader.errors import Malformed
from sealgate_reader.lengths import MINIMUM_PART, SEGMENT, plaintext_length, region_length, sealed_length

TABLE = {
    0: 384,
    1: 413,
    65_536: 65_948,
    65_537: 65_977,
    5_242_879: 5_245_503,
    5_242_880: 5_245_632,
    314_572_800: 314_715_264,
}


class Lengths(unittest.TestCase):
    def test_the_table_of_section_5(self):
        for plaintext, sealed in TABLE.items():
            self.assertEqual(sealed_length(plaintext), sealed)
            self.assertEqual(plaintext_length(sealed), plaintext)

    def test_round_trip_at_random_and_around_every_kind_of_border(self):
        chance = random.Random(1)
        borders = [
            0,
            SEGMENT,
            2 * SEGMENT,
            MINIMUM_PART,
            2 * MINIMUM_PART,
            limits.PARTS * MINIMUM_PART,
            limits.PLAINTEXT,
        ]
        values = {border + delta for border in borders for delta in range(-2, 3)}
        values |= {chance.randrange(2 ** chance.randint(1, 46)) for _ in range(2_000)}
        for plaintext in values:
            if 0 <= plaintext <= limits.PLAINTEXT:
                self.assertEqual(plaintext_length(sealed_length(plaintext)), plaintext)

    def test_every_length_up_to_three_segments_is_in_the_image_once_or_refused(self):
        image = {sealed_length(plaintext): plaintext for plaintext in range(3 * SEGMENT + 5)}
        for sealed in range(0, 3 * SEGMENT, 7):
            self._check(sealed, image)
        for sealed in list(range(500)) + list(range(SEGMENT + 350, SEGMENT + 500)):
            self._check(sealed, image)

    def _check(self, sealed, image):
        if sealed in image:
            self.assertEqual(plaintext_length(sealed), image[sealed])
        else:
            self.assertRaises(Malformed, plaintext_length, sealed)

    def test_strictly_increasing(self):
        for start in (0, SEGMENT - 3, MINIMUM_PART - 3, limits.PARTS * MINIMUM_PART - 3):
            values = [sealed_length(plaintext) for plaintext in range(start, start + 6)]
            self.assertEqual(values, sorted(set(values)))

    def test_beyond_the_limit(self):
        last = sealed_length(limits.PLAINTEXT)
        self.assertRaises(Malformed, sealed_length, limits.PLAINTEXT + 1)
        self.assertRaises(Malformed, plaintext_length, last + 1)
        self.assertRaises(Malformed, plaintext_length, 2**64 - 1)

    def test_the_widest_record_fits_behind_the_segments_of_the_worst_cut(self):
        for count in (1, 2, 3, 100, 9_999, 10_000):
            plaintext = (count - 1) * (MINIMUM_PART + 1)
            self.assertGreaterEqual(region_length(plaintext), 28 * (count - 1) + 90 * count + 180)
