import unittest

from . import crates

PRINTED = """\
0\tgateway v0.1.0 (/somewhere/crates/gateway)\tMIT OR Apache-2.0\tdefault,vault
1\tderive v1.2.3 (proc-macro)\tMIT\t
2\tsyn v3.0.1\tMIT/Apache-2.0\tfull
1\tours v0.1.0 (proc-macro) (/somewhere/crates/ours)\tMIT OR Apache-2.0\t
1\ttoml v1.2.1+spec-1.1.0\tMIT OR Apache-2.0\tparse
2\tsyn v3.0.1\tMIT/Apache-2.0\tfull,visit (*)
"""


class Parsing(unittest.TestCase):
    def setUp(self):
        self.tree = crates.parse(PRINTED)

    def test_names_versions_and_licences(self):
        self.assertEqual(self.tree.root.key, ("gateway", "0.1.0"))
        self.assertEqual(
            sorted(self.tree.crates),
            [("derive", "1.2.3"), ("gateway", "0.1.0"), ("ours", "0.1.0"), ("syn", "3.0.1"), ("toml", "1.2.1+spec-1.1.0")],
        )
        self.assertEqual(self.tree.crates["syn", "3.0.1"].licence, "MIT/Apache-2.0")

    def test_which_are_ours(self):
        self.assertEqual([crate.name for crate in sorted(self.tree.crates.values()) if crate.ours], ["gateway", "ours"])

    def test_who_needs_whom_also_where_it_is_listed_again(self):
        self.assertEqual(self.tree.edges["gateway", "0.1.0"], {("derive", "1.2.3"), ("ours", "0.1.0"), ("toml", "1.2.1+spec-1.1.0")})
        self.assertEqual(self.tree.edges["derive", "1.2.3"], {("syn", "3.0.1")})
        self.assertEqual(self.tree.edges["toml", "1.2.1+spec-1.1.0"], {("syn", "3.0.1")})

    def test_features_of_all_places_add_up(self):
        self.assertEqual(self.tree.features["syn", "3.0.1"], {"full", "visit"})

    def test_another_form_is_an_error(self):
        for text in ("", "gateway v0.1.0\n", "0\tgateway\tMIT\t\n"):
            with self.subTest(text), self.assertRaises(crates.CargoFailed):
                crates.parse(text)
