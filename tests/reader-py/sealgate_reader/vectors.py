"""The `vectors` command: open every good vector, refuse every bad one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .cases import Outcome, Vector, VectorError, attempt, check_fields, decode, expected_plaintext
from .errors import Malformed, SealgateError
from .lengths import plaintext_length, sealed_length

FIELDS_BY_KIND = {
    "object": ("metadata", "created", "suite", "flags"),
    "file": ("metadata", "created", "suite", "flags"),
    "upload-record": ("bucket", "object_key", "upload_id", "created", "checksum_algorithm", "checksum_type"),
    "part-record": (
        "number", "attempt", "length", "crc64nvme", "stashed", "etag_sha256", "checksum_algorithm", "checksum",
    ),
    "registry-record": ("wk_id", "created", "domain", "wraps"),
    "local-wrap": ("working_key",),
    "recovery-wrap": ("working_key",),
}  # fmt: skip
"""What a good vector of each kind must name, so that nothing is compared with nothing."""


@dataclass
class Summary:
    """What was checked, and what did not agree."""

    opened: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    mismatches: list[str] = field(default_factory=list)
    stage_notes: list[str] = field(default_factory=list)
    """Vectors refused at another stage than they name; informative, no mismatch."""

    @property
    def checked(self) -> int:
        """Vectors looked at."""
        return self.opened.total() + self.refused.total()

    def line(self) -> str:
        """One line for people."""
        return (
            f"{self.checked} vectors checked: {self.opened.total()} to open, {self.refused.total()} to refuse, "
            f"{len(self.mismatches)} mismatches, {len(self.stage_notes)} refused at another stage than named"
        )


def load(directory: Path) -> Iterator[tuple[str, Vector]]:
    """All vectors of a directory, each with `group/name`. Raises VectorError where there are none."""
    count = 0
    names: set[str] = set()
    for path in sorted(directory.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        for vector in document["vectors"]:
            name = f"{document['group']}/{vector['name']}"
            if name in names:
                raise VectorError(f"there are two vectors {name}")
            names.add(name)
            count += 1
            yield name, vector
    if count == 0:
        raise VectorError(f"there are no vectors in {directory}")


def check_lengths(vector: Vector) -> list[str]:
    """Mismatches of a `lengths` vector: C(P), its inverse, and lengths outside the image."""
    problems = []
    if not vector["pairs"]:
        problems.append("there are no pairs")
    for plaintext, sealed in ((int(p), int(c)) for p, c in vector["pairs"]):
        if sealed_length(plaintext) != sealed:
            problems.append(f"C({plaintext}) is {sealed_length(plaintext)}, not {sealed}")
        elif plaintext_length(sealed) != plaintext:
            problems.append(f"the inverse of {sealed} is {plaintext_length(sealed)}, not {plaintext}")
    for sealed in map(int, vector["not_in_image"]):
        try:
            problems.append(f"{sealed} is C({plaintext_length(sealed)}) but should not be in the image")
        except Malformed:
            continue
    return problems


def _open(vector: Vector) -> Outcome:
    try:
        case = decode(vector)
    except SealgateError as error:
        return Outcome(error, 0, {}, True)
    return attempt(case, expected_plaintext(vector))


def _check_good(vector: Vector, outcome: Outcome) -> list[str]:
    if outcome.error is not None:
        return [f"refused at {outcome.error.stage}: {outcome.error}"]
    problems = [] if outcome.plaintext_is_right else ["the plaintext differs"]
    if vector["kind"] in ("object", "file") and "plaintext" not in vector:
        problems.append("the vector names no plaintext")
    for name in FIELDS_BY_KIND[vector["kind"]]:
        if name not in vector:
            problems.append(f"the vector does not name {name}")
        elif vector[name] != outcome.fields[name]:
            problems.append(f"{name} is {outcome.fields[name]!r}, not {vector[name]!r}")
    return problems


def check_refusal(vector: Vector, outcome: Outcome) -> list[str]:
    """Mismatches of a `fails` vector."""
    if outcome.error is None:
        return ["opened, but must be refused"]
    if outcome.released != vector["released"]:
        return [f"released {outcome.released} bytes, not {vector['released']}: {outcome.error}"]
    if not outcome.plaintext_is_right:
        return ["what was released before the refusal is not the right plaintext"]
    return []


def check(name: str, vector: Vector, summary: Summary) -> None:
    """Check one vector and add what came of it to the summary."""
    expect = vector["expect"]
    try:
        if expect not in ("opens", "fails"):
            raise VectorError(f"expect {expect!r} is not in the schema")
        check_fields(vector)
        if vector["kind"] == "lengths":
            problems = check_lengths(vector)
        elif expect == "opens":
            problems = _check_good(vector, _open(vector))
        else:
            outcome = _open(vector)
            problems = check_refusal(vector, outcome)
            if outcome.error is not None and outcome.error.stage != vector["stage"]:
                summary.stage_notes.append(f"{name}: at {outcome.error.stage}, not {vector['stage']}: {outcome.error}")
    except (VectorError, KeyError, ValueError, TypeError) as error:
        problems = [f"the vector does not follow the schema: {type(error).__name__}: {error}"]
    summary.mismatches += [f"{name}: {problem}" for problem in problems]
    (summary.opened if expect == "opens" else summary.refused)[vector["kind"]] += 1


def check_directory(directory: Path) -> Summary:
    """Check all vectors of a directory."""
    summary = Summary()
    for name, vector in load(directory):
        check(name, vector, summary)
    return summary
