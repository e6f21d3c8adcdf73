//! Multipart objects whose parts were dropped, moved, repeated or exchanged: a recipe of three parts, cut into pieces.

use data_encoding::HEXLOWER;
use sealgate_envelope::layout::{part_sealed_length, sealed_length};
use sealgate_envelope::object::PartId;
use sealgate_envelope::{AttemptId, Suite};
use serde_json::{Value, json};

use crate::Outcome;
use crate::pattern::RecipeNonces;
use crate::recipes::{describe, multipart, sealed_record};
use crate::samples::Recipe;
use crate::vector::Vector;

const MINIMUM: u64 = 5_242_880;
const LAST: u64 = 1_000;

fn range(from: u64, to: u64) -> Value {
    json!({"from": from, "to": to})
}

fn bytes(bytes: &[u8]) -> Value {
    json!({"hex": HEXLOWER.encode(bytes)})
}

pub(crate) fn vectors() -> Outcome<Vec<Value>> {
    // Parts of equal length, so that exchanging them moves nothing else.
    let parts = [(1, MINIMUM), (2, MINIMUM), (3, LAST)];
    let recipe = multipart("multipart-failures", Suite::Aes256Gcm, &parts)?;
    let sealed_part = part_sealed_length(MINIMUM).ok_or("too long")?;
    let (first, second) = (sealed_part, 2 * sealed_part);
    let segments_end = second + LAST + 28;
    let end = sealed_length(2 * MINIMUM + LAST).ok_or("too long")?;
    let base = describe(&recipe, recipe.sealed.vector("", ""))?;
    let vector = |name: &str, comment: &str, pieces: Value, stage: &str, released: u64| {
        named(&base, name, comment)
            .with("pieces", pieces)
            .fails(stage, released)
    };
    let region = recipe.record()?.seal_region(&recipe.sealed.secrets)?;
    // The right record, in a body that has the right length for the parts that are left.
    let resized = |parts: &[u64]| -> Outcome<Value> {
        let record = sealed_record(&region)?;
        let sealed: u64 = parts.iter().copied().filter_map(part_sealed_length).sum();
        let room = sealed_length(parts.iter().sum()).ok_or("too long")? - sealed;
        let padding = vec![0; usize::try_from(room)? - record.len()];
        Ok(bytes(&[&padding[..], record].concat()))
    };
    let other_attempt = last_part(&recipe, &recipe, AttemptId::from_bytes([0xaa; 16]))?;
    let other = multipart("another upload", Suite::Aes256Gcm, &parts)?;
    let other_upload = last_part(&other, &recipe, recipe_attempt(&recipe)?)?;
    let other_record = other.record()?.seal_region(&other.sealed.secrets)?;

    Ok(vec![
        vector(
            "dropped-last",
            "the last part missing, the rest as it is",
            json!([range(0, second), range(segments_end, end)]),
            "commit",
            0,
        ),
        vector(
            "dropped-first",
            "the first part missing, the rest as it is",
            json!([range(first, end)]),
            "commit",
            0,
        ),
        vector(
            "dropped-middle-and-resized",
            "the second part missing, the record behind padding of the right length",
            json!([
                range(0, first),
                range(second, segments_end),
                resized(&[MINIMUM, LAST])?
            ]),
            "commit",
            0,
        ),
        vector(
            "reordered",
            "the first two parts exchanged",
            json!([range(first, second), range(0, first), range(second, end)]),
            "segment",
            0,
        ),
        vector(
            "duplicated",
            "the first part in place of the second",
            json!([range(0, first), range(0, first), range(second, end)]),
            "segment",
            MINIMUM,
        ),
        vector(
            "repeated",
            "the last part twice",
            json!([range(0, segments_end), range(second, end)]),
            "commit",
            0,
        ),
        vector(
            "other-attempt",
            "the last part of another attempt, same plaintext",
            json!([
                range(0, second),
                bytes(&other_attempt),
                range(segments_end, end)
            ]),
            "segment",
            2 * MINIMUM,
        ),
        vector(
            "other-upload",
            "the last part of another upload, same plaintext",
            json!([
                range(0, second),
                bytes(&other_upload),
                range(segments_end, end)
            ]),
            "segment",
            2 * MINIMUM,
        ),
        vector(
            "segment-from-other-part",
            "the first segment of the first part as that of the second",
            json!([
                range(0, first),
                range(0, 65_564),
                range(first + 65_564, end)
            ]),
            "segment",
            MINIMUM,
        ),
        vector(
            "no-region",
            "the commit region missing",
            json!([range(0, segments_end)]),
            "commit",
            0,
        ),
        vector(
            "zero-region",
            "an upload that was never completed, padded to the right length",
            json!([
                range(0, segments_end),
                bytes(&vec![0; usize::try_from(end - segments_end)?])
            ]),
            "commit",
            0,
        ),
        vector(
            "two-regions",
            "the commit region twice",
            json!([range(0, end), range(segments_end, end)]),
            "commit",
            0,
        ),
        vector(
            "foreign-region",
            "the commit region of another upload of equal parts",
            json!([range(0, segments_end), bytes(&other_record)]),
            "commit",
            0,
        ),
        vector(
            "fewer-parts",
            "the first part only, the record behind padding of the right length",
            json!([range(0, first), resized(&[MINIMUM])?]),
            "commit",
            0,
        ),
        vector(
            "truncated",
            "cut behind the first part",
            json!([range(0, first)]),
            "commit",
            0,
        ),
        vector(
            "region-first",
            "the commit region moved to the front",
            json!([range(segments_end, end), range(0, segments_end)]),
            "commit",
            0,
        ),
    ])
}

fn named(base: &Vector, name: &str, comment: &str) -> Vector {
    base.clone().with("name", name).with("comment", comment)
}

fn recipe_attempt(recipe: &Recipe) -> Outcome<AttemptId> {
    Ok(recipe
        .record()?
        .parts()
        .last()
        .ok_or("no parts")?
        .id
        .attempt())
}

/// The last part of `place`'s plaintext, sealed with the secrets of `from`.
fn last_part(from: &Recipe, place: &Recipe, attempt: AttemptId) -> Outcome<Vec<u8>> {
    let start = place.length() - LAST;
    from.sealed.part(
        PartId::multipart(3, attempt)?,
        start,
        LAST,
        RecipeNonces::new(3),
    )
}
