import pathlib
import tempfile
import unittest

from . import unsafe_code


def counted(source):
    found = unsafe_code.count(unsafe_code.without_tests(unsafe_code.tokens(source)))
    return tuple(found[kind] for kind in unsafe_code.KINDS)


class Counting(unittest.TestCase):
    def test_each_kind(self):
        self.assertEqual(counted("fn f() { unsafe { g() }; unsafe{ h() } }"), (2, 0, 0, 0))
        self.assertEqual(counted("pub unsafe fn f() {} unsafe extern \"C\" fn g() {}"), (0, 2, 0, 0))
        self.assertEqual(counted("unsafe impl<T> Send for X<T> {}"), (0, 0, 1, 0))
        self.assertEqual(counted("pub unsafe trait Trusted {}"), (0, 0, 0, 1))

    def test_types_and_declarations_do_nothing(self):
        self.assertEqual(counted("type F = unsafe fn(u8); type G = unsafe extern \"C\" fn(u8); unsafe extern \"C\" { fn h(); }"), (0, 0, 0, 0))

    def test_comments_and_literals_are_no_code(self):
        for source in (
            "// unsafe { }",
            "/* unsafe { /* unsafe { } */ unsafe { } */",
            'const A: &str = "unsafe { } \\" unsafe { }";',
            'const A: &str = r#"unsafe { } " unsafe { }"#;',
            'const A: &[u8] = br"unsafe { }";',
            "#[doc = \"unsafe { }\"] fn f() {}",
        ):
            with self.subTest(source):
                self.assertEqual(counted(source), (0, 0, 0, 0))

    def test_what_follows_a_literal_is_seen(self):
        for literal in ("'\"'", "'\\''", "'\\u{1F600}'", "b'\"'", "'a", '"\\\\"', 'r##""#"##', "r#type"):
            with self.subTest(literal):
                self.assertEqual(counted(f"{literal} unsafe {{ }}"), (1, 0, 0, 0))

    def test_tests_do_not_count(self):
        self.assertEqual(counted("#[cfg(test)] mod tests { fn f() { unsafe { } } } unsafe fn g() {}"), (0, 1, 0, 0))
        self.assertEqual(counted("#[cfg(test)] mod tests; unsafe fn g() {}"), (0, 1, 0, 0))
        self.assertEqual(counted("#[test] #[ignore] fn f(a: [u8; 2]) { unsafe { } } unsafe { }"), (1, 0, 0, 0))
        self.assertEqual(counted("#[cfg(all(test, unix))] mod t { unsafe { } }"), (0, 0, 0, 0))
        self.assertEqual(counted("#[cfg(not(test))] mod t { unsafe { } }"), (1, 0, 0, 0))


class Crates(unittest.TestCase):
    def of(self, files):
        with tempfile.TemporaryDirectory() as directory:
            for name, text in files.items():
                path = pathlib.Path(directory, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            found, lines, forbidden = unsafe_code.of_crate(pathlib.Path(directory))
            return found["blocks"], lines, forbidden

    def test_sources_are_counted_and_tests_and_examples_are_not(self):
        block = "fn f() { unsafe {} }\n"
        files = {"Cargo.toml": "", "src/lib.rs": block, "src/a/b.rs": block, "src/tests.rs": block, "tests/t.rs": block, "examples/e.rs": block}
        self.assertEqual(self.of(files), (2, 2, False))

    def test_who_forbids_it(self):
        for manifest, source, expected in (
            ("", "#![forbid(unsafe_code)]", True),
            ("", "#![forbid(missing_docs, unsafe_code)]", True),
            ("", "#![cfg_attr(not(test), forbid(unsafe_code))]", True),
            ("", "#![deny(unsafe_code)]", False),
            ("", "// #![forbid(unsafe_code)]", False),
            ("[lints.rust]\nunsafe_code = 'forbid'", "", True),
            ("[lints.rust]\nunsafe_code = { level = 'forbid', priority = 1 }", "", True),
            ("[lints.rust]\nunsafe_code = 'deny'", "", False),
        ):
            with self.subTest(manifest=manifest, source=source):
                self.assertEqual(self.of({"Cargo.toml": manifest, "src/lib.rs": source})[2], expected)
