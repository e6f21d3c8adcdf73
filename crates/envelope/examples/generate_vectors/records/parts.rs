//! Part records.

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use sealgate_envelope::checksum::{Checksum, ChecksumAlgorithm};
use sealgate_envelope::object::PartId;
use sealgate_envelope::records::{EtagHash, PartLocation, PartRecord, stash_name};
use sealgate_envelope::{AttemptId, Suite, UploadHash};
use serde_json::Value;

use super::{UPLOAD_ID, multipart};
use crate::Outcome;
use crate::forge::{expand, label, seal};
use crate::samples::SealedSample;
use crate::seeded::Seeded;
use crate::vector::Vector;

fn vector(sealed: &SealedSample, name: &str, comment: &str, path: &str) -> Vector {
    // The schema's field `name` is the record's name here, so the vector's own goes in front of its comment.
    Vector::new("part-record", path, &format!("{name}: {comment}"))
        .working_keys(&[(sealed.working_key_id, sealed.working_key)])
        .with("domain", sealed.sample.domain.clone())
        .with("object_key", sealed.sample.object_key.clone())
        .with("header", sealed.header.to_text())
        .with("upload_id", UPLOAD_ID)
}

pub(super) fn vectors() -> Outcome<Vec<Value>> {
    let upload = UploadHash::of(UPLOAD_ID);
    let mut vectors = Vec::new();
    let mut right = None;
    let mut random = Seeded::new("part records");
    for suite in Suite::ALL {
        let sealed = multipart(&format!("part-records-{}", suite.code()), suite)?;
        for (number, length, location, algorithm) in [
            (
                1,
                5_242_880,
                PartLocation::Upstream(EtagHash::of("\"0123456789abcdef0123456789abcdef\"")),
                None,
            ),
            (77, 0, PartLocation::Stash, Some(ChecksumAlgorithm::Crc32)),
            (
                10_000,
                1 << 45,
                PartLocation::Stash,
                Some(ChecksumAlgorithm::Sha512),
            ),
            (
                9_999,
                6_000_000,
                PartLocation::Upstream(EtagHash::of("etag")),
                Some(ChecksumAlgorithm::XxHash128),
            ),
        ] {
            let checksum = algorithm
                .map(|algorithm| {
                    Checksum::new(
                        algorithm,
                        random
                            .array::<64>()
                            .into_iter()
                            .take(algorithm.width())
                            .collect(),
                    )
                })
                .transpose()?;
            let record = PartRecord {
                id: PartId::multipart(number, AttemptId::from_bytes(random.array()))?,
                plaintext_length: length,
                crc64nvme: u64::from_be_bytes(random.array()),
                location,
                checksum: checksum.clone(),
            };
            let path = record.seal_name(&sealed.secrets, upload, &mut random)?;
            let (stashed, etag) = match location {
                PartLocation::Upstream(etag) => (0, *etag.as_bytes()),
                PartLocation::Stash => (1, [0; 32]),
            };
            vectors.push(
                vector(&sealed, "part", "a part record", &path)
                    .with("number", number)
                    .with("attempt", record.id.attempt().to_string())
                    .with("length", length)
                    .with("crc64nvme", record.crc64nvme.to_string())
                    .with("stashed", stashed == 1)
                    .hex("etag_sha256", &etag)
                    .with(
                        "checksum_algorithm",
                        algorithm.map_or(0, ChecksumAlgorithm::code),
                    )
                    .with(
                        "checksum",
                        checksum
                            .map_or(String::new(), |checksum| HEXLOWER.encode(checksum.value())),
                    )
                    .opens(),
            );
            right = Some((sealed.clone(), record.id, path));
        }
    }
    let (sealed, id, path) = right.ok_or("no part record")?;
    let text = path.rsplit('/').next().ok_or("no text")?.to_owned();
    let with_text = |text: &str| {
        format!(
            "{}{text}",
            path.strip_suffix(path.rsplit('/').next().unwrap_or_default())
                .unwrap_or_default()
        )
    };
    let attempt = id.attempt().to_string();
    for (name, comment, path) in [
        (
            "part-other-upload",
            "moved to another upload",
            path.replace(&upload.to_string(), &UploadHash::of("x").to_string()),
        ),
        (
            "part-other-number",
            "moved to another number",
            path.replace("/09999/", "/09998/"),
        ),
        (
            "part-other-attempt",
            "moved to another attempt",
            path.replace(&attempt, &"0".repeat(32)),
        ),
        (
            "part-number-0",
            "number 0",
            path.replace("/09999/", "/00000/"),
        ),
        (
            "part-number-10001",
            "number 10,001",
            path.replace("/09999/", "/10001/"),
        ),
        (
            "part-number-short",
            "four digits",
            path.replace("/09999/", "/9999/"),
        ),
        (
            "part-number-sign",
            "a sign",
            path.replace("/09999/", "/+9999/"),
        ),
        (
            "part-upper-case",
            "base32 in upper case",
            with_text(&text.to_uppercase()),
        ),
        (
            "part-padded",
            "base32 padding",
            with_text(&format!("{text}===")),
        ),
        (
            "part-truncated",
            "eight characters missing",
            with_text(text.get(..text.len() - 8).unwrap_or_default()),
        ),
        ("part-empty", "no record", with_text("")),
        (
            "part-flipped",
            "one character altered",
            with_text(
                &text
                    .chars()
                    .enumerate()
                    .map(|(index, letter)| {
                        if index == 30 {
                            if letter == 'a' { 'b' } else { 'a' }
                        } else {
                            letter
                        }
                    })
                    .collect::<String>(),
            ),
        ),
        (
            "part-in-stash",
            "the name of a stash",
            stash_name(upload, id),
        ),
        (
            "part-deeper",
            "a path segment too many",
            format!("{path}/x"),
        ),
    ] {
        vectors.push(vector(&sealed, name, comment, &path).fails("record", 0));
    }
    // Sealed by the second writer, breaking a rule.
    let etag = [7; 32];
    let plaintext =
        |stashed: u8, etag: [u8; 32], rest: &[u8]| [&[0; 16][..], &[stashed], &etag, rest].concat();
    for (name, comment, plaintext) in [
        (
            "part-forged-stashed-2",
            "neither in the stash nor not",
            plaintext(2, [0; 32], &[0]),
        ),
        (
            "part-forged-etag-of-stash",
            "in the stash, with an ETag",
            plaintext(1, etag, &[0]),
        ),
        (
            "part-forged-algorithm",
            "an unknown algorithm",
            plaintext(0, etag, &[11]),
        ),
        (
            "part-forged-width",
            "a checksum that is too short",
            plaintext(0, etag, &[5, 1, 2, 3]),
        ),
        (
            "part-forged-excess",
            "a byte too many",
            plaintext(0, etag, &[0, 0]),
        ),
    ] {
        let suite = sealed.sample.suite.code();
        let part_label = label(suite, "part-rec");
        let key = expand(&sealed.data_key, &part_label)?;
        let nonce: [u8; 12] = random.array();
        let aad = [
            &part_label[..],
            sealed.secrets.object_id().as_bytes(),
            upload.as_bytes(),
            &id.number().to_be_bytes(),
            id.attempt().as_bytes(),
        ]
        .concat();
        let bytes = [&nonce[..], &seal(suite, &key, nonce, &aad, &plaintext)?].concat();
        let path = with_text(&BASE32_NOPAD.encode(&bytes).to_lowercase());
        vectors.push(
            vector(
                &sealed,
                name,
                &format!("{comment}; the record opens"),
                &path,
            )
            .fails("record", 0),
        );
    }
    Ok(vectors)
}
