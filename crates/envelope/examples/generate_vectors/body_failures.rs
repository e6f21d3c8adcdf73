//! Bodies whose segments were altered. The body of an object of 200,000 bytes, four segments, is given as a recipe and
//! cut into pieces.

use data_encoding::HEXLOWER;
use sealgate_envelope::object::{Body, ObjectSecrets, PartId};
use sealgate_envelope::{DataKey, Suite};
use serde_json::{Value, json};

use crate::Outcome;
use crate::pattern::RecipeNonces;
use crate::recipes::{describe, single};
use crate::samples::{Recipe, Sample};

const SEGMENT: u64 = 65_564;
const LENGTH: u64 = 200_000;
const SEGMENTS_END: u64 = LENGTH + 4 * 28;
const END: u64 = SEGMENTS_END + 384;

fn range(from: u64, to: u64) -> Value {
    json!({"from": from, "to": to})
}

fn bytes(bytes: &[u8]) -> Value {
    json!({"hex": HEXLOWER.encode(bytes)})
}

fn vector(
    recipe: &Recipe,
    name: &str,
    comment: &str,
    pieces: Value,
    stage: &str,
    released: u64,
) -> Outcome<Value> {
    let vector = describe(recipe, recipe.sealed.vector(name, comment))?;
    Ok(vector.with("pieces", pieces).fails(stage, released))
}

pub(crate) fn vectors() -> Outcome<Vec<Value>> {
    let mut vectors = Vec::new();
    for suite in Suite::ALL {
        let recipe = single(&format!("body-failures-{}", suite.code()), suite, LENGTH)?;
        let body = recipe.body()?;
        for (name, position) in [
            ("first-nonce", 0),
            ("first-ciphertext", 12),
            ("first-tag", SEGMENT - 1),
            ("second-nonce", SEGMENT),
            ("second-ciphertext", SEGMENT + 30_000),
            ("third-tag", 3 * SEGMENT - 16),
            ("last-ciphertext", 3 * SEGMENT + 12),
            ("last-tag", SEGMENTS_END - 1),
        ] {
            let byte = body
                .get(usize::try_from(position)?)
                .ok_or("beyond the body")?
                ^ 1;
            let pieces = json!([range(0, position), bytes(&[byte]), range(position + 1, END)]);
            let name = format!("suite-{}-flipped-{name}", suite.code());
            vectors.push(vector(
                &recipe,
                &name,
                "one bit altered",
                pieces,
                "segment",
                position / SEGMENT * 65_536,
            )?);
        }
    }
    let recipe = single("body-failures", Suite::Aes256Gcm, LENGTH)?;
    let other = Recipe {
        sealed: Sample {
            object_key: recipe.sealed.sample.object_key.clone(),
            ..single("another", Suite::Aes256Gcm, LENGTH)?.sealed.sample
        }
        .seal()?,
        ..recipe.clone()
    };
    let foreign_segment = other.sealed_parts()?.concat();
    let foreign_segment = foreign_segment
        .get(3 * 65_564..)
        .ok_or("no last segment")?
        .to_vec();
    let whole = [range(0, END)];
    let moved = |order: [u64; 3]| {
        let mut pieces: Vec<Value> = order
            .iter()
            .map(|index| range(index * SEGMENT, (index + 1) * SEGMENT))
            .collect();
        pieces.push(range(3 * SEGMENT, END));
        json!(pieces)
    };
    for (name, comment, pieces, stage, released) in [
        (
            "swapped-0-1",
            "segments 0 and 1 exchanged",
            moved([1, 0, 2]),
            "segment",
            0,
        ),
        (
            "swapped-1-2",
            "segments 1 and 2 exchanged",
            moved([0, 2, 1]),
            "segment",
            65_536,
        ),
        (
            "duplicated",
            "segment 0 in place of segment 1",
            moved([0, 0, 2]),
            "segment",
            65_536,
        ),
        (
            "deleted-first",
            "segment 0 missing",
            json!([range(SEGMENT, END)]),
            "commit",
            0,
        ),
        (
            "deleted-middle",
            "segment 1 missing",
            json!([range(0, SEGMENT), range(2 * SEGMENT, END)]),
            "commit",
            0,
        ),
        (
            "deleted-last",
            "segment 3 missing",
            json!([range(0, 3 * SEGMENT), range(SEGMENTS_END, END)]),
            "commit",
            0,
        ),
        (
            "inserted",
            "segment 1 twice",
            json!([range(0, 2 * SEGMENT), range(SEGMENT, END)]),
            "commit",
            0,
        ),
        (
            "from-another-object",
            "the last segment of another object, same index",
            json!([
                range(0, 3 * SEGMENT),
                bytes(&foreign_segment),
                range(SEGMENTS_END, END)
            ]),
            "segment",
            196_608,
        ),
        (
            "zeroed",
            "zero bytes in place of the last segment",
            json!([
                range(0, 3 * SEGMENT),
                bytes(&vec![0; 3_420]),
                range(SEGMENTS_END, END)
            ]),
            "segment",
            196_608,
        ),
        (
            "cut-at-segment",
            "cut behind segment 1",
            json!([range(0, 2 * SEGMENT)]),
            "commit",
            0,
        ),
        (
            "cut-region",
            "cut behind the last segment",
            json!([range(0, SEGMENTS_END)]),
            "commit",
            0,
        ),
        ("empty", "nothing", json!([]), "commit", 0),
        (
            "whole-twice",
            "the body twice",
            json!([whole.clone(), whole].concat()),
            "commit",
            0,
        ),
        (
            "rejected-upload",
            "right segments without a commit region, padded to the right length",
            json!([range(0, SEGMENTS_END), bytes(&[0; 384])]),
            "commit",
            0,
        ),
        (
            "cut-off-upload",
            "some right segments, padded to the right length",
            json!([range(0, 3 * SEGMENT), bytes(&vec![0; 3_420 + 384])]),
            "commit",
            0,
        ),
    ] {
        vectors.push(vector(&recipe, name, comment, pieces, stage, released)?);
    }
    vectors.extend(wrong_final(&recipe)?);
    Ok(vectors)
}

/// Segments with the right key, nonce, index and plaintext, but sealed with the other value of `final`.
fn wrong_final(recipe: &Recipe) -> Outcome<[Value; 2]> {
    let as_if = |recipe: &Recipe, length: u64, index: usize| -> Outcome<Vec<u8>> {
        let id = recipe.sealed.secrets.object_id();
        let body = Body::Verified {
            plaintext_length: length,
        };
        let data_key = DataKey::from_bytes(recipe.sealed.data_key);
        let mut sealed = recipe.sealed.clone();
        sealed.secrets = ObjectSecrets::new(data_key, Suite::Aes256Gcm, id, body);
        let part = sealed.part(PartId::single(id), 0, length, RecipeNonces::new(0))?;
        Ok(part
            .chunks(65_564)
            .nth(index)
            .ok_or("no such segment")?
            .to_vec())
    };
    let last = as_if(recipe, 3 * 65_536, 2)?;
    let pieces = json!([range(0, 2 * SEGMENT), bytes(&last), range(3 * SEGMENT, END)]);
    let early = vector(
        recipe,
        "final-too-early",
        "segment 2 sealed as the last one",
        pieces,
        "segment",
        131_072,
    )?;
    let one = single("final-missing", Suite::Aes256Gcm, 65_536)?;
    let first = as_if(&one, 65_537, 0)?;
    let pieces = json!([bytes(&first), range(SEGMENT, SEGMENT + 384)]);
    let missing = vector(
        &one,
        "final-missing",
        "the last segment sealed as if more followed",
        pieces,
        "segment",
        0,
    )?;
    Ok([early, missing])
}
