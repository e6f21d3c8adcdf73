//! Good objects whose bodies the reader seals itself.

use data_encoding::HEXLOWER;
use sealgate_envelope::Suite;
use sealgate_envelope::checksum::{Checksum, ChecksumAlgorithm, ChecksumType};
use sealgate_envelope::object::Body;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::Outcome;
use crate::samples::{Recipe, Sample};
use crate::vector::Vector;

const MINIMUM: u64 = 5_242_880;

/// The sealed record and tail of a region, without the padding. The tail says where: a record may begin with zero
/// bytes of its own.
pub(crate) fn sealed_record(region: &[u8]) -> Outcome<&[u8]> {
    let tail = region.last_chunk::<4>().ok_or("the region has no tail")?;
    let length = usize::try_from(u32::from_be_bytes(*tail))? + 8;
    let padding = region
        .len()
        .checked_sub(length)
        .ok_or("the region is too short")?;
    Ok(region.get(padding..).unwrap_or_default())
}

/// Adds the recipe of a body to a vector.
pub(crate) fn describe(recipe: &Recipe, vector: Vector) -> Outcome<Vector> {
    let record = recipe.record()?;
    let body = recipe.body()?;
    let region: Vec<u8> = record.seal_region(&recipe.sealed.secrets)?;
    let sealed_record = sealed_record(&region)?;
    let hex = |checksum: Option<&Checksum>| {
        checksum.map_or(String::new(), |checksum| HEXLOWER.encode(checksum.value()))
    };
    let parts: Vec<Value> = record
        .parts()
        .iter()
        .map(|part| {
            json!({
                "number": part.id.number(),
                "attempt": part.id.attempt().to_string(),
                "length": part.plaintext_length,
                "checksum": hex(part.checksum.as_ref()),
            })
        })
        .collect();
    let checksum = record.checksum();
    Ok(vector
        .with(
            "recipe",
            json!({
                "dek": HEXLOWER.encode(&recipe.sealed.data_key),
                "upload_id": recipe.upload_id,
                "checksum_algorithm": checksum.map_or(0, |checksum| checksum.checksum.algorithm().code()),
                "checksum_type": checksum.map_or(0, |checksum| checksum.r#type.code()),
                "checksum": hex(checksum.map(|checksum| &checksum.checksum)),
                "parts": parts,
            }),
        )
        .hex("body_sha256", &Sha256::digest(&body))
        .with("body_length", body.len())
        .hex("region", sealed_record))
}

fn vector(recipe: &Recipe, name: &str, comment: &str) -> Outcome<Value> {
    let vector = describe(recipe, recipe.sealed.vector(name, comment))?;
    Ok(recipe
        .sealed
        .expected(vector)
        .with("plaintext", json!({"pattern": recipe.length()}))
        .opens())
}

/// A multipart object of these parts.
pub(crate) fn multipart(name: &str, suite: Suite, parts: &[(u16, u64)]) -> Outcome<Recipe> {
    Ok(Recipe {
        sealed: Sample::new(name, suite, Body::Multipart)?.seal()?,
        upload_id: Some("2~an-upload-id.of/the+storage"),
        checksum: None,
        parts: parts.to_vec(),
    })
}

/// An object of one part of a known length.
pub(crate) fn single(name: &str, suite: Suite, length: u64) -> Outcome<Recipe> {
    let body = Body::Single {
        plaintext_length: length,
    };
    Ok(Recipe {
        sealed: Sample::new(name, suite, body)?.seal()?,
        upload_id: None,
        checksum: None,
        parts: vec![(0, length)],
    })
}

pub(crate) fn vectors() -> Outcome<Vec<Value>> {
    let mut vectors = Vec::new();
    for suite in Suite::ALL {
        for length in [
            0,
            1,
            65_535,
            65_536,
            65_537,
            131_071,
            131_072,
            131_073,
            MINIMUM - 1,
            MINIMUM,
            MINIMUM + 1,
        ] {
            let name = format!("single-suite-{}-{length}", suite.code());
            vectors.push(vector(
                &single(&name, suite, length)?,
                &name,
                "one part of known length",
            )?);
        }
        for (what, comment, parts) in [
            ("empty", "one part, and it is empty", &[(1, 0)][..]),
            ("tiny", "one part of one byte", &[(1, 1)]),
            (
                "one-segment",
                "one part of exactly a segment",
                &[(1, 65_536)],
            ),
            (
                "numbered-10000",
                "one part with the highest number",
                &[(10_000, 65_537)],
            ),
            (
                "empty-last",
                "two parts, the last one empty",
                &[(1, MINIMUM), (2, 0)],
            ),
            (
                "tiny-last",
                "an odd part and one byte",
                &[(1, MINIMUM + 1), (2, 1)],
            ),
            (
                "gaps",
                "numbers with gaps",
                &[(2, MINIMUM), (7, MINIMUM + 65_537), (9_999, 70_000)],
            ),
        ] {
            let name = format!("multipart-suite-{}-{what}", suite.code());
            vectors.push(vector(&multipart(&name, suite, parts)?, &name, comment)?);
        }
    }
    for algorithm in ChecksumAlgorithm::ALL {
        for r#type in [ChecksumType::FullObject, ChecksumType::Composite] {
            let name = format!("checksum-{}-{}", algorithm.code(), r#type.code());
            let recipe = Recipe {
                checksum: Some((algorithm, r#type)),
                ..multipart(&name, Suite::Aes256Gcm, &[(3, 100)])?
            };
            vectors.push(vector(
                &recipe,
                &name,
                "a checksum of each algorithm and type; the values are arbitrary",
            )?);
        }
    }
    let recipe = Recipe {
        checksum: Some((ChecksumAlgorithm::Sha512, ChecksumType::Composite)),
        upload_id: None,
        ..multipart(
            "wide-and-anonymous",
            Suite::ChaCha20Poly1305,
            &[(1, MINIMUM + 3), (2, MINIMUM + 5), (3, 7)],
        )?
    };
    vectors.push(vector(
        &recipe,
        "wide-and-anonymous",
        "the widest checksums, and no upload id",
    )?);
    let recipe = Recipe {
        checksum: Some((ChecksumAlgorithm::Crc64Nvme, ChecksumType::FullObject)),
        ..single("single-with-checksum", Suite::Aes256Gcm, 1_000)?
    };
    vectors.push(vector(
        &recipe,
        "single-with-checksum",
        "the checksum of an object of one part",
    )?);
    Ok(vectors)
}
