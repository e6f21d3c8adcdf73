//! Headers that must be refused: altered ones, and forged ones whose MAC is right.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::Outcome;
use crate::forge::{Forge, Record, wrap};
use crate::pattern::pattern;
use crate::vector::Vector;

const LENGTH: u64 = 10;

/// A right body for what the forge says: segments, and a commit region.
fn body(forge: &Forge) -> Outcome<Vec<u8>> {
    let mut body = forge.segments(0, forge.object_id, &pattern(0, LENGTH))?;
    let record = forge.sealed_record(
        &Record {
            length: LENGTH,
            parts: vec![(0, LENGTH, forge.object_id, Vec::new())],
            ..Record::single(forge)
        }
        .encode(),
    )?;
    body.resize(10 + 28 + 384 - record.len(), 0);
    body.extend(record);
    Ok(body)
}

fn vector(forge: &Forge, name: &str, comment: &str, header: Value, body: &[u8]) -> Value {
    Vector::new("object", name, comment)
        .working_keys(&[(forge.working_key_id, forge.working_key)])
        .with("domain", forge.domain.clone())
        .with("object_key", forge.object_key.clone())
        .with("header", header)
        .base64("body", body)
        .fails("header", 0)
}

/// What is altered in a forged header; its MAC is right all the same.
type Alteration = fn(&mut Forge);

/// The metadata plaintext of these entries, with the right padding for a short header.
fn metadata(entries: &[(&[u8], &[u8])]) -> Vec<u8> {
    let encoded: Vec<u8> = entries
        .iter()
        .flat_map(|(name, value)| {
            let lengths = (
                u8::try_from(name.len()).unwrap_or_default(),
                u16::try_from(value.len()).unwrap_or_default(),
            );
            [&[lengths.0][..], name, &lengths.1.to_be_bytes(), value].concat()
        })
        .collect();
    let length = u16::try_from(encoded.len()).unwrap_or_default();
    let mut plaintext = [&length.to_be_bytes()[..], &encoded].concat();
    plaintext.resize(plaintext.len().next_multiple_of(32), 0);
    plaintext
}

const FORGED: &[(&str, &str, Alteration)] = &[
    ("magic", "another magic", |forge| forge.magic = *b"SGHE"),
    ("version-0", "version 0", |forge| forge.version = 0),
    ("version-2", "a version to come", |forge| forge.version = 2),
    ("suite-0", "suite 0", |forge| forge.suite = 0),
    ("suite-3", "a suite to come", |forge| forge.suite = 3),
    (
        "both-flags",
        "multipart and commit check not needed",
        |forge| (forge.flags, forge.length) = (3, u64::MAX),
    ),
    ("unknown-flag", "bit 2", |forge| forge.flags = 4),
    ("highest-flag", "bit 7", |forge| forge.flags = 128),
    ("exponent-15", "another segment size", |forge| {
        forge.exponent = 15;
    }),
    ("exponent-17", "another segment size", |forge| {
        forge.exponent = 17;
    }),
    ("length-over-limit", "2^46 + 1 bytes", |forge| {
        forge.length = (1 << 46) + 1;
    }),
    (
        "length-unknown-without-flag",
        "all ones without the multipart flag",
        |forge| forge.length = u64::MAX,
    ),
    (
        "multipart-with-length",
        "the multipart flag and a length",
        |forge| forge.flags = 1,
    ),
    ("no-wraps", "no wrap", |forge| forge.wraps = vec![0]),
    ("three-wraps", "more than two wraps", |forge| {
        forge.wraps = [vec![3], wrap(1, &[1; 40]).repeat(3)].concat();
    }),
    ("wraps-255", "255 wraps", |forge| {
        forge.wraps = [vec![255], wrap(1, &[1]).repeat(255)].concat();
    }),
    ("provider-0", "provider 0", |forge| {
        forge.wraps = [vec![1], wrap(0, &[1; 40])].concat();
    }),
    ("empty-blob", "a wrap with an empty blob", |forge| {
        forge.wraps = [vec![1], wrap(1, &[])].concat();
    }),
    ("blob-1025", "a wrap with a blob of 1,025 bytes", |forge| {
        forge.wraps = [vec![1], wrap(1, &[1; 1_025])].concat();
    }),
    (
        "bytes-before-mac",
        "a byte between wraps and MAC",
        |forge| forge.excess = vec![0],
    ),
    (
        "metadata-not-ascending",
        "names in descending order",
        |forge| forge.metadata = metadata(&[(b"b", b""), (b"a", b"")]),
    ),
    ("metadata-twice", "a name twice", |forge| {
        forge.metadata = metadata(&[(b"a", b"1"), (b"a", b"2")]);
    }),
    (
        "metadata-upper-case",
        "a name with an upper-case letter",
        |forge| forge.metadata = metadata(&[(b"Content-type", b"")]),
    ),
    ("metadata-space", "a name with a space", |forge| {
        forge.metadata = metadata(&[(b"x:a b", b"")]);
    }),
    (
        "metadata-control",
        "a name with a byte below 0x21",
        |forge| forge.metadata = metadata(&[(b"x:\x01", b"")]),
    ),
    ("metadata-not-ascii", "a name beyond ASCII", |forge| {
        forge.metadata = metadata(&[("x:ü".as_bytes(), b"")]);
    }),
    ("metadata-empty-name", "an empty name", |forge| {
        forge.metadata = metadata(&[(b"", b"v")]);
    }),
    (
        "metadata-checksum-width",
        "a CRC32 of five bytes",
        |forge| forge.metadata = metadata(&[(b"checksum-crc32", &[0; 5])]),
    ),
    ("metadata-unpadded", "no padding where it is due", |forge| {
        forge.metadata = vec![0, 0];
    }),
    (
        "metadata-padded-twice",
        "32 bytes of padding too many",
        |forge| forge.metadata = vec![0; 64],
    ),
    (
        "metadata-padding-not-zero",
        "a padding byte that is not zero",
        |forge| {
            forge.metadata = vec![0; 32];
            if let Some(last) = forge.metadata.last_mut() {
                *last = 1;
            }
        },
    ),
    (
        "metadata-entry-cut",
        "the last entry goes beyond the entries",
        |forge| {
            forge.metadata = [&[0, 6, 1, b'a', 0, 9, 0, 0][..], &[0; 24]].concat();
        },
    ),
    (
        "metadata-length-beyond",
        "the entries go beyond the plaintext",
        |forge| {
            forge.metadata = [&[0, 31][..], &[0; 30]].concat();
        },
    ),
    ("over-1500-bytes", "1,501 bytes", |forge| {
        forge.wraps = [vec![2], wrap(1, &[1; 564]), wrap(1, &[2; 564])].concat();
        let value = vec![b'v'; 146];
        forge.metadata = [&[0, 150, 1, b'a', 0, 146][..], &value].concat();
    }),
];

pub(crate) fn vectors() -> Outcome<Vec<Value>> {
    let mut vectors = Vec::new();
    for (name, comment, alter) in FORGED {
        let mut forge = Forge::new(name, LENGTH);
        alter(&mut forge);
        let header = BASE64URL_NOPAD.encode(&forge.header()?);
        let body = body(&forge)?;
        vectors.push(vector(
            &forge,
            &format!("forged-{name}"),
            &format!("{comment}; the MAC is right"),
            json!(header),
            &body,
        ));
    }
    vectors.extend(altered()?);
    vectors.extend(misplaced()?);
    Ok(vectors)
}

/// A right header, altered as bytes or as text.
fn altered() -> Outcome<Vec<Value>> {
    let forge = Forge::new("altered", LENGTH);
    let body = body(&forge)?;
    let right = forge.header()?;
    let text = BASE64URL_NOPAD.encode(&right);
    let mut vectors = Vec::new();
    for (name, position) in [
        ("magic", 0),
        ("version", 4),
        ("suite", 5),
        ("flags", 6),
        ("exponent", 7),
        ("wk-id", 8),
        ("wrap-salt", 24),
        ("object-id", 56),
        ("length", 79),
        ("created", 87),
        ("sealed-dek", 88),
        ("metadata-length", 137),
        ("metadata-nonce", 138),
        ("metadata", 150),
        ("wrap-reference", right.len() - 32 - 49),
        ("wrap-blob", right.len() - 33),
        ("mac", right.len() - 1),
    ] {
        let mut header = right.clone();
        if let Some(byte) = header.get_mut(position) {
            *byte ^= 1;
        }
        let comment = format!("one bit altered at offset {position}");
        vectors.push(vector(
            &forge,
            &format!("altered-{name}"),
            &comment,
            json!(BASE64URL_NOPAD.encode(&header)),
            &body,
        ));
    }
    let trailing_bits = {
        // Of a header of 3n + 1 or 3n + 2 bytes the last character has unused bits; the next letter sets one of them.
        let mut forge = forge.clone();
        while forge.header()?.len() % 3 == 0 {
            forge.wraps = [vec![1], wrap(1, &[0x77; 41])].concat();
        }
        let mut text = BASE64URL_NOPAD.encode(&forge.header()?);
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let last = text.pop().ok_or("the header is empty")?;
        let index = alphabet
            .iter()
            .position(|letter| char::from(*letter) == last)
            .ok_or("not base64url")?;
        text.push(char::from(
            *alphabet.get(index + 1).ok_or("no next letter")?,
        ));
        text
    };
    for (name, comment, header) in [
        ("missing", "no value at all", json!([])),
        ("empty", "an empty value", json!("")),
        ("twice", "the same value twice", json!([text, text])),
        (
            "comma-joined",
            "the same value twice, joined by a comma",
            json!(format!("{text},{text}")),
        ),
        ("padded", "base64 padding", json!(format!("{text}="))),
        (
            "trailing-bits",
            "an unused bit of the last character set",
            json!(trailing_bits),
        ),
        (
            "standard-alphabet",
            "a character of the standard alphabet",
            json!(format!("+{}", text.get(1..).unwrap_or_default())),
        ),
        (
            "leading-space",
            "a space before the value",
            json!(format!(" {text}")),
        ),
        (
            "line-feed",
            "a line feed behind the value",
            json!(format!("{text}\n")),
        ),
        (
            "truncated-text",
            "the last four characters missing",
            json!(text.get(..text.len() - 4).unwrap_or_default()),
        ),
        (
            "truncated-fixed",
            "nothing behind the sealed data key",
            json!(BASE64URL_NOPAD.encode(right.get(..136).unwrap_or_default())),
        ),
        ("truncated-magic", "the magic only", json!("U0dIRA")),
        (
            "byte-behind",
            "a byte behind the MAC",
            json!(BASE64URL_NOPAD.encode(&[&right[..], &[0]].concat())),
        ),
        ("oversized", "4,000 characters", json!("A".repeat(4_000))),
    ] {
        vectors.push(vector(&forge, name, comment, header, &body));
    }
    Ok(vectors)
}

/// Right headers where, or under keys with which, they do not belong.
fn misplaced() -> Outcome<Vec<Value>> {
    let forge = Forge::new("misplaced", LENGTH);
    let other = Forge::new("other", LENGTH);
    let body = body(&forge)?;
    let right = forge.header()?;
    let text = BASE64URL_NOPAD.encode(&right);
    let here = |name: &str, comment: &str| {
        Vector::new("object", name, comment)
            .working_keys(&[(forge.working_key_id, forge.working_key)])
            .with("domain", forge.domain.clone())
            .with("object_key", forge.object_key.clone())
            .with("header", text.clone())
            .base64("body", &body)
    };
    let mut vectors: Vec<Value> = [
        (
            "other-bucket",
            "the object of another bucket",
            "deployment/bucket2",
            "a key",
        ),
        (
            "other-deployment",
            "the object of another deployment",
            "deployment2/bucket",
            "a key",
        ),
        (
            "other-key",
            "the object of another key",
            "deployment/bucket",
            "a kez",
        ),
        (
            "no-key",
            "the object as if it were a file",
            "deployment/bucket",
            "",
        ),
        (
            "border-moved",
            "domain and key are the same bytes when joined",
            "deployment/bucketa",
            " key",
        ),
        (
            "key-decoded-twice",
            "a key that only a second decoding makes equal",
            "deployment/bucket",
            "a%20key",
        ),
        (
            "key-normalised",
            "a key that only normalising makes equal",
            "deployment/bucket",
            "./a key",
        ),
        (
            "other-case",
            "letters of another case",
            "Deployment/bucket",
            "a key",
        ),
    ]
    .into_iter()
    .map(|(name, comment, domain, key)| {
        here(name, comment)
            .with("domain", domain)
            .with("object_key", key)
            .fails("header", 0)
    })
    .collect();
    vectors.push(
        here("unknown-working-key", "the reader has no such working key")
            .working_keys(&[(other.working_key_id, forge.working_key)])
            .fails("header", 0),
    );
    vectors.push(
        here("wrong-working-key", "another key under that identifier")
            .working_keys(&[(forge.working_key_id, other.working_key)])
            .fails("header", 0),
    );
    let swapped = BASE64URL_NOPAD.encode(
        &Forge {
            domain: forge.domain.clone(),
            ..other.clone()
        }
        .header()?,
    );
    let both = [
        (forge.working_key_id, forge.working_key),
        (other.working_key_id, other.working_key),
    ];
    vectors.push(
        here(
            "working-key-exchanged",
            "the identifier of a working key that is valid but did not seal this",
        )
        .with(
            "header",
            BASE64URL_NOPAD.encode(
                &Forge {
                    working_key_id: other.working_key_id,
                    ..forge.clone()
                }
                .header()?,
            ),
        )
        .working_keys(&both)
        .fails("header", 0),
    );
    // An object of the same key and length: its header alone is right, and does not fit the body.
    vectors.push(
        here(
            "header-of-another-object",
            "the header of another object of this key",
        )
        .with("header", swapped)
        .working_keys(&both)
        .fails("commit", 0),
    );
    let stripped = Forge {
        wraps: [vec![2], wrap(1, &[0x77; 40]), wrap(2, &[0x78; 40])].concat(),
        ..forge.clone()
    }
    .header()?;
    let mac = stripped.get(stripped.len() - 32..).unwrap_or_default();
    let one_wrap = [right.get(..right.len() - 32).unwrap_or_default(), mac].concat();
    vectors.push(
        here("wrap-stripped", "the second of two wraps removed")
            .with("header", BASE64URL_NOPAD.encode(&one_wrap))
            .fails("header", 0),
    );
    let (before, old_mac) = right
        .split_last_chunk::<32>()
        .ok_or("the header is too short")?;
    let mut two = before.to_vec();
    let count_position = two.len() - 52;
    if let Some(count) = two.get_mut(count_position) {
        *count = 2;
    }
    let added = [&two[..], &wrap(1, &[0x79; 40]), old_mac].concat();
    vectors.push(
        here("wrap-added", "a second wrap added")
            .with("header", BASE64URL_NOPAD.encode(&added))
            .fails("header", 0),
    );
    Ok(vectors)
}
