//! Upload records.

use sealgate_envelope::Suite;
use sealgate_envelope::checksum::{ChecksumAlgorithm, ChecksumKind, ChecksumType};
use sealgate_envelope::records::UploadRecord;
use serde_json::Value;

use super::{UPLOAD_ID, multipart};
use crate::Outcome;
use crate::forge::{Forge, mac, prefixed, wrap};
use crate::samples::SealedSample;
use crate::vector::Vector;

fn vector(sealed: &SealedSample, name: &str, comment: &str, record: &[u8]) -> Vector {
    Vector::new("upload-record", name, comment)
        .working_keys(&[(sealed.working_key_id, sealed.working_key)])
        .with("domain", sealed.sample.domain.clone())
        .with("object_key", sealed.sample.object_key.clone())
        .base64("record", record)
}

pub(super) fn vectors() -> Outcome<Vec<Value>> {
    let mut vectors = Vec::new();
    let mut right = None;
    for suite in Suite::ALL {
        for (what, checksum) in [
            ("without-checksum", None),
            (
                "with-checksum",
                Some(ChecksumKind {
                    algorithm: ChecksumAlgorithm::Sha1,
                    r#type: ChecksumType::Composite,
                }),
            ),
        ] {
            let name = format!("upload-{what}-suite-{}", suite.code());
            let sealed = multipart(&name, suite)?;
            let record = UploadRecord {
                created: 1_764_000_000_999,
                checksum,
                bucket: "bucket".to_owned(),
                object_key: sealed.sample.object_key.clone(),
                upload_id: UPLOAD_ID.to_owned(),
                header: sealed.header.clone(),
            };
            let bytes = record.encode(&sealed.secrets)?;
            vectors.push(
                vector(&sealed, &name, "the record of an open upload", &bytes)
                    .with("bucket", record.bucket)
                    .with("upload_id", UPLOAD_ID)
                    .with("created", record.created)
                    .with(
                        "checksum_algorithm",
                        checksum.map_or(0, |kind| kind.algorithm.code()),
                    )
                    .with(
                        "checksum_type",
                        checksum.map_or(0, |kind| kind.r#type.code()),
                    )
                    .opens(),
            );
            right = Some((sealed, bytes));
        }
    }
    let (sealed, right) = right.ok_or("no upload record")?;
    for (name, position) in [
        ("magic", 0),
        ("version", 4),
        ("reserved", 7),
        ("created", 15),
        ("algorithm", 16),
        ("type", 17),
        ("bucket", 22),
        ("object-key", 32),
        ("mac", right.len() - 1),
    ] {
        let mut altered = right.clone();
        if let Some(byte) = altered.get_mut(position) {
            *byte ^= 1;
        }
        vectors.push(
            vector(
                &sealed,
                &format!("upload-altered-{name}"),
                "one bit altered",
                &altered,
            )
            .fails("record", 0),
        );
    }
    vectors.push(
        vector(
            &sealed,
            "upload-truncated",
            "the last byte missing",
            right.get(..right.len() - 1).unwrap_or_default(),
        )
        .fails("record", 0),
    );
    vectors.push(vector(&sealed, "upload-empty", "nothing", &[]).fails("record", 0));
    vectors.push(
        vector(
            &sealed,
            "upload-byte-behind",
            "a byte behind the MAC",
            &[&right[..], &[0]].concat(),
        )
        .fails("record", 0),
    );
    vectors.push(
        vector(
            &sealed,
            "upload-of-another-domain",
            "the record of another domain",
            &right,
        )
        .with("domain", "other")
        .fails("record", 0),
    );
    vectors.extend(forged()?);
    Ok(vectors)
}

/// Records whose MAC is right, but which break a rule.
fn forged() -> Outcome<Vec<Value>> {
    let forge = Forge {
        flags: 1,
        length: u64::MAX,
        ..Forge::new("forged upload", 0)
    };
    let single = Forge {
        flags: 0,
        length: 5,
        ..forge.clone()
    };
    let long = Forge {
        wraps: [vec![2], wrap(1, &[1; 1_000]), wrap(1, &[2; 1_000])].concat(),
        metadata: vec![0, 0],
        ..forge.clone()
    };
    let other_key = Forge {
        object_key: "another".to_owned(),
        ..forge.clone()
    };
    let record =
        |start: [u8; 8], kind: [u8; 2], header: &[u8], excess: &[u8]| -> Outcome<Vec<u8>> {
            let bytes = [
                &start[..],
                &5u64.to_be_bytes(),
                &kind,
                &prefixed(b"bucket"),
                &prefixed(forge.object_key.as_bytes()),
                &prefixed(UPLOAD_ID.as_bytes()),
                &prefixed(header),
                excess,
            ]
            .concat();
            let mac = mac(&forge.key("upload", &[])?, &bytes)?;
            Ok([&bytes[..], &mac].concat())
        };
    let start = *b"SGUP\x01\0\0\0";
    let header = forge.header()?;
    let vector = |name: &str, comment: &str, record: &[u8]| {
        Vector::new("upload-record", name, comment)
            .working_keys(&[(forge.working_key_id, forge.working_key)])
            .with("domain", forge.domain.clone())
            .with("object_key", forge.object_key.clone())
            .base64("record", record)
    };
    let mut vectors = vec![
        vector(
            "upload-forged",
            "made by the second writer, with every rule kept",
            &record(start, [0, 0], &header, &[])?,
        )
        .with("bucket", "bucket")
        .with("upload_id", UPLOAD_ID)
        .with("created", 5)
        .with("checksum_algorithm", 0)
        .with("checksum_type", 0)
        .opens(),
    ];
    for (name, comment, bytes) in [
        (
            "single-header",
            "the header of a single object",
            record(start, [0, 0], &single.header()?, &[])?,
        ),
        (
            "long-header",
            "a header of more than 1,500 bytes",
            record(start, [0, 0], &long.header()?, &[])?,
        ),
        (
            "header-of-another-key",
            "a header bound to another key",
            record(start, [0, 0], &other_key.header()?, &[])?,
        ),
        (
            "version-2",
            "version 2",
            record(*b"SGUP\x02\0\0\0", [0, 0], &header, &[])?,
        ),
        (
            "reserved",
            "a reserved byte that is not zero",
            record(*b"SGUP\x01\0\0\x01", [0, 0], &header, &[])?,
        ),
        (
            "algorithm-11",
            "an unknown checksum algorithm",
            record(start, [11, 1], &header, &[])?,
        ),
        (
            "algorithm-without-type",
            "a checksum algorithm without a type",
            record(start, [1, 0], &header, &[])?,
        ),
        (
            "excess",
            "a byte between header and MAC",
            record(start, [0, 0], &header, &[0])?,
        ),
        (
            "over-limit",
            "more than 65,536 bytes",
            record(start, [0, 0], &header, &vec![0; 65_536])?,
        ),
    ] {
        vectors.push(
            vector(
                &format!("upload-forged-{name}"),
                &format!("{comment}; the MAC is right"),
                &bytes,
            )
            .fails("record", 0),
        );
    }
    Ok(vectors)
}
