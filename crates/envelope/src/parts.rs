//! Where everything of an object lies: its parts in the plaintext and in the stored body, and what a range of the
//! plaintext needs (FORMAT.md, sections 4, 5 and 11).

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::layout::{
    MAXIMUM_PARTS, MAXIMUM_PLAINTEXT_LENGTH, MINIMUM_PART_LENGTH, SEALED_SEGMENT_LENGTH,
    SEGMENT_LENGTH, SEGMENT_OVERHEAD, part_sealed_length, sealed_length, segment_count,
};
use crate::object::{Body, ObjectSecrets, PartId};

/// One part: which it is, how long, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartLayout {
    id: PartId,
    plaintext_length: u64,
    plaintext_start: u64,
    sealed_start: u64,
    sealed_length: u64,
}

impl PartLayout {
    /// Number and attempt.
    pub fn id(&self) -> PartId {
        self.id
    }

    /// Bytes of plaintext.
    pub fn plaintext_length(&self) -> u64 {
        self.plaintext_length
    }

    /// The part's bytes of the object's plaintext.
    pub fn plaintext(&self) -> Range<u64> {
        self.plaintext_start..self.plaintext_start.saturating_add(self.plaintext_length)
    }

    /// The part's bytes of the stored body.
    pub fn sealed(&self) -> Range<u64> {
        self.sealed_start..self.sealed_start.saturating_add(self.sealed_length)
    }
}

/// The parts of an object, in order. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObjectLayout {
    parts: Arc<[PartLayout]>,
    plaintext_length: u64,
    segments_length: u64,
    sealed_length: u64,
    confirmed: bool,
}

impl ObjectLayout {
    /// The layout of an object whose header names its length.
    pub(crate) fn single(secrets: &ObjectSecrets) -> Option<Self> {
        let plaintext_length = secrets.body().plaintext_length()?;
        let confirmed = matches!(secrets.body(), Body::Verified { .. });
        Self::new(
            [(PartId::single(secrets.object_id()), plaintext_length)],
            confirmed,
        )
        .ok()
    }

    /// Puts parts one behind the other. `confirmed`: their completeness is authenticated.
    ///
    /// # Errors
    /// [`Error::Misuse`] if there are none or more than 10,000, numbers are not strictly ascending, a part but the
    /// last has less than 5 MiB, or the total is over the limit. A caller that read them from storage maps it.
    pub(crate) fn new(
        parts: impl IntoIterator<Item = (PartId, u64)>,
        confirmed: bool,
    ) -> Result<Self> {
        let mut layouts: Vec<PartLayout> = Vec::new();
        let (mut plaintext_start, mut sealed_start) = (0u64, 0u64);
        for (id, plaintext_length) in parts {
            if let Some(previous) = layouts.last() {
                if previous.id.number() >= id.number() {
                    return Err(Error::misuse("part numbers must be strictly ascending"));
                }
                if previous.plaintext_length < MINIMUM_PART_LENGTH {
                    return Err(Error::misuse(format!(
                        "every part but the last must have at least {MINIMUM_PART_LENGTH} bytes"
                    )));
                }
            }
            let too_long = || Error::misuse("the parts are longer than an object may be");
            let sealed_length = part_sealed_length(plaintext_length).ok_or_else(too_long)?;
            layouts.push(PartLayout {
                id,
                plaintext_length,
                plaintext_start,
                sealed_start,
                sealed_length,
            });
            plaintext_start = plaintext_start
                .checked_add(plaintext_length)
                .filter(|total| *total <= MAXIMUM_PLAINTEXT_LENGTH)
                .ok_or_else(too_long)?;
            sealed_start = sealed_start
                .checked_add(sealed_length)
                .ok_or_else(too_long)?;
        }
        if layouts.is_empty() || layouts.len() > usize::from(MAXIMUM_PARTS) {
            return Err(Error::misuse(format!(
                "an object has 1 to {MAXIMUM_PARTS} parts"
            )));
        }
        Ok(Self {
            parts: layouts.into(),
            plaintext_length: plaintext_start,
            segments_length: sealed_start,
            sealed_length: sealed_length(plaintext_start).unwrap_or(u64::MAX),
            confirmed,
        })
    }

    /// The parts, in order; a part's position is its ordinal, which is what S3's `partNumber` means in a read.
    pub fn parts(&self) -> &[PartLayout] {
        &self.parts
    }

    /// Bytes of plaintext: P.
    pub fn plaintext_length(&self) -> u64 {
        self.plaintext_length
    }

    /// Stored bytes of all segments; the commit region begins here.
    pub fn segments_length(&self) -> u64 {
        self.segments_length
    }

    /// Stored bytes of the whole body: C(P).
    pub fn sealed_length(&self) -> u64 {
        self.sealed_length
    }

    /// Whether the layout comes from a commit record, or from a header that needs none.
    pub fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// What to fetch for `range` of the plaintext.
    ///
    /// # Errors
    /// [`Error::Misuse`] if the range does not lie within the object, or is reversed.
    pub fn plan(&self, range: Range<u64>) -> Result<RangePlan> {
        if range.start > range.end || range.end > self.plaintext_length {
            return Err(Error::misuse("the range does not lie within the object"));
        }
        let first = self.locate(range.start);
        let ciphertext = if range.is_empty() {
            let start = first.map_or(self.segments_length, |segment| segment.sealed.start);
            start..start
        } else {
            let last = self.locate(range.end.saturating_sub(1));
            match (first, last) {
                (Some(first), Some(last)) => first.sealed.start..last.sealed.end,
                _ => return Err(Error::misuse("the range does not lie within the object")),
            }
        };
        Ok(RangePlan {
            layout: self.clone(),
            range,
            ciphertext,
        })
    }

    /// What to fetch for the whole plaintext.
    ///
    /// # Errors
    /// None in practice: the whole object lies within itself.
    pub fn plan_all(&self) -> Result<RangePlan> {
        self.plan(0..self.plaintext_length)
    }

    /// The segment that holds byte `position` of the plaintext.
    pub(crate) fn locate(&self, position: u64) -> Option<SegmentLayout> {
        let ordinal = self
            .parts
            .partition_point(|part| part.plaintext().end <= position);
        let part = self.parts.get(ordinal)?;
        let index = position.checked_sub(part.plaintext_start)? / SEGMENT_LENGTH as u64;
        let plaintext_start = part
            .plaintext_start
            .checked_add(index.checked_mul(SEGMENT_LENGTH as u64)?)?;
        let sealed_start = part
            .sealed_start
            .checked_add(index.checked_mul(SEALED_SEGMENT_LENGTH as u64)?)?;
        let plaintext_end = part
            .plaintext()
            .end
            .min(plaintext_start.checked_add(SEGMENT_LENGTH as u64)?);
        let length = plaintext_end.checked_sub(plaintext_start)?;
        Some(SegmentLayout {
            part: part.id,
            index,
            last: index.checked_add(1)? == segment_count(part.plaintext_length),
            plaintext: plaintext_start..plaintext_end,
            sealed: sealed_start
                ..sealed_start
                    .checked_add(length)?
                    .checked_add(SEGMENT_OVERHEAD as u64)?,
        })
    }
}

/// One segment: which it is, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SegmentLayout {
    pub(crate) part: PartId,
    pub(crate) index: u64,
    pub(crate) last: bool,
    /// Its bytes of the object's plaintext.
    pub(crate) plaintext: Range<u64>,
    /// Its bytes of the stored body.
    pub(crate) sealed: Range<u64>,
}

/// A range of the plaintext, and the run of stored bytes that holds it. Pass it to an
/// [`Opener`](crate::opener::Opener), which trims.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RangePlan {
    layout: ObjectLayout,
    range: Range<u64>,
    ciphertext: Range<u64>,
}

impl RangePlan {
    /// The bytes of the stored body to fetch: whole segments, contiguous; empty for an empty range.
    pub fn ciphertext(&self) -> Range<u64> {
        self.ciphertext.clone()
    }

    /// The bytes of plaintext that will be released.
    pub fn plaintext(&self) -> Range<u64> {
        self.range.clone()
    }

    /// The layout that the plan was made of.
    pub fn layout(&self) -> &ObjectLayout {
        &self.layout
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{AttemptId, DataKey, ObjectId};
    use crate::suite::Suite;
    use proptest::prelude::*;

    fn id(number: u16) -> PartId {
        PartId::multipart(number, AttemptId::from_bytes([1; 16])).unwrap()
    }

    fn layout(lengths: &[u64]) -> Result<ObjectLayout> {
        ObjectLayout::new(
            lengths
                .iter()
                .zip(1..)
                .map(|(length, number)| (id(number), *length)),
            true,
        )
    }

    #[test]
    fn rules_of_parts() {
        assert!(layout(&[]).is_err());
        assert!(layout(&[0]).is_ok());
        assert!(layout(&[MINIMUM_PART_LENGTH, 0]).is_ok());
        assert!(layout(&[MINIMUM_PART_LENGTH - 1, 0]).is_err());
        assert!(layout(&vec![MINIMUM_PART_LENGTH; 10_000]).is_ok());
        assert!(layout(&[MAXIMUM_PLAINTEXT_LENGTH, 1]).is_err());
        assert!(ObjectLayout::new([(id(2), MINIMUM_PART_LENGTH), (id(2), 1)], true).is_err());
        assert!(ObjectLayout::new([(id(2), MINIMUM_PART_LENGTH), (id(1), 1)], true).is_err());
    }

    #[test]
    fn every_part_says_how_long_it_is_and_where() {
        let first = MINIMUM_PART_LENGTH + 1;
        let layout = layout(&[first, 10]).unwrap();
        let [one, two] = layout.parts() else {
            panic!("two parts: {:?}", layout.parts())
        };
        assert_eq!((one.id(), two.id()), (id(1), id(2)));
        assert_eq!(
            (one.plaintext_length(), two.plaintext_length()),
            (first, 10)
        );
        assert_eq!(one.plaintext(), 0..first);
        assert_eq!(two.plaintext(), first..first + 10);
        let first_sealed = first + 28 * 81;
        assert_eq!(one.sealed(), 0..first_sealed);
        assert_eq!(two.sealed(), first_sealed..first_sealed + 38);
        assert_eq!(layout.plaintext_length(), first + 10);
        // What further segments take, the region has less (FORMAT.md section 5).
        assert_eq!(layout.sealed_length(), first + 10 + 28 * 81 + 256 + 2 * 128);
    }

    #[test]
    fn segments_know_their_place_and_which_is_the_last_of_its_part() {
        let layout = layout(&[MINIMUM_PART_LENGTH + 1, 1]).unwrap();
        let segment = |position| {
            let segment = layout.locate(position).unwrap();
            (segment.part.number(), segment.index, segment.last)
        };
        assert_eq!(segment(0), (1, 0, false));
        assert_eq!(segment(65_535), (1, 0, false));
        assert_eq!(segment(65_536), (1, 1, false));
        assert_eq!(segment(MINIMUM_PART_LENGTH - 1), (1, 79, false));
        assert_eq!(segment(MINIMUM_PART_LENGTH), (1, 80, true));
        assert_eq!(segment(MINIMUM_PART_LENGTH + 1), (2, 0, true));
        assert_eq!(layout.locate(MINIMUM_PART_LENGTH + 2), None);
        let last_of_first = layout.locate(MINIMUM_PART_LENGTH).unwrap();
        let start = 80 * 65_564;
        assert_eq!(last_of_first.sealed, start..start + 29);
        assert_eq!(
            layout.locate(MINIMUM_PART_LENGTH + 1).unwrap().sealed,
            start + 29..start + 58
        );
    }

    #[test]
    fn a_header_that_names_a_length_makes_one_part_and_is_believed_if_verified() {
        let layout = |body| {
            ObjectLayout::single(&ObjectSecrets::new(
                DataKey::from_bytes([1; 32]),
                Suite::Aes256Gcm,
                ObjectId::from_bytes([2; 16]),
                body,
            ))
        };
        let plaintext_length = 65_537;
        let single = layout(Body::Single { plaintext_length }).unwrap();
        let verified = layout(Body::Verified { plaintext_length }).unwrap();
        assert_eq!(single.parts(), verified.parts());
        assert_eq!(single.parts().len(), 1);
        assert_eq!(single.plaintext_length(), plaintext_length);
        assert!(verified.is_confirmed() && !single.is_confirmed());
        assert_eq!(layout(Body::Multipart), None);
    }

    #[test]
    fn a_range_across_a_part_border() {
        let first = MINIMUM_PART_LENGTH + 1;
        let layout = layout(&[first, 10]).unwrap();
        let plan = layout.plan(first - 1..first + 1).unwrap();
        let first_sealed = first + 28 * 81;
        assert_eq!(plan.ciphertext(), first_sealed - 29..first_sealed + 38);
        assert_eq!(layout.segments_length(), first_sealed + 38);
        assert_eq!(layout.plan(0..1).unwrap().ciphertext(), 0..65_564);
        assert!(layout.plan(0..first + 11).is_err());
        let (start, end) = (5, 4);
        assert!(layout.plan(start..end).is_err());
    }

    #[test]
    fn empty_ranges_fetch_nothing() {
        let layout = layout(&[0]).unwrap();
        assert!(layout.plan_all().unwrap().ciphertext().is_empty());
        assert_eq!(layout.sealed_length(), 384);
    }

    proptest! {
        /// The plan fetches whole segments, all that hold a byte of the range and no other.
        #[test]
        fn plans_are_exact(
            more in proptest::collection::vec(0u64..200_000, 0..4),
            last in 0u64..200_000,
            from in 0.0..1.0f64,
            to in 0.0..1.0f64,
        ) {
            let lengths: Vec<u64> = more.iter().map(|more| MINIMUM_PART_LENGTH + more).chain([last]).collect();
            let layout = layout(&lengths).unwrap();
            let total = layout.plaintext_length();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "picks a position in a small test object")]
            let at = |share: f64| (total as f64 * share) as u64;
            let range = at(from.min(to))..at(from.max(to));
            let plan = layout.plan(range.clone()).unwrap();
            let mut expected: Option<Range<u64>> = None;
            let mut position = 0;
            while let Some(segment) = layout.locate(position) {
                if segment.plaintext.start < range.end && range.start < segment.plaintext.end && !range.is_empty() {
                    let start = expected.as_ref().map_or(segment.sealed.start, |found| found.start);
                    expected = Some(start..segment.sealed.end);
                }
                position = segment.plaintext.end;
            }
            prop_assert_eq!(position, total);
            match expected {
                Some(expected) => prop_assert_eq!(plan.ciphertext(), expected),
                None => prop_assert!(plan.ciphertext().is_empty()),
            }
        }
    }
}
