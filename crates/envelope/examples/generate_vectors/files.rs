//! Sealed files.

use sealgate_envelope::commit::CommitRecord;
use sealgate_envelope::header::Carrier;
use sealgate_envelope::object::{Body, PartId};
use sealgate_envelope::{AttemptId, Suite};
use serde_json::{Value, json};

use crate::Outcome;
use crate::forge::{Forge, Record, prefixed, wrap};
use crate::pattern::{RecipeNonces, pattern};
use crate::samples::{Sample, SealedSample};
use crate::seeded::Seeded;
use crate::vector::Vector;

fn sample(name: &str, suite: Suite, body: Body) -> Outcome<Sample> {
    let mut sample = Sample::new(name, suite, body)?;
    sample
        .metadata
        .insert("file-name", "Bericht für 2026.pdf")?;
    Ok(Sample {
        domain: "file".to_owned(),
        object_key: String::new(),
        carrier: Carrier::File,
        ..sample
    })
}

/// The parts of a body: numbers and lengths.
fn streamed_body(sealed: &SealedSample, parts: &[(u16, u64)]) -> Outcome<Vec<u8>> {
    let (mut body, mut records, mut start) = (Vec::new(), Vec::new(), 0);
    for (number, length) in parts {
        let attempt = AttemptId::from_bytes(Seeded::new(&format!("file {number}")).array());
        let id = PartId::multipart(*number, attempt)?;
        body.extend(sealed.part(id, start, *length, RecipeNonces::new(*number))?);
        records.push(sealgate_envelope::commit::CommitPart {
            id,
            plaintext_length: *length,
            checksum: None,
        });
        start += length;
    }
    body.extend(
        CommitRecord::new(&sealed.secrets, records, None, None)?.seal_region(&sealed.secrets)?,
    );
    Ok(body)
}

fn framed(sealed: &SealedSample, body: &[u8]) -> Vec<u8> {
    [b"SEALGATE", &prefixed(sealed.header.as_bytes())[..], body].concat()
}

fn vector(sealed: &SealedSample, name: &str, comment: &str, file: &[u8]) -> Vector {
    Vector::new("file", name, comment)
        .working_keys(&[(sealed.working_key_id, sealed.working_key)])
        .with("domain", sealed.sample.domain.clone())
        .base64("file", file)
}

pub(crate) fn vectors() -> Outcome<Vec<Value>> {
    let mut vectors = Vec::new();
    for suite in Suite::ALL {
        for length in [0, 1, 1_000] {
            let name = format!("known-length-suite-{}-{length}", suite.code());
            let sealed = sample(
                &name,
                suite,
                Body::Single {
                    plaintext_length: length,
                },
            )?
            .seal()?;
            let file = framed(&sealed, &sealed.single_body()?);
            let vector = sealed.expected(vector(
                &sealed,
                &name,
                "the length was known at the start",
                &file,
            ));
            vectors.push(vector.with("plaintext", json!({"pattern": length})).opens());

            let name = format!("unknown-length-suite-{}-{length}", suite.code());
            let sealed = sample(&name, suite, Body::Multipart)?.seal()?;
            let file = framed(&sealed, &streamed_body(&sealed, &[(1, length)])?);
            let vector = sealed.expected(self::vector(
                &sealed,
                &name,
                "the length was not known at the start",
                &file,
            ));
            vectors.push(vector.with("plaintext", json!({"pattern": length})).opens());
        }
    }
    vectors.push(large_header()?);
    vectors.extend(failures()?);
    Ok(vectors)
}

fn large_header() -> Outcome<Value> {
    let name = "large-header";
    let mut sample = sample(
        name,
        Suite::Aes256Gcm,
        Body::Single {
            plaintext_length: 3,
        },
    )?;
    "archive".clone_into(&mut sample.domain);
    sample.metadata.insert_user("large", vec![b'v'; 60_000])?;
    let sealed = sample.seal()?;
    let file = framed(&sealed, &sealed.single_body()?);
    let vector = sealed.expected(vector(
        &sealed,
        name,
        "more metadata than an S3 object can have, and a domain of its own",
        &file,
    ));
    Ok(vector.with("plaintext", json!({"pattern": 3})).opens())
}

fn failures() -> Outcome<Vec<Value>> {
    let sealed = sample(
        "file-failures",
        Suite::Aes256Gcm,
        Body::Single {
            plaintext_length: 70_000,
        },
    )?
    .seal()?;
    let small = sample(
        "small-file",
        Suite::Aes256Gcm,
        Body::Single {
            plaintext_length: 10,
        },
    )?
    .seal()?;
    let right = framed(&small, &small.single_body()?);
    let body = small.single_body()?;
    let header = small.header.as_bytes();
    let header_end = 12 + header.len();
    let cut = |length: usize| right.get(..length).unwrap_or_default().to_vec();
    let with_length =
        |length: u32| [b"SEALGATE", &length.to_be_bytes()[..], header, &body].concat();
    let header_length = u32::try_from(header.len())?;
    let object = Sample::new(
        "as-object",
        Suite::Aes256Gcm,
        Body::Single {
            plaintext_length: 10,
        },
    )?
    .seal()?;
    let mut vectors: Vec<Value> = [
        (
            "magic",
            "another magic",
            [b"SEALGATF", right.get(8..).unwrap_or_default()].concat(),
            "header",
        ),
        ("empty", "nothing", Vec::new(), "header"),
        ("magic-only", "cut behind the magic", cut(8), "header"),
        (
            "length-cut",
            "cut in the length of the header",
            cut(11),
            "header",
        ),
        (
            "header-cut",
            "cut in the header",
            cut(header_end - 1),
            "header",
        ),
        (
            "no-body",
            "cut behind the header",
            cut(header_end),
            "commit",
        ),
        (
            "segment-cut",
            "cut in the segment",
            cut(header_end + 20),
            "commit",
        ),
        (
            "region-cut",
            "the last byte missing",
            cut(right.len() - 1),
            "commit",
        ),
        (
            "byte-behind",
            "a byte behind the commit region",
            [&right[..], &[0]].concat(),
            "commit",
        ),
        (
            "header-length-0",
            "a header of no bytes",
            with_length(0),
            "header",
        ),
        (
            "header-length-one-less",
            "a header of one byte less",
            with_length(header_length - 1),
            "header",
        ),
        (
            "header-length-one-more",
            "a header of one byte more",
            with_length(header_length + 1),
            "header",
        ),
        (
            "header-length-over-limit",
            "a header of 65,537 bytes",
            with_length(65_537),
            "header",
        ),
        (
            "header-length-4-gib",
            "a header of 4 GiB",
            with_length(u32::MAX),
            "header",
        ),
    ]
    .into_iter()
    .map(|(name, comment, file, stage)| vector(&small, name, comment, &file).fails(stage, 0))
    .collect();
    vectors.push(
        vector(&small, "other-domain", "another domain", &right)
            .with("domain", "archive")
            .fails("header", 0),
    );
    vectors.push(
        vector(
            &object,
            "object-as-file",
            "an S3 object put into a file",
            &framed(&object, &object.single_body()?),
        )
        .fails("header", 0),
    );
    vectors.push(
        vector(
            &small,
            "flipped-segment",
            "one bit altered in the only segment",
            &flipped(&right, header_end + 15),
        )
        .fails("segment", 0),
    );
    vectors.push(
        vector(
            &small,
            "flipped-padding",
            "one bit altered in the padding",
            &flipped(&right, header_end + 40),
        )
        .fails("commit", 0),
    );
    let large = framed(&sealed, &sealed.single_body()?);
    let position = 12 + sealed.header.as_bytes().len() + 65_564 + 100;
    vectors.push(
        vector(
            &sealed,
            "flipped-second-segment",
            "one bit altered in segment 1",
            &flipped(&large, position),
        )
        .fails("segment", 65_536),
    );
    let streamed = sample("two-parts", Suite::Aes256Gcm, Body::Multipart)?.seal()?;
    let file = framed(&streamed, &streamed_body(&streamed, &[(2, 10)])?);
    vectors.push(
        vector(
            &streamed,
            "part-2",
            "a file of unknown length whose part has number 2",
            &file,
        )
        .fails("commit", 0),
    );
    vectors.push(padded_over_budget()?);
    Ok(vectors)
}

/// Metadata that is padded although the padded header has more than 1,500 bytes.
fn padded_over_budget() -> Outcome<Value> {
    let value = [b'v'; 265];
    let mut metadata = [&[1, 13, 1, b'a', 1, 9][..], &value].concat();
    metadata.resize(288, 0);
    let forge = Forge {
        domain: "file".to_owned(),
        object_key: String::new(),
        // The header has 1,193 bytes without its metadata: 1,492 with 271 bytes of it, 1,509 with 288.
        wraps: [vec![2], wrap(1, &[1; 500]), wrap(1, &[2; 500])].concat(),
        metadata,
        ..Forge::new("padded over budget", 10)
    };
    let mut body = forge.segments(0, forge.object_id, &pattern(0, 10))?;
    let record = forge.sealed_record(&Record::single(&forge).encode())?;
    body.resize(10 + 28 + 384 - record.len(), 0);
    let file = [b"SEALGATE", &prefixed(&forge.header()?)[..], &body, &record].concat();
    let comment =
        "metadata padded although the header gets longer than 1,500 bytes by it; the MAC is right";
    Ok(Vector::new("file", "padded-over-budget", comment)
        .working_keys(&[(forge.working_key_id, forge.working_key)])
        .with("domain", "file")
        .base64("file", &file)
        .fails("header", 0))
}

fn flipped(file: &[u8], position: usize) -> Vec<u8> {
    let mut file = file.to_vec();
    if let Some(byte) = file.get_mut(position) {
        *byte ^= 1;
    }
    file
}
