//! Good objects whose bodies are stored in full.

use sealgate_envelope::header::Carrier;
use sealgate_envelope::metadata::Metadata;
use sealgate_envelope::object::Body;
use sealgate_envelope::{KeyReference, Provider, Suite, Wrap};
use serde_json::{Value, json};

use crate::Outcome;
use crate::forge::{Forge, Record};
use crate::pattern::pattern;
use crate::samples::{Sample, aws_wrap};
use crate::vector::Vector;

fn vector(sample: Sample, name: &str, comment: &str) -> Outcome<Value> {
    let sealed = sample.seal()?;
    let length = sealed.sample.body.plaintext_length().unwrap_or_default();
    let vector = sealed
        .vector(name, comment)
        .base64("body", &sealed.single_body()?);
    Ok(sealed
        .expected(vector)
        .with("plaintext", json!({"pattern": length}))
        .opens())
}

pub(crate) fn vectors() -> Outcome<Vec<Value>> {
    let mut vectors = Vec::new();
    for suite in Suite::ALL {
        for (kind, body) in [
            (
                "single",
                (|plaintext_length| Body::Single { plaintext_length }) as fn(u64) -> Body,
            ),
            ("verified", |plaintext_length| Body::Verified {
                plaintext_length,
            }),
        ] {
            for length in [0, 1, 31, 4_096] {
                let name = format!("{kind}-suite-{}-{length}", suite.code());
                let sample = Sample::new(&name, suite, body(length))?;
                vectors.push(vector(sample, &name, &format!("{length} bytes, one part"))?);
            }
        }
    }
    for length in [65_535, 65_536, 65_537] {
        let name = format!("border-{length}");
        let sample = Sample::new(
            &name,
            Suite::Aes256Gcm,
            Body::Single {
                plaintext_length: length,
            },
        )?;
        vectors.push(vector(sample, &name, "around the border of a segment")?);
    }
    vectors.extend(metadata()?);
    vectors.extend(edges()?);
    vectors.push(forged()?);
    Ok(vectors)
}

fn metadata() -> Outcome<Vec<Value>> {
    let body = Body::Verified {
        plaintext_length: 5,
    };
    let mut everything = Metadata::new();
    for name in [
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
    ] {
        everything.insert(name, format!("value of {name}"))?;
    }
    everything.insert_user("UPPER", "names are lower case")?;
    everything.insert_user("empty", "")?;
    everything.insert("checksum-crc64nvme", [1; 8])?;
    everything.insert("checksum-sha256", [2; 32])?;
    everything.insert("from-the-future", [0xff, 0, 0xfe])?;
    let mut long = Metadata::new();
    long.insert_user("long", "v".repeat(1_020))?;
    let mut vectors = Vec::new();
    for (name, comment, metadata) in [
        ("metadata-none", "32 bytes of padding", Metadata::new()),
        (
            "metadata-everything",
            "many entries, unknown names and values of any bytes",
            everything,
        ),
        (
            "metadata-unpadded",
            "so long that there is no padding",
            long,
        ),
    ] {
        let sample = Sample {
            metadata,
            ..Sample::new(name, Suite::Aes256Gcm, body)?
        };
        vectors.push(vector(sample, name, comment)?);
    }
    // The longest header of each kind of rounding: exactly at the budget, and one byte over it.
    for entries in 1_038..=1_044 {
        let mut metadata = Metadata::new();
        metadata.insert("v", "v".repeat(entries - 4))?;
        let name = format!("metadata-budget-{entries}");
        let sample = Sample {
            metadata,
            ..Sample::new(&name, Suite::Aes256Gcm, body)?
        };
        vectors.push(vector(
            sample,
            &name,
            "around the length from which on there is no padding",
        )?);
    }
    Ok(vectors)
}

fn edges() -> Outcome<Vec<Value>> {
    let body = Body::Single {
        plaintext_length: 3,
    };
    let base = |name: &str| Sample::new(name, Suite::ChaCha20Poly1305, body);
    let unknown = Wrap::new(
        Provider::from_code(200)?,
        KeyReference::from_bytes([9; 8]),
        vec![1],
    )?;
    let largest = Wrap::new(
        Provider::VaultTransit,
        KeyReference::from_bytes([7; 8]),
        vec![2; 1_024],
    )?;
    let samples = [
        (
            "two-wraps",
            "a second wrap, of a provider that nobody knows",
            Sample {
                wraps: vec![aws_wrap(1)?, unknown],
                ..base("two-wraps")?
            },
        ),
        (
            "largest-wrap",
            "a blob of 1,024 bytes",
            Sample {
                wraps: vec![largest],
                ..base("largest-wrap")?
            },
        ),
        (
            "longest-key",
            "an object key of 1,024 bytes",
            Sample {
                object_key: "k/".repeat(512),
                ..base("longest-key")?
            },
        ),
        (
            "key-kept-as-it-is",
            "dots, slashes, plus and percent are nothing special",
            Sample {
                object_key: "/../%2F//+ \u{1F512}\u{301}".to_owned(),
                ..base("key-kept-as-it-is")?
            },
        ),
        (
            "longest-domain",
            "a domain of 255 bytes",
            Sample {
                domain: "d".repeat(255),
                ..base("longest-domain")?
            },
        ),
        (
            "created-never",
            "time 0",
            Sample {
                created: 0,
                ..base("created-never")?
            },
        ),
        (
            "created-last",
            "the last time there is",
            Sample {
                created: u64::MAX,
                ..base("created-last")?
            },
        ),
        (
            "object-header-of-a-file",
            "the carrier limits the length and nothing else",
            Sample {
                carrier: Carrier::File,
                ..base("object-header-of-a-file")?
            },
        ),
    ];
    samples
        .into_iter()
        .map(|(name, comment, sample)| vector(sample, name, comment))
        .collect()
}

/// What the second writer makes when it keeps the rules, so that its broken vectors are broken in one point only.
fn forged() -> Outcome<Value> {
    let forge = Forge::new("forged", 10);
    let mut body = forge.segments(0, forge.object_id, &pattern(0, 10))?;
    let record = forge.sealed_record(&Record::single(&forge).encode())?;
    body.resize(10 + 28 + 384 - record.len(), 0);
    body.extend(record);
    Ok(Vector::new(
        "object",
        "forged",
        "made by the second writer, with every rule kept",
    )
    .working_keys(&[(forge.working_key_id, forge.working_key)])
    .with("domain", forge.domain.clone())
    .with("object_key", forge.object_key.clone())
    .with(
        "header",
        data_encoding::BASE64URL_NOPAD.encode(&forge.header()?),
    )
    .base64("body", &body)
    .with("plaintext", json!({"hex": "00010203040506070809"}))
    .with("metadata", json!({}))
    .with("created", forge.created)
    .with("suite", 1)
    .with("flags", 0)
    .opens())
}
