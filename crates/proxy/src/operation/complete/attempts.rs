//! The tries at each part: which one the client means, and whose bytes may stand for its own. Pure.

use std::collections::BTreeMap;

use http::StatusCode;
use sealgate_envelope::{
    checksum::ChecksumKind,
    records::{EtagHash, PartLocation, PartRecord},
};

use super::declared::check_part;
use crate::{
    entity_tag::EntityTag, error::S3Error, state::StoredPart, xml::requests::CompletedPart,
};

/// A part of the object to be.
#[derive(Debug, Clone)]
pub(super) struct Chosen<'a> {
    /// Its record.
    pub(super) record: &'a PartRecord,
    /// The upstream's tag; none where the part is stashed.
    pub(super) upstream_tag: Option<EntityTag>,
}

/// Why parts cannot be put together.
#[derive(Debug)]
pub(super) struct Refusal {
    /// What to answer.
    pub(super) error: S3Error,
    /// Whether another look a moment later may find something else.
    pub(super) may_pass: bool,
}

impl From<S3Error> for Refusal {
    fn from(error: S3Error) -> Self {
        Self {
            error,
            may_pass: false,
        }
    }
}

/// What is recorded of an upload's parts, by number.
#[derive(Debug, Default)]
pub(super) struct Attempts<'a> {
    by_number: BTreeMap<u16, Vec<&'a PartRecord>>,
    /// What the upload was begun with.
    kind: Option<ChecksumKind>,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(stored: &'a [StoredPart], kind: Option<ChecksumKind>) -> Self {
        let mut by_number: BTreeMap<u16, Vec<&'a PartRecord>> = BTreeMap::new();
        for part in stored {
            by_number
                .entry(part.record.id.number())
                .or_default()
                .push(&part.record);
        }
        Self { by_number, kind }
    }

    fn of_number(&self, number: u16) -> &[&'a PartRecord] {
        self.by_number
            .get(&number)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    fn find(&self, number: u16, attempt: [u8; 16]) -> Option<&'a PartRecord> {
        self.of_number(number)
            .iter()
            .copied()
            .find(|record| *record.id.attempt().as_bytes() == attempt)
    }

    /// The attempt that the client names, if it is recorded.
    fn meant(&self, part: &CompletedPart) -> Option<&'a PartRecord> {
        self.find(part.number, part.entity_tag.attempt()?)
    }

    /// Whether an attempt is the one that the client names, or may stand for it.
    pub(super) fn may_be(&self, part: &CompletedPart, attempt: [u8; 16]) -> bool {
        part.entity_tag.attempt() == Some(attempt)
            || self
                .meant(part)
                .zip(self.find(part.number, attempt))
                .is_some_and(|(meant, other)| self.may_stand_for(part, meant, other))
    }

    /// Whether the bytes of `other` are those of `meant`, as far as the checksums of both and what the client repeats of them tell.
    fn may_stand_for(&self, part: &CompletedPart, meant: &PartRecord, other: &PartRecord) -> bool {
        let comparable = match (&meant.checksum, &other.checksum) {
            // Without an algorithm of the upload the two clients may have sent different ones.
            (Some(one), Some(two)) if self.kind.is_none() => one.algorithm() == two.algorithm(),
            _ => self.kind.is_some(),
        };
        other.plaintext_length == meant.plaintext_length
            && other.crc64nvme == meant.crc64nvme
            && (!comparable || other.checksum == meant.checksum)
            && check_part(part, other, self.kind, || invalid_part(part)).is_ok()
    }

    /// The attempt whose bytes are taken for a part, given what the upstream holds under its number.
    pub(super) fn choose(
        &self,
        part: &CompletedPart,
        upstream: Option<&EntityTag>,
    ) -> Result<Chosen<'a>, Refusal> {
        let meant = self.meant(part).ok_or_else(|| invalid_part(part))?;
        check_part(part, meant, self.kind, || invalid_part(part))?;
        if meant.location == PartLocation::Stash {
            return Ok(Chosen {
                record: meant,
                upstream_tag: None,
            });
        }
        let Some(tag) = upstream else {
            return Err(Refusal {
                error: invalid_part(part),
                may_pass: true,
            });
        };
        let held = PartLocation::Upstream(EtagHash::of(tag.opaque()));
        let chosen = |record| Chosen {
            record,
            upstream_tag: Some(tag.clone()),
        };
        if meant.location == held {
            return Ok(chosen(meant));
        }
        let mut holders = self
            .of_number(part.number)
            .iter()
            .copied()
            .filter(|record| record.location == held)
            .peekable();
        if holders.peek().is_none() {
            return Err(Refusal {
                error: is_being_replaced(part),
                may_pass: true,
            });
        }
        holders
            .find(|record| self.may_stand_for(part, meant, record))
            .map(chosen)
            .ok_or_else(|| invalid_part(part).into())
    }
}

fn invalid_part(part: &CompletedPart) -> S3Error {
    S3Error::new(
        StatusCode::BAD_REQUEST,
        "InvalidPart",
        "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag may not match the part's entity tag.",
    )
    .with_element("PartNumber", part.number.to_string())
    .with_element("ETag", part.entity_tag.to_string())
}

/// The storage has bytes of the part that no record is of: another upload of it is about to be recorded, or ended before it was.
fn is_being_replaced(part: &CompletedPart) -> S3Error {
    S3Error::unavailable(
        format!(
            "Part {} is being replaced by another upload of it. Please try again; if this lasts, upload the part again.",
            part.number
        ),
        "the storage has a part under a tag that no record names",
    )
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::SystemTime;

    use sealgate_envelope::{
        AttemptId,
        checksum::{Checksum, ChecksumAlgorithm, ChecksumType},
        layout::MINIMUM_PART_LENGTH,
        object::PartId,
    };

    use super::{super::choice::choose, *};
    use crate::xml::checksum_value::ChecksumValue;

    pub(in super::super) const LARGE: u64 = MINIMUM_PART_LENGTH;

    pub(in super::super) fn stored(
        number: u16,
        attempt: u8,
        length: u64,
        location: PartLocation,
    ) -> StoredPart {
        StoredPart {
            record: PartRecord {
                id: PartId::multipart(number, AttemptId::from_bytes([attempt; 16])).unwrap(),
                plaintext_length: length,
                crc64nvme: length,
                location,
                checksum: None,
            },
            modified: SystemTime::UNIX_EPOCH,
        }
    }

    pub(in super::super) fn at_upstream(tag: &str) -> PartLocation {
        PartLocation::Upstream(EtagHash::of(tag))
    }

    pub(in super::super) fn named(number: u16, attempt: u8) -> CompletedPart {
        CompletedPart {
            number,
            entity_tag: EntityTag::of_attempt(&[attempt; 16]),
            checksums: Vec::new(),
        }
    }

    pub(in super::super) fn tags(pairs: &[(u16, &str)]) -> BTreeMap<u16, EntityTag> {
        pairs
            .iter()
            .map(|(number, tag)| (*number, EntityTag::strong(*tag)))
            .collect()
    }

    /// What is chosen in an upload without an algorithm.
    pub(in super::super) fn chosen_of<'a>(
        named: &[CompletedPart],
        records: &'a [StoredPart],
        upstream: &BTreeMap<u16, EntityTag>,
    ) -> Result<Vec<Chosen<'a>>, Refusal> {
        choose(named, &Attempts::new(records, None), upstream)
    }

    pub(in super::super) fn code(outcome: Result<Vec<Chosen<'_>>, Refusal>) -> String {
        outcome.unwrap_err().error.code.to_string()
    }

    fn sealed(algorithm: ChecksumAlgorithm, byte: u8) -> Checksum {
        Checksum::new(algorithm, vec![byte; algorithm.width()]).unwrap()
    }

    #[test]
    fn a_zombie_retry_with_the_same_plaintext_is_taken_in_place_of_the_named_attempt() {
        let records = [
            stored(1, 1, LARGE, at_upstream("first")),
            stored(1, 2, LARGE, at_upstream("zombie")),
        ];
        let chosen = chosen_of(&[named(1, 1)], &records, &tags(&[(1, "zombie")])).unwrap();
        assert_eq!(
            chosen[0].record.id.attempt(),
            AttemptId::from_bytes([2; 16])
        );
    }

    #[test]
    fn a_checksum_that_the_client_names_is_that_of_the_bytes_that_are_taken() {
        use ChecksumAlgorithm::{Crc32, Sha256};
        for (theirs, with_checksum, without) in [
            (Some(sealed(Sha256, 1)), "ok", "ok"),
            // As long, and with the same CRC-64, as whoever may write to the upload can make it.
            (Some(sealed(Sha256, 2)), "InvalidPart", "InvalidPart"),
            (Some(sealed(Crc32, 3)), "InvalidPart", "ok"),
            (None, "InvalidPart", "ok"),
        ] {
            let mut records = [
                stored(1, 1, LARGE, at_upstream("first")),
                stored(1, 2, LARGE, at_upstream("zombie")),
            ];
            records[0].record.checksum = Some(sealed(Sha256, 1));
            records[1].record.checksum = theirs.clone();
            let mut part = named(1, 1);
            let attempts = Attempts::new(&records, None);
            for expected in [without, with_checksum] {
                let outcome = chosen_of(&[part.clone()], &records, &tags(&[(1, "zombie")]));
                let outcome = outcome.map_or_else(|_| "InvalidPart", |_| "ok");
                assert_eq!(outcome, expected, "{theirs:?}");
                assert_eq!(attempts.may_be(&part, [2; 16]), expected == "ok");
                let value = data_encoding::BASE64.encode(&[1; 32]);
                part.checksums = vec![ChecksumValue::new("SHA256", &value).unwrap()];
            }
            // The one that is named is right by itself.
            assert!(chosen_of(&[part], &records, &tags(&[(1, "first")])).is_ok());
        }
    }

    #[test]
    fn with_an_algorithm_of_the_upload_interchangeable_attempts_have_the_same_checksum() {
        let kind = Some(ChecksumKind {
            algorithm: ChecksumAlgorithm::Crc32,
            r#type: ChecksumType::FullObject,
        });
        for (theirs, is_taken) in [(1, true), (2, false)] {
            let mut records = [
                stored(1, 1, LARGE, at_upstream("first")),
                stored(1, 2, LARGE, at_upstream("zombie")),
            ];
            records[0].record.checksum = Some(sealed(ChecksumAlgorithm::Crc32, 1));
            records[1].record.checksum = Some(sealed(ChecksumAlgorithm::Crc32, theirs));
            let attempts = Attempts::new(&records, kind);
            let outcome = choose(&[named(1, 1)], &attempts, &tags(&[(1, "zombie")]));
            assert_eq!(outcome.is_ok(), is_taken);
        }
    }

    #[test]
    fn only_what_may_still_arrive_may_pass() {
        let records = [
            stored(1, 1, LARGE, at_upstream("a")),
            stored(1, 2, LARGE + 1, at_upstream("b")),
            stored(2, 3, LARGE, at_upstream("c")),
        ];
        let outcome = |parts: &[CompletedPart], upstream: &[(u16, &str)]| {
            let refusal = chosen_of(parts, &records, &tags(upstream)).unwrap_err();
            (refusal.error.code.to_string(), refusal.may_pass)
        };
        let invalid = |may_pass| ("InvalidPart".to_owned(), may_pass);
        // The storage has what no record is of.
        let replaced = outcome(&[named(1, 1)], &[(1, "late")]);
        assert_eq!(replaced, ("ServiceUnavailable".to_owned(), true));
        // It lacks what is recorded.
        assert_eq!(outcome(&[named(1, 1)], &[]), invalid(true));
        // Replaced by other bytes; never uploaded; a wrong tag, also behind a part that may yet arrive.
        assert_eq!(outcome(&[named(1, 1)], &[(1, "b")]), invalid(false));
        assert_eq!(outcome(&[named(3, 1)], &[(1, "a")]), invalid(false));
        let wrong = [named(1, 1), named(2, 9)];
        assert_eq!(outcome(&wrong, &[(1, "late"), (2, "c")]), invalid(false));
        let mut checked = named(1, 1);
        checked.checksums = vec![ChecksumValue::new("CRC64NVME", "AAAAAAAAAAA=").unwrap()];
        assert_eq!(outcome(&[checked], &[(1, "late")]), invalid(false));
    }
}
