//! Which ciphertext to ask for before anything is known of an object.
//!
//! The first 5 MiB of every object have the same layout, because a part but the last has at least that much. Behind them every part may end
//! in a short segment, so the wanted bytes can lie a little further on, or in a segment that begins a little earlier; the guess is wide
//! enough for any way of cutting, so that the first answer nearly always holds what is needed.

use sealgate_envelope::layout::{
    MINIMUM_PART_LENGTH, SEALED_SEGMENT_LENGTH, SEGMENT_LENGTH, SEGMENT_OVERHEAD,
};

use crate::byte_range::ByteRangeSpec;

const SEGMENT: u64 = SEGMENT_LENGTH as u64;
const SEALED_SEGMENT: u64 = SEALED_SEGMENT_LENGTH as u64;
const OVERHEAD: u64 = SEGMENT_OVERHEAD as u64;

/// Room for the commit region in a suffix request: enough for objects of up to 600 MiB. Larger ones cost one more request.
const SUFFIX_ALLOWANCE: u64 = 16 << 10;

/// The `Range` header for a first request.
pub(super) fn range_header(wanted: ByteRangeSpec) -> String {
    match wanted {
        ByteRangeSpec::Bounded { first, last } => format!(
            "bytes={}-{}",
            sealed_start(first),
            sealed_end(last).saturating_sub(1)
        ),
        ByteRangeSpec::From { first } => format!("bytes={}-", sealed_start(first)),
        ByteRangeSpec::Suffix { length } => {
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
