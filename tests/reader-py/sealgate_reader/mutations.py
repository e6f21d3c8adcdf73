"""The `mutate` command: alter good vectors at random; every alteration must be refused.

FORMAT.md leaves nothing unauthenticated, so no alteration of a stored byte is harmless to a reader
that reads everything: header, records and names are under a MAC or a tag, every segment is under
its tag, and the padding of the commit region must be zero. Two things are not stored bytes and are
not altered here: the key id in a local key file (it only selects a wrap) and `working_keys`, which
are the reader's own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from .bodies import Body, FlippedBody, ResizedBody, SwappedBody
from .cases import (
    Case,
    FileCase,
    LocalWrapCase,
    RecoveryWrapCase,
    ObjectCase,
    PartRecordCase,
    RegistryRecordCase,
    UploadRecordCase,
    attempt,
    decode,
    expected_plaintext,
)
from .errors import Malformed
from .lengths import SEALED_SEGMENT, plaintext_length, sealed_length
from .vectors import load
from .wire import decode_base64url, encode_base64url

MUTATIONS_PER_VECTOR = 48
BYTES_PER_VECTOR = 192 * 1024 * 1024
"""Bodies so long that this many bytes would be exceeded get fewer mutations, but not less than 6."""

Mutation = tuple[str, Case]


@dataclass
class MutationSummary:
    """How many mutations were tried, and which were not refused as they should be."""

    vectors: int = 0
    tried: int = 0
    failures: list[str] = field(default_factory=list)

    def line(self) -> str:
        """One line for people."""
        failed = len(self.failures)
        return f"{self.tried} mutations of {self.vectors} vectors tried, {self.tried - failed} refused, {failed} not"


def flip_bytes(data: bytes, chance: random.Random) -> tuple[str, bytes]:
    """One to three bits of one byte turned."""
    position, mask = chance.randrange(len(data)), _mask(chance)
    altered = bytearray(data)
    altered[position] ^= mask
    return f"byte {position} ^ {mask:#04x}", bytes(altered)


def _mask(chance: random.Random) -> int:
    mask = 0
    for _ in range(chance.randint(1, 3)):
        mask |= 1 << chance.randrange(8)
    return mask


def resize_bytes(data: bytes, chance: random.Random) -> tuple[str, bytes]:
    """Cut at a random place, or lengthened by a few bytes."""
    if chance.random() < 0.5:
        length = chance.choice((0, len(data) - 1, chance.randrange(len(data))))
        return f"cut to {length}", data[:length]
    extension = chance.choice((b"\0", b"\xff", data[:1], data[-32:], data))
    return f"lengthened by {len(extension)}", data + extension


def alter_bytes(data: bytes, chance: random.Random) -> tuple[str, bytes]:
    """A flip, mostly, or a change of length."""
    return flip_bytes(data, chance) if chance.random() < 0.7 else resize_bytes(data, chance)


def alter_text(text: str, chance: random.Random) -> tuple[str, str]:
    """One character replaced, removed or added; always another text."""
    position = chance.randrange(len(text))
    head, old, tail = text[:position], text[position], text[position + 1 :]
    new = chance.choice([c for c in "abcxyzAZ079-_=+/ .%\n" if c != old])
    altered = chance.choice((head + new + tail, head + tail, head + old.swapcase() + tail, text + new, new + text))
    return f"text altered at {position}", altered if altered != text else text + new


def alter_body(body: Body, chance: random.Random) -> tuple[str, Body]:
    """Bits turned, the length changed, or two segments exchanged."""
    choice = chance.random()
    if choice < 0.6:
        position = chance.choice(
            (chance.randrange(body.length), body.length - 1 - chance.randrange(min(body.length, 600)))
        )
        mask = _mask(chance)
        return f"body byte {position} ^ {mask:#04x}", FlippedBody(body, position, mask)
    full_segments = body.length // SEALED_SEGMENT
    if choice < 0.7 and full_segments >= 2:
        first, second = sorted(chance.sample(range(full_segments), 2))
        swapped = SwappedBody(body, first * SEALED_SEGMENT, second * SEALED_SEGMENT, SEALED_SEGMENT)
        return f"segments {first} and {second} exchanged", swapped
    length = chance.choice(list(_other_lengths(body.length, chance)))
    return f"body resized to {length}", ResizedBody(body, length, chance.choice((b"\0", b"\xff", b"sealgate")))


def _other_lengths(length: int, chance: random.Random) -> Iterator[int]:
    """Lengths near and far; some are lengths of sealed bodies, so only the keys can tell."""
    yield from (0, length - 1, length + 1, chance.randrange(length), length + 1 + chance.randrange(70_000))
    try:
        plaintext = plaintext_length(length)
    except Malformed:
        return
    for other in (plaintext - 1, plaintext + 1, plaintext // 2, plaintext + 65_536):
        if other >= 0 and other != plaintext:
            yield sealed_length(other)


def _alter_object(case: ObjectCase, chance: random.Random) -> Mutation:
    choice = chance.random()
    header = case.header_values[0]
    if choice < 0.55:
        what, body = alter_body(case.body, chance)
        return what, replace(case, body=body)
    if choice < 0.8:
        what, raw = alter_bytes(decode_base64url(header, "the header"), chance)
        return f"header {what}", replace(case, header_values=(encode_base64url(raw),))
    if choice < 0.9:
        what, value = alter_text(header, chance)
        return f"header {what}", replace(case, header_values=(value,))
    if choice < 0.94:
        values = chance.choice(((), (header, header)))
        return f"{len(values)} header values", replace(case, header_values=values)
    if choice < 0.97:
        return "another object key", replace(case, object_key=case.object_key + chance.choice(("/", "x", "\u0301")))
    return "another domain", replace(case, domain=case.domain + "x")


def _alter_file(case: FileCase, chance: random.Random) -> Mutation:
    if chance.random() < 0.05:
        return "another domain", replace(case, domain=case.domain + "x")
    if chance.random() < 0.4:
        position, mask = chance.randrange(min(case.body.length, 400)), _mask(chance)
        return f"file byte {position} ^ {mask:#04x}", replace(case, body=FlippedBody(case.body, position, mask))
    what, body = alter_body(case.body, chance)
    return f"file: {what}", replace(case, body=body)


def _alter_upload(case: UploadRecordCase, chance: random.Random) -> Mutation:
    what, record = alter_bytes(case.record, chance)
    return what, replace(case, record=record)


def _alter_part(case: PartRecordCase, chance: random.Random) -> Mutation:
    choice = chance.random()
    if choice < 0.8:
        what, name = alter_text(case.name, chance)
        return f"name: {what}", replace(case, name=name)
    if choice < 0.9:
        what, raw = alter_bytes(decode_base64url(case.header, "the header"), chance)
        return f"header {what}", replace(case, header=encode_base64url(raw))
    return "another upload id", replace(case, upload_id=case.upload_id + "x")


def _alter_registry(case: RegistryRecordCase, chance: random.Random) -> Mutation:
    if chance.random() < 0.1:
        what, name = alter_text(case.name, chance)
        return f"name: {what}", replace(case, name=name)
    what, record = alter_bytes(case.record, chance)
    return what, replace(case, record=record)


def _alter_wrap(case: LocalWrapCase | RecoveryWrapCase, chance: random.Random) -> Mutation:
    if chance.random() < 0.8:
        what, blob = alter_bytes(case.blob, chance)
        return what, replace(case, blob=blob)
    name = chance.choice(sorted(case.context))
    return f"another {name}", replace(case, context={**case.context, name: case.context[name] + "x"})


_ALTERATIONS: dict[type, Callable[..., Mutation]] = {
    ObjectCase: _alter_object,
    FileCase: _alter_file,
    UploadRecordCase: _alter_upload,
    PartRecordCase: _alter_part,
    RegistryRecordCase: _alter_registry,
    LocalWrapCase: _alter_wrap,
    RecoveryWrapCase: _alter_wrap,
}


def mutation_count(case: Case) -> int:
    """How many mutations a case gets: fewer where the body is long."""
    length = case.body.length if isinstance(case, ObjectCase | FileCase) else 0
    return max(6, min(MUTATIONS_PER_VECTOR, BYTES_PER_VECTOR // max(length, 1)))


def mutate_directory(directory: Path, seed: str) -> MutationSummary:
    """Mutate all good vectors of a directory; the same seed gives the same mutations."""
    summary = MutationSummary()
    for name, vector in load(directory):
        if vector["expect"] != "opens" or vector["kind"] == "lengths":
            continue
        case = decode(vector)
        expected = expected_plaintext(vector)
        if attempt(case, expected).error is not None:
            summary.failures.append(f"{name}: does not open unaltered")
            continue
        summary.vectors += 1
        chance = random.Random(f"{seed}/{name}")
        for _ in range(mutation_count(case)):
            what, altered = _ALTERATIONS[type(case)](case, chance)
            outcome = attempt(altered, expected)
            summary.tried += 1
            if outcome.error is None:
                summary.failures.append(f"{name}: not refused: {what}")
            elif not outcome.plaintext_is_right:
                summary.failures.append(f"{name}: released altered plaintext: {what}")
    return summary
