//! Which attempt at each part becomes the object. Pure: lists in, a choice out.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use sealgate_envelope::{
    checksum::ChecksumKind,
    layout::{MAXIMUM_PARTS, MINIMUM_PART_LENGTH},
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

/// Finds for every part that the client names the attempt that it means, and where its bytes are.
///
/// No value that the provider chose selects an attempt: the client's tag is the attempt itself, and the upstream's tag has to be the one in that
/// attempt's record. One exception: when the upstream holds another attempt with the same length and checksum (a retry whose first try arrived
/// after all), its bytes are the same plaintext, and it is taken, as S3 would.
///
/// What the client repeats of a part's checksum has to be so; `kind` is what the upload was begun with.
pub(super) fn choose<'a>(
    named: &[CompletedPart],
    stored: &'a [StoredPart],
    upstream: &BTreeMap<u16, EntityTag>,
    kind: Option<ChecksumKind>,
) -> Result<Vec<Chosen<'a>>, S3Error> {
    let mut by_number: BTreeMap<u16, Vec<&'a PartRecord>> = BTreeMap::new();
    for part in stored {
        by_number
            .entry(part.record.id.number())
            .or_default()
            .push(&part.record);
    }
    let chosen: Vec<Chosen<'a>> = named
        .iter()
        .map(|part| {
            let attempts = by_number
                .get(&part.number)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let (meant, chosen) = choose_attempt(part, attempts, upstream.get(&part.number), kind)
                .ok_or_else(|| invalid_part(part))?;
            check_part(part, meant, kind, || invalid_part(part))?;
            Ok(chosen)
        })
        .collect::<Result<_, S3Error>>()?;
    let too_small = chosen.iter().rev().skip(1).find(|chosen| {
        chosen.record.plaintext_length < MINIMUM_PART_LENGTH || chosen.upstream_tag.is_none()
    });
    match too_small {
        Some(chosen) => Err(entity_too_small(chosen.record)),
        None => Ok(chosen),
    }
}

/// The attempt that the client names, and the one whose bytes are taken.
fn choose_attempt<'a>(
    part: &CompletedPart,
    attempts: &[&'a PartRecord],
    upstream: Option<&EntityTag>,
    kind: Option<ChecksumKind>,
) -> Option<(&'a PartRecord, Chosen<'a>)> {
    let attempt = part.entity_tag.attempt()?;
    let meant: &'a PartRecord = attempts
        .iter()
        .copied()
        .find(|record| *record.id.attempt().as_bytes() == attempt)?;
    let held = upstream.map(|tag| (EtagHash::of(tag.opaque()), tag));
    let is_held = |record: &PartRecord| matches!((record.location, &held), (PartLocation::Upstream(hash), Some((found, _))) if hash == *found);
    if meant.location == PartLocation::Stash {
        let chosen = Chosen {
            record: meant,
            upstream_tag: None,
        };
        return Some((meant, chosen));
    }
    let tag = upstream.cloned();
    if is_held(meant) {
        let chosen = Chosen {
            record: meant,
            upstream_tag: tag,
        };
        return Some((meant, chosen));
    }
    let same = |record: &&&PartRecord| {
        is_held(record)
            && record.plaintext_length == meant.plaintext_length
            && record.crc64nvme == meant.crc64nvme
            // Without an algorithm of the upload the two clients may have sent different ones.
            && (kind.is_none() || record.checksum == meant.checksum)
    };
    attempts.iter().find(same).map(|record| {
        let chosen = Chosen {
            record,
            upstream_tag: tag,
        };
        (meant, chosen)
    })
}

/// The number of the upstream's last part: that of the stashed part which it holds, or the first one above the client's highest that no upload of
/// a part has taken. So nothing that the client listed is overwritten, and consecutive numbers stay consecutive.
pub(super) fn final_number(chosen: &[Chosen<'_>], stored: &[StoredPart]) -> Result<u16, S3Error> {
    let last = chosen
        .last()
        .ok_or_else(|| S3Error::internal("an upload of no parts"))?;
    let highest = last.record.id.number();
    if last.upstream_tag.is_none() {
        return Ok(highest);
    }
    let taken: BTreeSet<u16> = stored
        .iter()
        .filter(|part| part.record.location != PartLocation::Stash)
        .map(|part| part.record.id.number())
        .collect();
    (highest.saturating_add(1)..=MAXIMUM_PARTS)
        .find(|number| !taken.contains(number))
        .ok_or_else(|| S3Error::internal("no part number is left for the commit region"))
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

fn entity_too_small(record: &PartRecord) -> S3Error {
    S3Error::new(
        StatusCode::BAD_REQUEST,
        "EntityTooSmall",
        "Your proposed upload is smaller than the minimum allowed size",
    )
    .with_element("ProposedSize", record.plaintext_length.to_string())
    .with_element("MinSizeAllowed", MINIMUM_PART_LENGTH.to_string())
    .with_element("PartNumber", record.id.number().to_string())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use sealgate_envelope::{AttemptId, object::PartId};

    use super::*;

    const LARGE: u64 = MINIMUM_PART_LENGTH;

    fn stored(number: u16, attempt: u8, length: u64, location: PartLocation) -> StoredPart {
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

    fn at_upstream(tag: &str) -> PartLocation {
        PartLocation::Upstream(EtagHash::of(tag))
    }

    fn named(number: u16, attempt: u8) -> CompletedPart {
        CompletedPart {
            number,
            entity_tag: EntityTag::of_attempt(&[attempt; 16]),
            checksums: Vec::new(),
        }
    }

    fn tags(pairs: &[(u16, &str)]) -> BTreeMap<u16, EntityTag> {
        pairs
            .iter()
            .map(|(number, tag)| (*number, EntityTag::strong(*tag)))
            .collect()
    }

    fn code(outcome: Result<Vec<Chosen<'_>>, S3Error>) -> String {
        outcome.unwrap_err().code.to_string()
    }

    #[test]
    fn the_attempt_that_the_client_names_is_taken_if_the_upstream_holds_it() {
        let records = [
            stored(1, 1, LARGE, at_upstream("old")),
            stored(1, 2, LARGE + 1, at_upstream("new")),
        ];
        let chosen = choose(&[named(1, 2)], &records, &tags(&[(1, "new")]), None).unwrap();
        assert_eq!(
            chosen[0].record.id.attempt(),
            AttemptId::from_bytes([2; 16])
        );
        assert_eq!(
            code(choose(&[named(1, 1)], &records, &tags(&[(1, "new")]), None)),
            "InvalidPart"
        );
        assert_eq!(
            code(choose(&[named(1, 3)], &records, &tags(&[(1, "new")]), None)),
            "InvalidPart"
        );
        assert_eq!(
            code(choose(&[named(1, 2)], &records, &tags(&[]), None)),
            "InvalidPart"
        );
        assert_eq!(
            code(choose(&[named(2, 2)], &records, &tags(&[(1, "new")]), None)),
            "InvalidPart"
        );
    }

    #[test]
    fn a_zombie_retry_with_the_same_plaintext_is_taken_in_place_of_the_named_attempt() {
        let records = [
            stored(1, 1, LARGE, at_upstream("first")),
            stored(1, 2, LARGE, at_upstream("zombie")),
        ];
        let chosen = choose(&[named(1, 1)], &records, &tags(&[(1, "zombie")]), None).unwrap();
        assert_eq!(
            chosen[0].record.id.attempt(),
            AttemptId::from_bytes([2; 16])
        );
    }

    #[test]
    fn rule_23_only_the_last_part_may_be_small_or_stashed() {
        let records = [
            stored(1, 1, 10, PartLocation::Stash),
            stored(2, 2, LARGE, at_upstream("b")),
            stored(3, 3, 0, PartLocation::Stash),
        ];
        let upstream = tags(&[(2, "b")]);
        assert_eq!(
            code(choose(
                &[named(1, 1), named(2, 2)],
                &records,
                &upstream,
                None
            )),
            "EntityTooSmall"
        );
        let chosen = choose(&[named(2, 2), named(3, 3)], &records, &upstream, None).unwrap();
        assert_eq!(
            chosen
                .iter()
                .map(|chosen| chosen.upstream_tag.is_some())
                .collect::<Vec<_>>(),
            [true, false]
        );
        assert_eq!(
            choose(&[named(1, 1)], &records, &upstream, None)
                .unwrap()
                .len(),
            1
        );
    }

    #[test]
    fn the_commit_region_takes_the_stashed_parts_number_or_the_first_free_one() {
        let records = [
            stored(5, 1, LARGE, at_upstream("a")),
            stored(6, 2, LARGE, at_upstream("b")),
            stored(7, 3, 1, PartLocation::Stash),
            stored(8, 4, LARGE, at_upstream("c")),
        ];
        let upstream = tags(&[(5, "a"), (6, "b"), (8, "c")]);
        let number = |parts: &[CompletedPart]| {
            final_number(&choose(parts, &records, &upstream, None).unwrap(), &records).unwrap()
        };
        assert_eq!(
            number(&[named(5, 1)]),
            7,
            "6 is taken by a part that the client did not list, 7 only by a stash"
        );
        assert_eq!(number(&[named(5, 1), named(6, 2), named(7, 3)]), 7);
        assert_eq!(number(&[named(5, 1), named(8, 4)]), 9);
    }

    #[test]
    fn ten_thousand_parts_leave_a_number_because_the_last_is_stashed() {
        let records = [
            stored(9_999, 1, LARGE, at_upstream("a")),
            stored(10_000, 2, LARGE, PartLocation::Stash),
        ];
        let upstream = tags(&[(9_999, "a")]);
        let both = choose(
            &[named(9_999, 1), named(10_000, 2)],
            &records,
            &upstream,
            None,
        )
        .unwrap();
        assert_eq!(final_number(&both, &records).unwrap(), 10_000);
        let one = choose(&[named(9_999, 1)], &records, &upstream, None).unwrap();
        assert_eq!(final_number(&one, &records).unwrap(), 10_000);
    }
}
