//! The canonical query is its own canonical form, is sorted, and holds only the characters that SigV4 leaves unencoded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::auth::canonical::canonical_query;

fuzz_target!(|query: &str| {
    let canonical = canonical_query(query);
    assert_eq!(canonical_query(&canonical), canonical);
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%=&".contains(&byte);
    assert!(canonical.bytes().all(allowed));
    let pairs = canonical.split('&').map(|pair| pair.split_once('='));
    assert!(pairs.is_sorted());
});
