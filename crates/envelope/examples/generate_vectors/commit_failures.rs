//! Commit regions that must be refused: altered ones, and forged ones that open under the right key.

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

use crate::Outcome;
use crate::forge::{Forge, Record};
use crate::pattern::pattern;
use crate::seeded::Seeded;
use crate::vector::Vector;

const LENGTH: u64 = 10;
const REGION: usize = 384;

fn region_vector(forge: &Forge, name: &str, comment: &str, body: &[u8]) -> Outcome<Vector> {
    Ok(Vector::new("object", name, comment)
        .working_keys(&[(forge.working_key_id, forge.working_key)])
        .with("domain", forge.domain.clone())
        .with("object_key", forge.object_key.clone())
        .with("header", BASE64URL_NOPAD.encode(&forge.header()?))
        .base64("body", body))
}

/// A vector that fails before any plaintext is released.
fn vector(forge: &Forge, name: &str, comment: &str, body: &[u8]) -> Outcome<Value> {
    Ok(region_vector(forge, name, comment, body)?.fails("commit", 0))
}

/// Segments of a one-part object, and any sealed record, in a body of the right length.
fn body(forge: &Forge, sealed_record: &[u8]) -> Outcome<Vec<u8>> {
    let mut body = forge.segments(0, forge.object_id, &pattern(0, LENGTH))?;
    let room = (body.len() + REGION)
        .checked_sub(sealed_record.len())
        .ok_or("the record does not fit")?;
    body.resize(room, 0);
    body.extend(sealed_record);
    Ok(body)
}

type Alteration = fn(&mut Record);

/// Records of an object of one part.
const SINGLE: &[(&str, &str, Alteration)] = &[
    (
        "other-object",
        "the identifier of another object",
        |record| record.object_id = [1; 16],
    ),
    (
        "other-length",
        "a length that is not the header's",
        |record| record.length = 11,
    ),
    (
        "lengths-do-not-add-up",
        "the part is longer than the object",
        |record| record.parts = vec![(0, 11, record.object_id, Vec::new())],
    ),
    (
        "upload-hash",
        "an upload without the multipart flag",
        |record| record.upload = [5; 32],
    ),
    (
        "part-number-1",
        "a part number without the multipart flag",
        |record| record.parts = vec![(1, LENGTH, record.object_id, Vec::new())],
    ),
    (
        "other-attempt",
        "an attempt that is not the object's identifier",
        |record| record.parts = vec![(0, LENGTH, [3; 16], Vec::new())],
    ),
    ("no-parts", "no part", |record| {
        (record.count, record.parts) = (0, Vec::new());
    }),
    ("count-too-high", "a part announced and missing", |record| {
        record.count = 2;
    }),
    ("count-huge", "65,535 parts announced", |record| {
        record.count = u16::MAX;
    }),
    (
        "count-too-low",
        "no part announced, but there is one",
        |record| record.count = 0,
    ),
    ("byte-behind", "a byte behind the last part", |record| {
        record.excess = vec![0];
    }),
    ("unknown-algorithm", "checksum algorithm 11", |record| {
        (record.algorithm, record.r#type) = (11, 1);
    }),
    ("unknown-type", "checksum type 3", |record| {
        (record.algorithm, record.r#type, record.checksum) = (1, 3, vec![0; 4]);
        record.parts = vec![(0, LENGTH, record.object_id, vec![0; 4])];
    }),
    (
        "type-without-algorithm",
        "a checksum type without an algorithm",
        |record| record.r#type = 1,
    ),
    (
        "algorithm-without-type",
        "a checksum algorithm without a type",
        |record| {
            (record.algorithm, record.checksum) = (1, vec![0; 4]);
            record.parts = vec![(0, LENGTH, record.object_id, vec![0; 4])];
        },
    ),
    ("width", "the width of another algorithm", |record| {
        (record.algorithm, record.r#type, record.checksum) = (5, 1, vec![0; 8]);
        record.parts = vec![(0, LENGTH, record.object_id, vec![0; 8])];
    }),
    ("empty", "a record of no bytes", |record| {
        record.excess.clear();
        record.parts.clear();
        record.checksum.clear();
    }),
];

/// Records of a multipart object.
const MULTIPART: &[(&str, &str, Alteration)] = &[
    ("number-0", "part number 0", |record| {
        record.parts = vec![(0, LENGTH, record.object_id, Vec::new())];
    }),
    ("number-10001", "part number 10,001", |record| {
        record.parts = vec![(10_001, LENGTH, [3; 16], Vec::new())];
    }),
    (
        "small-first-part",
        "a part below 5 MiB that is not the last",
        |record| two(record, (1, 4), (2, 6)),
    ),
    (
        "empty-first-part",
        "an empty part that is not the last",
        |record| two(record, (1, 0), (2, LENGTH)),
    ),
    ("numbers-descending", "part numbers descending", |record| {
        two(record, (2, 5_242_880), (1, LENGTH));
    }),
    ("number-twice", "a part number twice", |record| {
        two(record, (1, 5_242_880), (1, LENGTH));
    }),
    (
        "sum-overflows",
        "lengths that add up only modulo 2^64",
        |record| two(record, (1, u64::MAX - 4), (2, LENGTH + 5)),
    ),
    (
        "part-over-limit",
        "a part beyond the limit of an object",
        |record| record.parts = vec![(1, (1 << 46) + 1, [3; 16], Vec::new())],
    ),
    ("total-over-body", "a total beyond the body's", |record| {
        record.length = 1 << 30;
        record.parts = vec![(1, 1 << 30, [3; 16], Vec::new())];
    }),
    ("total-all-ones", "a total of 2^64 - 1", |record| {
        record.length = u64::MAX;
        record.parts = vec![(1, u64::MAX, [3; 16], Vec::new())];
    }),
];

fn two(record: &mut Record, first: (u16, u64), second: (u16, u64)) {
    record.count = 2;
    record.parts = [first, second]
        .into_iter()
        .map(|(number, length)| (number, length, [3; 16], Vec::new()))
        .collect();
}

pub(crate) fn vectors() -> Outcome<Vec<Value>> {
    let mut vectors = Vec::new();
    for (name, comment, alter) in SINGLE {
        let forge = Forge::new(name, LENGTH);
        let mut record = Record::single(&forge);
        alter(&mut record);
        let encoded = if *name == "empty" {
            Vec::new()
        } else {
            record.encode()
        };
        let body = body(&forge, &forge.sealed_record(&encoded)?)?;
        vectors.push(vector(
            &forge,
            &format!("forged-{name}"),
            &format!("{comment}; the record opens"),
            &body,
        )?);
    }
    for (name, comment, alter) in MULTIPART {
        let forge = Forge {
            flags: 1,
            length: u64::MAX,
            ..Forge::new(name, LENGTH)
        };
        let mut record = Record {
            length: LENGTH,
            parts: vec![(1, LENGTH, [3; 16], Vec::new())],
            ..Record::single(&forge)
        };
        alter(&mut record);
        let body = body(&forge, &forge.sealed_record(&record.encode())?)?;
        vectors.push(vector(
            &forge,
            &format!("forged-multipart-{name}"),
            &format!("{comment}; the record opens"),
            &body,
        )?);
    }
    vectors.extend(sealed_wrongly()?);
    vectors.extend(altered()?);
    vectors.extend(verified()?);
    Ok(vectors)
}

/// Records that are right, sealed in a way that is not.
fn sealed_wrongly() -> Outcome<Vec<Value>> {
    let forge = Forge::new("sealed wrongly", LENGTH);
    let other = Forge::new("another object", LENGTH);
    let record = Record::single(&forge).encode();
    let random: [u8; 32] = Seeded::new("s").array();
    let right = forge.sealed_record(&record)?;
    let segments = forge.segments(0, forge.object_id, &pattern(0, LENGTH))?;
    // A record so long that it reaches into the segments although it fits into the region's length: impossible for
    // one part, so two records stand one behind the other instead.
    let two = [&right[..], &right].concat();
    let mut shifted = right.clone();
    shifted.push(0);
    let flags_of = |flags: u8| {
        Forge {
            flags,
            ..forge.clone()
        }
        .sealed_record(&record)
    };
    let tail_at = right.len() - 8;
    let with_tail = |tail: &[u8]| [right.get(..tail_at).unwrap_or_default(), tail].concat();
    [
        (
            "s-not-computed",
            "sealed under an s that is not the MAC of the record",
            forge.record_under(random, &record)?,
        ),
        (
            "flags-single-verified",
            "sealed with flag 2 of a header that has none",
            flags_of(2)?,
        ),
        (
            "flags-single-multipart",
            "sealed with flag 1 of a header that has none",
            flags_of(1)?,
        ),
        (
            "foreign",
            "the region of another object",
            other.sealed_record(&Record::single(&other).encode())?,
        ),
        ("tail-not-last", "a byte behind the tail", shifted),
        (
            "tail-magic",
            "another magic in the tail",
            with_tail(b"SGCS\0\0\0\x86"),
        ),
        ("tail-length-0", "a length of 0", with_tail(b"SGCR\0\0\0\0")),
        (
            "tail-length-47",
            "a length below s and tag",
            with_tail(b"SGCR\0\0\0\x2f"),
        ),
        (
            "tail-length-one-less",
            "one byte less",
            with_tail(b"SGCR\0\0\0\x85"),
        ),
        (
            "tail-length-one-more",
            "one byte more",
            with_tail(b"SGCR\0\0\0\x87"),
        ),
        (
            "tail-length-region",
            "all of the region and the segments",
            with_tail(b"SGCR\0\0\x01\x9e"),
        ),
        (
            "tail-length-beyond",
            "more than the body",
            with_tail(b"SGCR\0\0\x10\0"),
        ),
        (
            "tail-length-4-gib",
            "4 GiB",
            with_tail(b"SGCR\xff\xff\xff\xff"),
        ),
        (
            "two-records",
            "a second record before the right one, where zero bytes must be",
            two,
        ),
    ]
    .into_iter()
    .map(|(name, comment, sealed)| vector(&forge, name, comment, &body(&forge, &sealed)?))
    .chain([
        vector(&forge, "no-region", "segments only", &segments),
        vector(
            &forge,
            "zero-region",
            "zero bytes instead of a region",
            &body(&forge, &[])?,
        ),
    ])
    .collect()
}

/// A right body, altered.
fn altered() -> Outcome<Vec<Value>> {
    let forge = Forge::new("altered region", LENGTH);
    let right = body(
        &forge,
        &forge.sealed_record(&Record::single(&forge).encode())?,
    )?;
    let flipped = |position: usize| {
        let mut body = right.clone();
        if let Some(byte) = body.get_mut(position) {
            *byte ^= 0x80;
        }
        body
    };
    let end = right.len();
    let cut = |length: usize| right.get(..length).unwrap_or_default().to_vec();
    [
        (
            "flipped-first-padding",
            "the first byte of the padding",
            flipped(38),
        ),
        (
            "flipped-last-padding",
            "the last byte of the padding",
            flipped(end - 143),
        ),
        ("flipped-s", "a bit of s", flipped(end - 142)),
        (
            "flipped-record",
            "a bit of the sealed record",
            flipped(end - 100),
        ),
        ("flipped-tag", "a bit of the record's tag", flipped(end - 9)),
        ("flipped-tail", "a bit of the tail", flipped(end - 8)),
        ("truncated-by-1", "the last byte missing", cut(end - 1)),
        ("truncated-to-0", "an empty body", Vec::new()),
        ("truncated-to-1", "one byte", cut(1)),
        ("truncated-to-27", "27 bytes", cut(27)),
        ("truncated-to-28", "28 bytes", cut(28)),
        (
            "truncated-to-383",
            "one byte less than any object has",
            cut(383),
        ),
        (
            "length-of-another-image",
            "a stored length that another plaintext has",
            [&right[..], &[0]].concat(),
        ),
        (
            "appended",
            "29 bytes appended",
            [&right[..], &[0; 29]].concat(),
        ),
        (
            "prepended",
            "a byte before everything",
            [&[0][..], &right].concat(),
        ),
    ]
    .into_iter()
    .map(|(name, comment, body)| vector(&forge, name, comment, &body))
    .collect()
}

/// Objects whose flag says that the commit check is not needed: all of the plaintext may be released, but whoever reads
/// the whole body must not end as if all were well.
fn verified() -> Outcome<Vec<Value>> {
    let forge = Forge {
        flags: 2,
        ..Forge::new("verified", LENGTH)
    };
    let other = Forge {
        flags: 2,
        ..Forge::new("another verified", LENGTH)
    };
    let record = forge.sealed_record(&Record::single(&forge).encode())?;
    let right = body(&forge, &record)?;
    let flipped = |position: usize| {
        let mut body = right.clone();
        if let Some(byte) = body.get_mut(position) {
            *byte ^= 1;
        }
        body
    };
    let single = Forge {
        flags: 0,
        ..forge.clone()
    };
    let without_flag = single.sealed_record(&Record::single(&forge).encode())?;
    let foreign = other.sealed_record(&Record::single(&other).encode())?;
    let end = right.len();
    [
        (
            "verified-flipped-padding",
            "the first byte of the padding",
            flipped(38),
        ),
        (
            "verified-flipped-record",
            "a bit of the sealed record",
            flipped(end - 100),
        ),
        (
            "verified-flipped-tail",
            "a bit of the tail",
            flipped(end - 1),
        ),
        (
            "verified-zero-region",
            "zero bytes instead of a region",
            body(&forge, &[])?,
        ),
        (
            "verified-foreign",
            "the region of another object",
            body(&forge, &foreign)?,
        ),
        (
            "verified-without-flag",
            "a region sealed for a header without the flag",
            body(&forge, &without_flag)?,
        ),
    ]
    .into_iter()
    .map(|(name, comment, body)| {
        let comment = format!("{comment}; the header says that the commit check is not needed");
        Ok(region_vector(&forge, name, &comment, &body)?.fails("commit", LENGTH))
    })
    .chain(
        [
            ("verified-truncated", "the last byte missing", 1),
            ("verified-no-region", "segments only", REGION),
        ]
        .map(|(name, comment, missing)| {
            let cut = right.get(..end - missing).unwrap_or_default();
            Ok(region_vector(&forge, name, comment, cut)?.fails("commit", 0))
        }),
    )
    .collect()
}
