//! Which attempt at each part becomes the object. Pure: lists in, a choice out.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use sealgate_envelope::{
    layout::{MAXIMUM_PARTS, MINIMUM_PART_LENGTH},
    records::{PartLocation, PartRecord},
};

use super::attempts::{Attempts, Chosen, Refusal};
use crate::{
    entity_tag::EntityTag, error::S3Error, state::StoredPart, xml::requests::CompletedPart,
};

/// Finds for every part that the client names the attempt that it means, and where its bytes are.
///
/// No value that the provider chose selects an attempt: the client's tag is the attempt itself, and the upstream's tag has to be the one in that
/// attempt's record. One exception: when the upstream holds another attempt with the same length and checksum (a retry whose first try arrived
/// after all), its bytes are the same plaintext, and it is taken, as S3 would.
///
/// What the client repeats of a part's checksum has to be so, of the attempt that it means and of the one that is taken.
///
/// # Errors
///
/// What no further look can change goes first.
pub(super) fn choose<'a>(
    named: &[CompletedPart],
    attempts: &Attempts<'a>,
    upstream: &BTreeMap<u16, EntityTag>,
) -> Result<Vec<Chosen<'a>>, Refusal> {
    let mut chosen = Vec::with_capacity(named.len());
    let mut passing = None;
    for part in named {
        match attempts.choose(part, upstream.get(&part.number)) {
            Ok(one) => chosen.push(one),
            Err(refusal) if refusal.may_pass => {
                passing.get_or_insert(refusal);
            }
            Err(refusal) => return Err(refusal),
        }
    }
    if let Some(refusal) = passing {
        return Err(refusal);
    }
    let too_small = chosen.iter().rev().skip(1).find(|chosen| {
        chosen.record.plaintext_length < MINIMUM_PART_LENGTH || chosen.upstream_tag.is_none()
    });
    match too_small {
        Some(chosen) => Err(entity_too_small(chosen.record).into()),
        None => Ok(chosen),
    }
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
    use sealgate_envelope::AttemptId;

    use super::{
        super::attempts::tests::{LARGE, at_upstream, chosen_of, code, named, stored, tags},
        *,
    };

    #[test]
    fn the_attempt_that_the_client_names_is_taken_if_the_upstream_holds_it() {
        let records = [
            stored(1, 1, LARGE, at_upstream("old")),
            stored(1, 2, LARGE + 1, at_upstream("new")),
        ];
        let chosen = chosen_of(&[named(1, 2)], &records, &tags(&[(1, "new")])).unwrap();
        assert_eq!(
            chosen[0].record.id.attempt(),
            AttemptId::from_bytes([2; 16])
        );
        assert_eq!(
            code(chosen_of(&[named(1, 1)], &records, &tags(&[(1, "new")]))),
            "InvalidPart"
        );
        assert_eq!(
            code(chosen_of(&[named(1, 3)], &records, &tags(&[(1, "new")]))),
            "InvalidPart"
        );
        assert_eq!(
            code(chosen_of(&[named(1, 2)], &records, &tags(&[]))),
            "InvalidPart"
        );
        assert_eq!(
            code(chosen_of(&[named(2, 2)], &records, &tags(&[(1, "new")]))),
            "InvalidPart"
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
            code(chosen_of(&[named(1, 1), named(2, 2)], &records, &upstream)),
            "EntityTooSmall"
        );
        let chosen = chosen_of(&[named(2, 2), named(3, 3)], &records, &upstream).unwrap();
        assert_eq!(
            chosen
                .iter()
                .map(|chosen| chosen.upstream_tag.is_some())
                .collect::<Vec<_>>(),
            [true, false]
        );
        assert_eq!(
            chosen_of(&[named(1, 1)], &records, &upstream)
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
            final_number(&chosen_of(parts, &records, &upstream).unwrap(), &records).unwrap()
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
        let both = chosen_of(&[named(9_999, 1), named(10_000, 2)], &records, &upstream).unwrap();
        assert_eq!(final_number(&both, &records).unwrap(), 10_000);
        let one = chosen_of(&[named(9_999, 1)], &records, &upstream).unwrap();
        assert_eq!(final_number(&one, &records).unwrap(), 10_000);
    }
}
