"""The bill of materials of this very tree."""

import json
import pathlib
import re
import subprocess
import tempfile
import unittest

from . import sbom

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent.parent


class Bill(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "sealgate.cdx.json")
            sbom.write(REPOSITORY, path)
            cls.text = path.read_text(encoding="utf-8")
        cls.bill = json.loads(cls.text)
        cls.components = {component["bom-ref"]: component for component in cls.bill["components"]}
        cls.root = cls.bill["metadata"]["component"]

    def test_lists_every_crate_that_cargo_tree_lists(self):
        """Read here in another way than the bill is made."""
        printed = subprocess.run(
            ["cargo", "tree", "--locked", "--edges", "normal", "--package", "sealgate", "--prefix", "none"],
            cwd=REPOSITORY, capture_output=True, text=True, check=True,
        ).stdout
        expected = {f"{name}@{version}" for name, version in re.findall(r"^(\S+) v(\S+)", printed, re.MULTILINE)}
        self.assertGreater(len(expected), 200)
        self.assertEqual(self.root["bom-ref"], "sealgate@0.1.0")
        self.assertEqual(expected - self.components.keys() - {self.root["bom-ref"]}, set())

    def test_what_is_not_linked_is_excluded(self):
        self.assertEqual(self.components["sealgate-envelope@0.1.0"]["scope"], "required")
        scopes = {component["name"]: component["scope"] for component in self.bill["components"]}
        self.assertEqual(scopes["rustls"], "required")
        self.assertEqual(scopes["serde_derive"], "excluded")
        self.assertEqual(scopes["cc"], "excluded")

    def test_crates_of_the_registry_have_their_checksums_and_ours_no_address_there(self):
        for component in self.bill["components"]:
            with self.subTest(component["bom-ref"]):
                ours = component["name"].startswith("sealgate")
                self.assertEqual("purl" in component, not ours)
                self.assertEqual("hashes" in component, not ours)
                if not ours:
                    self.assertRegex(component["hashes"][0]["content"], r"^[0-9a-f]{64}$")
                self.assertNotIn("/", component["licenses"][0]["expression"])

    def test_names_the_c_library(self):
        library = next(component for component in self.bill["components"] if component["name"] == "aws-lc-sys")
        self.assertRegex(library["components"][0]["purl"], r"^pkg:github/aws/aws-lc@v\d+\.\d+\.\d+$")

    def test_dependencies_are_components(self):
        known = self.components.keys() | {self.root["bom-ref"]}
        self.assertEqual({entry["ref"] for entry in self.bill["dependencies"]}, known)
        for entry in self.bill["dependencies"]:
            self.assertLessEqual(set(entry["dependsOn"]), known)
        needed = {entry["ref"]: entry["dependsOn"] for entry in self.bill["dependencies"]}
        self.assertIn("sealgate-envelope@0.1.0", needed["sealgate@0.1.0"])
        self.assertTrue(any(name.startswith("aws-lc-sys@") for ref in needed if ref.startswith("aws-lc-rs@") for name in needed[ref]))

    def test_is_the_same_again_and_names_no_path_of_this_machine(self):
        self.assertEqual(json.loads(self.text), sbom.bill(REPOSITORY))
        self.assertNotIn(str(REPOSITORY), self.text)
        self.assertNotIn(str(pathlib.Path.home()) + "/", self.text)


if __name__ == "__main__":
    unittest.main()
