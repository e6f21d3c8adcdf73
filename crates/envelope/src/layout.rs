//! All arithmetic on lengths, forward and back (FORMAT.md, section 5).
//!
//! The sealed length of an object depends on its plaintext length alone, however it was cut into parts, and the
//! function can be inverted: a listing that shows only sealed sizes tells the plaintext sizes.

use crate::suite::{NONCE_LENGTH, TAG_LENGTH};

/// Plaintext bytes of every segment but the last of a part.
pub const SEGMENT_LENGTH: usize = 65_536;

/// What a segment adds to its plaintext: nonce and tag.
pub const SEGMENT_OVERHEAD: usize = NONCE_LENGTH + TAG_LENGTH;

/// Stored bytes of a full segment.
pub const SEALED_SEGMENT_LENGTH: usize = SEGMENT_LENGTH + SEGMENT_OVERHEAD;

/// The least plaintext of every part but the last: S3's minimum part size.
pub const MINIMUM_PART_LENGTH: u64 = 5 * 1024 * 1024;

/// The most parts of an object, and the highest part number.
pub const MAXIMUM_PARTS: u16 = 10_000;

/// The most plaintext of an object or file: 64 TiB (section 12).
pub const MAXIMUM_PLAINTEXT_LENGTH: u64 = 1 << 46;

/// Fixed bytes of the commit region: A of the design.
const REGION_BASE: u64 = 256;

/// Bytes of the commit region for each 5 MiB begun: B of the design.
const REGION_PER_PART: u64 = 128;

/// `SEGMENT_LENGTH` and `SEGMENT_OVERHEAD` in the type of object lengths.
const SEGMENT: u64 = 65_536;
const OVERHEAD: u64 = 28;
const PARTS: u64 = 10_000;

/// What C grows by over 5 MiB, as long as the commit region still grows: 80 full segments and one entry.
const SEALED_STRIDE: u64 =
    MINIMUM_PART_LENGTH + MINIMUM_PART_LENGTH / SEGMENT * OVERHEAD + REGION_PER_PART;

/// Number of segments of a part of `plaintext_length` bytes: ⌈p / 65,536⌉, 0 for an empty part.
pub fn segment_count(plaintext_length: u64) -> u64 {
    plaintext_length.div_ceil(SEGMENT)
}

/// Stored length of a part: p + 28 · ⌈p / 65,536⌉. `None` over [`MAXIMUM_PLAINTEXT_LENGTH`].
pub fn part_sealed_length(plaintext_length: u64) -> Option<u64> {
    if plaintext_length > MAXIMUM_PLAINTEXT_LENGTH {
        return None;
    }
    segment_count(plaintext_length)
        .checked_mul(OVERHEAD)?
        .checked_add(plaintext_length)
}

/// The commit region's length R(P) for an object that is one part; each further segment that cutting into parts
/// adds takes 28 bytes of it.
pub fn commit_region_length(plaintext_length: u64) -> u64 {
    let parts = (plaintext_length / MINIMUM_PART_LENGTH)
        .saturating_add(1)
        .min(PARTS);
    REGION_BASE + REGION_PER_PART * parts
}

/// Stored length C(P) of an object of `plaintext_length` bytes. `None` over [`MAXIMUM_PLAINTEXT_LENGTH`].
///
/// ```
/// use sealgate_envelope::layout::{plaintext_length, sealed_length};
/// assert_eq!(sealed_length(314_572_800), Some(314_715_264));
/// assert_eq!(plaintext_length(314_715_264), Some(314_572_800));
/// ```
pub fn sealed_length(plaintext_length: u64) -> Option<u64> {
    part_sealed_length(plaintext_length)?.checked_add(commit_region_length(plaintext_length))
}

/// The P with C(P) = `sealed_length`; `None` if there is none, so that nothing of this length is a sealed object.
pub fn plaintext_length(sealed: u64) -> Option<u64> {
    let above_first_entry = sealed.checked_sub(REGION_BASE + REGION_PER_PART)?;
    let strides = (above_first_entry / SEALED_STRIDE).min(PARTS - 1);
    let sealed_rest = above_first_entry - strides * SEALED_STRIDE;
    let rest = sealed_rest.checked_sub(
        sealed_rest
            .div_ceil(SEGMENT + OVERHEAD)
            .checked_mul(OVERHEAD)?,
    )?;
    let candidate = strides
        .checked_mul(MINIMUM_PART_LENGTH)?
        .checked_add(rest)?;
    (sealed_length(candidate) == Some(sealed)).then_some(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_table_of_the_format() {
        for (plaintext, sealed) in [
            (0, 384),
            (1, 413),
            (65_536, 65_948),
            (65_537, 65_977),
            (5_242_879, 5_245_503),
            (5_242_880, 5_245_632),
            (314_572_800, 314_715_264),
        ] {
            assert_eq!(sealed_length(plaintext), Some(sealed));
            assert_eq!(plaintext_length(sealed), Some(plaintext));
        }
        assert_eq!(SEALED_SEGMENT_LENGTH, 65_564);
        assert_eq!(usize::try_from(SEGMENT).unwrap(), SEGMENT_LENGTH);
        assert_eq!(usize::try_from(OVERHEAD).unwrap(), SEGMENT_OVERHEAD);
        assert_eq!(PARTS, u64::from(MAXIMUM_PARTS));
    }

    #[test]
    fn the_image_has_gaps_and_ends() {
        for sealed in [
            0,
            383,
            385,
            412,
            65_949,
            65_976,
            5_245_504,
            5_245_631,
            u64::MAX,
        ] {
            assert_eq!(plaintext_length(sealed), None, "{sealed}");
        }
        assert_eq!(sealed_length(MAXIMUM_PLAINTEXT_LENGTH + 1), None);
        assert_eq!(sealed_length(u64::MAX), None);
        assert_eq!(part_sealed_length(u64::MAX), None);
        let longest = sealed_length(MAXIMUM_PLAINTEXT_LENGTH).unwrap();
        assert_eq!(plaintext_length(longest), Some(MAXIMUM_PLAINTEXT_LENGTH));
        assert_eq!(plaintext_length(longest + 1), None);
    }

    /// Exhaustive around every kind of border: of a segment, of 5 MiB, and of the last entry.
    #[test]
    fn the_inverse_is_exact_around_borders() {
        for border in [
            0,
            SEGMENT,
            2 * SEGMENT,
            MINIMUM_PART_LENGTH,
            9_999 * MINIMUM_PART_LENGTH,
            10_000 * MINIMUM_PART_LENGTH,
        ] {
            let from = border.saturating_sub(600);
            let to = border + 600;
            let sealed: Vec<u64> = (from..to)
                .map(|plaintext| sealed_length(plaintext).unwrap())
                .collect();
            for candidate in sealed[0]..=sealed[sealed.len() - 1] {
                let expected = sealed
                    .binary_search(&candidate)
                    .ok()
                    .map(|index| from + index as u64);
                assert_eq!(plaintext_length(candidate), expected, "{candidate}");
            }
        }
    }

    proptest! {
        #[test]
        fn sealed_length_is_strictly_increasing_and_inverted(plaintext in 0..MAXIMUM_PLAINTEXT_LENGTH) {
            let sealed = sealed_length(plaintext).unwrap();
            prop_assert!(sealed < sealed_length(plaintext + 1).unwrap());
            prop_assert_eq!(plaintext_length(sealed), Some(plaintext));
        }

        #[test]
        fn whatever_inverts_is_in_the_image(sealed: u64) {
            if let Some(plaintext) = plaintext_length(sealed) {
                prop_assert_eq!(sealed_length(plaintext), Some(sealed));
            }
        }

        /// Every way of cutting leaves room for the record with the widest checksum (section 6, last paragraph).
        #[test]
        fn any_cut_leaves_room_for_the_record(
            extra in proptest::collection::vec(0..3 * MINIMUM_PART_LENGTH, 0..200),
            last in 0..2 * MINIMUM_PART_LENGTH,
        ) {
            let parts: Vec<u64> = extra.iter().map(|more| MINIMUM_PART_LENGTH + more).chain([last]).collect();
            let total: u64 = parts.iter().sum();
            let segments: u64 = parts.iter().map(|part| part_sealed_length(*part).unwrap()).sum();
            let record = 48 + 60 + 64 + 90 * parts.len() as u64 + 8;
            prop_assert!(segments + record <= sealed_length(total).unwrap());
        }
    }
}
