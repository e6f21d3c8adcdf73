//! Pairs (P, C(P)) around every border, and lengths that no object has.

use sealgate_envelope::layout::{
    MAXIMUM_PLAINTEXT_LENGTH, MINIMUM_PART_LENGTH, plaintext_length, sealed_length,
};
use serde_json::{Value, json};

use crate::vector::Vector;

pub(crate) fn vectors() -> Vec<Value> {
    let borders = [
        0,
        65_536,
        131_072,
        MINIMUM_PART_LENGTH,
        2 * MINIMUM_PART_LENGTH,
        9_998 * MINIMUM_PART_LENGTH,
        9_999 * MINIMUM_PART_LENGTH,
        10_000 * MINIMUM_PART_LENGTH,
        314_572_800,
        1 << 40,
        MAXIMUM_PLAINTEXT_LENGTH,
    ];
    let mut pairs = Vec::new();
    let mut not_in_image = vec![0, 1, 27, 28, 383, u64::MAX];
    for plaintext in borders
        .into_iter()
        .flat_map(|border: u64| border.saturating_sub(2)..=border + 2)
    {
        let Some(sealed) = sealed_length(plaintext) else {
            continue;
        };
        pairs.push((plaintext, sealed));
        not_in_image.extend(
            (sealed - 40..=sealed + 40).filter(|length| plaintext_length(*length).is_none()),
        );
    }
    pairs.dedup();
    not_in_image.sort_unstable();
    not_in_image.dedup();
    vec![
        Vector::new(
            "lengths",
            "lengths",
            "C(P), and stored lengths that are not in its image",
        )
        .with("pairs", json!(pairs))
        .with("not_in_image", json!(not_in_image))
        .opens(),
    ]
}
