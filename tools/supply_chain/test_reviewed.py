import unittest

from . import reviewed

ROWS = """\
| crate | version | when | what it sees | unsafe |
|---|---|---|---|---|
| aws-lc-rs | 1.19.0 | byte | keys | yes |
| toml | 1.2.1+spec-1.1.0 | start | the configuration | none |
| aws-lc-rs | 1.19.0 | 311 | 6 | 46 |
"""
LISTED = [("aws-lc-rs", "1.19.0", "byte"), ("toml", "1.2.1+spec-1.1.0", "start")]
BUILT = {("aws-lc-rs", "1.19.0"), ("toml", "1.2.1+spec-1.1.0"), ("cfg-if", "1.0.0")}


class Reviewed(unittest.TestCase):
    def problems(self, built, listed=None):
        return list(reviewed.compare(LISTED if listed is None else listed, built))

    def test_rows_are_read_and_counts_of_unsafe_code_are_none(self):
        self.assertEqual(reviewed.parse(ROWS), LISTED)

    def test_the_hot_path_is_what_sees_requests(self):
        self.assertEqual(reviewed.hot_path(LISTED), {("aws-lc-rs", "1.19.0")})

    def test_what_is_built_as_listed_is_right(self):
        self.assertEqual(self.problems(BUILT), [])

    def test_another_version_wants_to_be_read(self):
        newer = BUILT - {("aws-lc-rs", "1.19.0")} | {("aws-lc-rs", "1.19.1")}
        problems = self.problems(newer)
        self.assertIn("aws-lc-rs is 1.19.1 now: read what changed since 1.19.0, then write that down", problems)

    def test_a_second_version_wants_to_be_listed(self):
        problems = self.problems(BUILT | {("aws-lc-rs", "2.0.0")})
        self.assertEqual(problems, ["aws-lc-rs 2.0.0 is built too, and only other versions are listed"])

    def test_what_is_gone_is_deleted(self):
        problems = self.problems(BUILT - {("aws-lc-rs", "1.19.0")})
        self.assertEqual(problems, ["aws-lc-rs is no part of the gateway any more: delete it"])

    def test_twice_or_nothing_is_an_error(self):
        self.assertEqual(self.problems(BUILT, [*LISTED, LISTED[0]]), ["aws-lc-rs 1.19.0 is listed twice"])
        self.assertEqual(self.problems(BUILT, []), ["no crates are listed"])
