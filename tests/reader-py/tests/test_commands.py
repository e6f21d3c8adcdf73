import base64
import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path

from sealgate_reader.cases import Outcome
from sealgate_reader.command_line import main
from sealgate_reader.commit import seal_record
from sealgate_reader.errors import NotAuthentic
from sealgate_reader.files import frame_file
from sealgate_reader.keys import encryption_context
from sealgate_reader.lengths import sealed_length
from sealgate_reader.local_key import LocalKey
from sealgate_reader.pattern import pattern
from sealgate_reader.primitives import sha256
from sealgate_reader.vectors import check_refusal
from sealgate_reader.wire import encode_base64url

from .samples import DOMAIN, KEY, METADATA, WORKING_KEY, WORKING_KEY_ID, Sample, multipart

COMMON = {"working_keys": {WORKING_KEY_ID.hex(): WORKING_KEY.hex()}, "domain": DOMAIN, "object_key": KEY}
METADATA_HEX = {name: value.hex() for name, value in METADATA.items()}


def good_object(name, sample):
    return {
        "name": name, "comment": "", "kind": "object", "expect": "opens", **COMMON,
        "header": encode_base64url(sample.raw), "body": base64.b64encode(sample.body()).decode(),
        "plaintext": {"pattern": sample.length}, "metadata": METADATA_HEX, "created": 1_700_000_000_123,
        "suite": sample.suite, "flags": sample.flags,
    }  # fmt: skip


def bad_object(name, sample, position, released, stage):
    vector = good_object(name, sample)
    body = sample.body()
    body[position] ^= 1
    for field in ("plaintext", "metadata", "created", "suite", "flags"):
        del vector[field]
    return {**vector, "expect": "fails", "body": base64.b64encode(body).decode(), "released": released, "stage": stage}


def recipe_object(name, sample):
    body = sample.body()
    vector = good_object(name, sample)
    del vector["body"]
    parts = [
        {"number": p.number, "attempt": p.attempt.hex(), "length": p.length, "checksum": p.checksum.hex()}
        for p in sample.parts
    ]
    recipe = {
        "dek": sample.data_key.key.hex(), "upload_id": sample.upload_id, "checksum_algorithm": 0,
        "checksum_type": 0, "checksum": "", "parts": parts,
    }  # fmt: skip
    region = seal_record(sample.record.encode(), sample.data_key, sample.flags)
    return {
        **vector, "recipe": recipe, "body_sha256": sha256(body).hex(), "body_length": len(body), "region": region.hex(),
    }  # fmt: skip


def pieced_object(name, sample):
    vector = recipe_object(name, sample)
    for field in ("plaintext", "metadata", "created", "suite", "flags"):
        del vector[field]
    end = vector["body_length"]
    pieces = [{"from": 0, "to": 65_564}, {"hex": "00"}, {"from": 65_565, "to": end}]
    return {**vector, "expect": "fails", "released": 65_536, "stage": "segment", "pieces": pieces}


class Commands(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def run_command(self, *arguments):
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            status = main([str(argument) for argument in arguments])
        return status, output.getvalue(), errors.getvalue()

    def write(self, *vectors, group="objects"):
        document = {"group": group, "comment": "", "vectors": list(vectors)}
        (self.directory / f"{group}.json").write_text(json.dumps(document), encoding="utf-8")

    def write_good(self):
        lengths = {
            "name": "lengths", "kind": "lengths", "expect": "opens",
            "pairs": [[0, 384], [65_537, 65_977]], "not_in_image": [0, 383, 385],
        }  # fmt: skip
        self.write(lengths, group="lengths")
        self.write(
            good_object("single", Sample(length=140_000)),
            good_object("checked", Sample(length=140_000, flags=2, suite=2)),
            recipe_object("parts", multipart(5_242_880, 65_537)),
            bad_object("first", Sample(length=140_000), 40, 0, "segment"),
            bad_object("second", Sample(length=140_000), 70_000, 65_536, "segment"),
            bad_object("padding", Sample(length=10), 40, 0, "commit"),
            pieced_object("exchanged", Sample(length=140_000)),
        )

    def test_vectors_that_agree(self):
        self.write_good()
        status, output, errors = self.run_command("vectors", self.directory)
        self.assertEqual((status, errors), (0, ""))
        self.assertIn("8 vectors checked: 4 to open, 4 to refuse, 0 mismatches, 0 refused at another stage", output)
        document = json.loads(self.run_command("vectors", self.directory, "--json")[1])
        self.assertEqual((document["checked"], document["fails"]), (8, {"object": 4}))

    def test_no_vectors_are_a_failure(self):
        for command in (("vectors", self.directory), ("mutate", self.directory, "1")):
            status, _, errors = self.run_command(*command)
            self.assertEqual(status, 1)
            self.assertIn("no vectors", errors)

    def test_every_disagreement_is_seen(self):
        good = good_object("v", Sample(length=70_000))
        bad = bad_object("v", Sample(length=70_000), 66_000, 65_536, "segment")
        recipe = recipe_object("v", multipart(70_000))
        pieced = pieced_object("v", Sample(length=140_000))
        lengths = {"name": "v", "kind": "lengths", "expect": "opens", "pairs": [[0, 384]], "not_in_image": [385]}
        disagreements = [
            {**good, "plaintext": {"pattern": 70_001}},
            {**good, "plaintext": {"hex": "00" * 70_000}},
            {**good, "metadata": {**METADATA_HEX, "x:more": ""}},
            {**good, "created": 1},
            {**good, "suite": 2},
            {**good, "flags": 1},
            {**good, "expect": "fails", "released": 70_000, "stage": "segment"},
            {**good, "working_keys": {}},
            {**good, "kind": "unknown"},
            {**good, "expect": "maybe"},
            {name: value for name, value in good.items() if name != "plaintext"},
            {name: value for name, value in good.items() if name != "metadata"},
            {**bad, "released": 0},
            {**bad, "expect": "opens"},
            {**recipe, "body_sha256": "00" * 32},
            {**recipe, "region": "00"},
            {**recipe, "recipe": {**recipe["recipe"], "dek": "00" * 32}},
            {**pieced, "pieces": []},
            {**pieced, "pieces": [{"from": 0, "to": pieced["body_length"]}]},
            {**pieced, "pieces": [{"from": 0, "to": pieced["body_length"] + 1}]},
            {**pieced, "pieces": [{"zeros": 5}]},
            {**good, "unknown": 1},
            {**lengths, "unknown": 1},
            {**lengths, "pairs": [[0, 385]]},
            {**lengths, "pairs": []},
            {**lengths, "not_in_image": [384]},
        ]
        for vector in (good, bad, recipe, pieced, lengths):
            self.write(vector)
            self.assertEqual(self.run_command("vectors", self.directory)[0], 0)
        for number, vector in enumerate(disagreements):
            self.write(vector)
            with self.subTest(number):
                status, output, _ = self.run_command("vectors", self.directory)
                self.assertEqual(status, 1)
                self.assertNotIn(" 0 mismatches", output)

    def test_mutations_are_refused(self):
        self.write_good()
        status, output, errors = self.run_command("mutate", self.directory, "seed")
        self.assertEqual((status, errors), (0, ""))
        self.assertRegex(output, r"^\d+ mutations of 3 vectors tried, \d+ refused, 0 not$")

    def write_file(self, sample):
        path = self.directory / "sealed"
        path.write_bytes(frame_file(sample.raw, bytes(sample.body())))
        return path

    def test_files(self):
        path = self.write_file(Sample(length=70_000, domain="file", key=""))
        target = self.directory / "plain"
        options = ("--working-key-hex", WORKING_KEY.hex(), "--output", target)
        status, output, _ = self.run_command("file", path, *options, "--json")
        self.assertEqual(status, 0)
        self.assertEqual(json.loads(output)["metadata"]["x:colour"], "grün")
        self.assertEqual(target.read_bytes(), pattern(0, 70_000))
        self.run_command("file", path, *options, "--range", "65530-65540")
        self.assertEqual(target.read_bytes(), pattern(65_530, 11))

    def test_a_refusal_leaves_no_file(self):
        sample = Sample(length=70_000, domain="file", key="")
        path = self.write_file(sample)
        damaged = bytearray(path.read_bytes())
        damaged[-sealed_length(70_000) + 66_000] ^= 1
        path.write_bytes(damaged)
        status, _, errors = self.run_command(
            "file", path, "--working-key-hex", WORKING_KEY.hex(), "--output", self.directory / "plain"
        )
        self.assertEqual(status, 1)
        self.assertIn("refused (segment)", errors)
        self.assertEqual([entry.name for entry in self.directory.iterdir()], ["sealed"])

    def test_files_with_a_local_key(self):
        from sealgate_reader.keys import LOCAL, Wrap, key_reference

        key = LocalKey("0c" * 16, b"k" * 32)
        blob = key.wrap(WORKING_KEY, encryption_context("file", WORKING_KEY_ID), b"n" * 12)
        wraps = (Wrap(LOCAL, key_reference(LOCAL, key.key_id), blob),)
        path = self.write_file(Sample(length=10, domain="file", key="", wraps=wraps))
        key_file, target = self.directory / "key", self.directory / "plain"
        key_file.write_text(key.encode(), encoding="ascii")
        options = ("--local-key-file", key_file, "--output", target)
        self.assertEqual(self.run_command("file", path, *options)[0], 0)
        self.assertEqual(target.read_bytes(), pattern(0, 10))
        self.assertEqual(self.run_command("file", path, *options, "--domain", "other")[0], 1)
        self.assertIn("name a key", self.run_command("file", path)[2])


class Released(unittest.TestCase):
    def test_wrong_bytes_before_a_refusal_are_a_mismatch(self):
        vector = {"released": 5}
        refusal = NotAuthentic("a test")
        self.assertEqual(check_refusal(vector, Outcome(refusal, 5, {}, True)), [])
        self.assertEqual(len(check_refusal(vector, Outcome(refusal, 5, {}, False))), 1)
        self.assertEqual(len(check_refusal(vector, Outcome(None, 5, {}, True))), 1)
