//! No answer of an upstream can be read as two kinds of answers, and what is read of it is within the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::xml::MAX_ENTRIES;
use sealgate::xml::upstream_answers::{
    MAX_UPLOAD_ID_BYTES, Outcome, parse_completed, parse_copied, parse_deleted, parse_error,
    parse_initiated, parse_location,
};
use sealgate::xml::upstream_listings::{parse_objects, parse_parts, parse_uploads};

fuzz_target!(|document: &[u8]| {
    let error = parse_error(document);
    let initiated = parse_initiated(document);
    let deleted = parse_deleted(document);
    let objects = parse_objects(document);
    assert!(error.as_ref().map_or(true, |error| !error.code.is_empty()));
    assert!(
        initiated
            .as_ref()
            .map_or(true, |id| (1..=MAX_UPLOAD_ID_BYTES).contains(&id.len()))
    );
    assert!(
        deleted
            .as_ref()
            .map_or(true, |answer| answer.deleted.len() <= MAX_ENTRIES)
    );
    assert!(
        objects
            .as_ref()
            .map_or(true, |page| page.objects.len() <= MAX_ENTRIES)
    );
    let kinds = [
        error.is_ok(),
        initiated.is_ok(),
        deleted.is_ok(),
        objects.is_ok(),
        matches!(parse_completed(document), Ok(Outcome::Done(_))),
        matches!(parse_copied(document), Ok(Outcome::Done(_))),
        parse_location(document).is_ok(),
        parse_parts(document).is_ok(),
        parse_uploads(document).is_ok(),
    ];
    assert!(
        kinds.iter().filter(|accepted| **accepted).count() <= 1,
        "{kinds:?}"
    );
});
