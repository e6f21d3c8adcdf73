//! Routing and signature see the same parameters: the canonical query decodes to those of the query.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::auth::canonical::canonical_query;
use sealgate::query_string::{MAX_QUERY_PARAMETERS, QueryString};

/// Names and values in order; a bare name has an empty value.
fn sorted(query: &QueryString) -> Vec<(&str, &str)> {
    let pairs = query.parameters().iter();
    let mut pairs: Vec<_> = pairs
        .map(|pair| {
            (
                pair.name.as_str(),
                pair.value.as_deref().unwrap_or_default(),
            )
        })
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .collect();
    pairs.sort_unstable();
    pairs
}

fuzz_target!(|text: &str| {
    let Ok(query) = QueryString::parse(Some(text)) else {
        return;
    };
    assert!(query.parameters().len() <= MAX_QUERY_PARAMETERS);
    let canonical = QueryString::parse(Some(&canonical_query(text))).expect("it can be decoded");
    assert_eq!(sorted(&canonical), sorted(&query));
    let unique = query
        .parameters()
        .iter()
        .all(|pair| query.unique(&pair.name).is_ok());
    assert_eq!(query.refuse_duplicates().is_ok(), unique);
});
