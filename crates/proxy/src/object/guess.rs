//! Which ciphertext to ask for before anything is known of an object.
//!
//! The first 5 MiB of every object have the same layout, because a part but the last has at least that much. Behind them every part may end
//! in a short segment, so the wanted bytes can lie a little further on, or in a segment that begins a little earlier; the guess is wide
//! enough for any way of cutting, so that the first answer nearly always holds what is needed.

use sealgate_envelope::layout::{
    MAXIMUM_PLAINTEXT_LENGTH, MINIMUM_PART_LENGTH, SEALED_SEGMENT_LENGTH, SEGMENT_LENGTH,
    SEGMENT_OVERHEAD,
};

use crate::byte_range::ByteRangeSpec;

const SEGMENT: u64 = SEGMENT_LENGTH as u64;
const SEALED_SEGMENT: u64 = SEALED_SEGMENT_LENGTH as u64;
/// No byte of plaintext or ciphertext lies behind this. Storages read positions as signed numbers, and ignore a range with a larger one.
const BEYOND_EVERY_OBJECT: u64 = MAXIMUM_PLAINTEXT_LENGTH * 2;
const OVERHEAD: u64 = SEGMENT_OVERHEAD as u64;

/// Room for the commit region in a suffix request: enough for objects of up to 600 MiB. Larger ones cost one more request.
const SUFFIX_ALLOWANCE: u64 = 16 << 10;

/// The `Range` header for a first request.
pub(super) fn range_header(wanted: ByteRangeSpec) -> String {
    match wanted {
        ByteRangeSpec::Bounded { first, last } => format!(
            "bytes={}-{}",
            sealed_start(first.min(BEYOND_EVERY_OBJECT)),
            sealed_end(last.min(BEYOND_EVERY_OBJECT)).saturating_sub(1)
        ),
        ByteRangeSpec::From { first } => {
            format!("bytes={}-", sealed_start(first.min(BEYOND_EVERY_OBJECT)))
        }
        ByteRangeSpec::Suffix { length } => {
            let length = length.min(BEYOND_EVERY_OBJECT);
            let segments = (length / SEGMENT)
                .saturating_add(length / MINIMUM_PART_LENGTH)
                .saturating_add(3);
            let sealed = length
                .saturating_add(segments.saturating_mul(OVERHEAD))
                .saturating_add(SEALED_SEGMENT + SUFFIX_ALLOWANCE);
            format!("bytes=-{sealed}")
        }
    }
}

/// No wanted segment begins before this.
fn sealed_start(first: u64) -> u64 {
    let earliest = if first < MINIMUM_PART_LENGTH {
        first
    } else {
        first - (SEGMENT - 1)
    };
    (earliest / SEGMENT).saturating_mul(SEALED_SEGMENT)
}

/// No wanted segment ends after this.
fn sealed_end(last: u64) -> u64 {
    let aligned = (last / SEGMENT).saturating_add(1);
    if last < MINIMUM_PART_LENGTH {
        // Part 1 of any object, cut like a single one.
        return aligned.saturating_mul(SEALED_SEGMENT);
    }
    let end = last.saturating_add(SEGMENT);
    let short_segments = (end / MINIMUM_PART_LENGTH).saturating_add(1);
    end.saturating_add(
        (aligned.saturating_add(1).saturating_add(short_segments)).saturating_mul(OVERHEAD),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sealgate_envelope::{
        AttemptId, DataKey, ObjectId, Suite,
        commit::{CommitPart, CommitRecord},
        object::{Body, ObjectSecrets, PartId},
        parts::ObjectLayout,
    };

    use super::*;

    /// The layout of a multipart object with parts of these lengths.
    fn layout(lengths: &[u64]) -> ObjectLayout {
        let secrets = ObjectSecrets::new(
            DataKey::from_bytes([1; 32]),
            Suite::Aes256Gcm,
            ObjectId::from_bytes([2; 16]),
            Body::Multipart,
        );
        let parts = (1..)
            .zip(lengths)
            .map(|(number, length)| CommitPart {
                id: PartId::multipart(number, AttemptId::from_bytes([3; 16])).unwrap(),
                plaintext_length: *length,
                checksum: None,
            })
            .collect();
        CommitRecord::new(&secrets, parts, None, None)
            .unwrap()
            .layout()
            .clone()
    }

    /// The bytes that a server would send for a range header.
    fn served(header: &str, sealed_length: u64) -> (u64, u64) {
        let range = header.strip_prefix("bytes=").unwrap();
        let (first, last) = range.split_once('-').unwrap();
        match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) => (first, (last + 1).min(sealed_length)),
            (Ok(first), Err(_)) => (first, sealed_length),
            (Err(_), Ok(suffix)) => (sealed_length.saturating_sub(suffix), sealed_length),
            (Err(_), Err(_)) => panic!("{header}"),
        }
    }

    proptest! {
        #[test]
        fn the_guess_holds_the_wanted_segments_however_the_object_was_cut(
            mut lengths in prop::collection::vec(MINIMUM_PART_LENGTH..MINIMUM_PART_LENGTH + 200_000, 0..12),
            last in 1..300_000_u64,
            (from, to) in (0.0..1.0, 0.0..1.0),
        ) {
            lengths.push(last);
            let layout = layout(&lengths);
            let total = layout.plaintext_length();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a random position")]
            let position = |share: f64| ((total as f64 * share) as u64).min(total - 1);
            let (first, last) = (position(from).min(position(to)), position(from).max(position(to)));
            for (spec, wanted) in [
                (ByteRangeSpec::Bounded { first, last }, first..last + 1),
                (ByteRangeSpec::From { first }, first..total),
                (ByteRangeSpec::Suffix { length: total - first }, first..total),
            ] {
                let needed = layout.plan(wanted).unwrap().ciphertext();
                let (start, end) = served(&range_header(spec), layout.sealed_length());
                prop_assert!(start <= needed.start && needed.end <= end, "{:?}: {:?} is not in {}..{}", spec, needed, start, end);
            }
        }
    }

    #[test]
    fn extreme_ranges_are_positions_that_every_storage_can_read() {
        for spec in [
            ByteRangeSpec::Bounded {
                first: u64::MAX,
                last: u64::MAX,
            },
            ByteRangeSpec::From { first: u64::MAX },
            ByteRangeSpec::Suffix { length: u64::MAX },
        ] {
            let header = range_header(spec);
            let positions = header.strip_prefix("bytes=").unwrap().split('-');
            for position in positions.filter(|position| !position.is_empty()) {
                assert!(position.parse::<u64>().unwrap() < 1 << 50, "{header}");
            }
        }
    }
}
