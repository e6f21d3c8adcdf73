//! The sealed length is strictly monotone in the plaintext length, and its inverse is exact in both directions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_envelope::layout::{MAXIMUM_PLAINTEXT_LENGTH, plaintext_length, sealed_length};

fuzz_target!(|length: u64| {
    match sealed_length(length) {
        Some(sealed) => {
            assert_eq!(plaintext_length(sealed), Some(length));
            assert!(length == 0 || sealed_length(length - 1).is_some_and(|below| below < sealed));
        }
        None => assert!(length > MAXIMUM_PLAINTEXT_LENGTH),
    }
    if let Some(plaintext) = plaintext_length(length) {
        assert_eq!(sealed_length(plaintext), Some(length));
    }
});
