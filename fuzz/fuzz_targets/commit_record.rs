//! A suffix gives an error, a request for more bytes that is within bounds, or a record that seals to just these bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_envelope::commit::{CommitRecord, CommitSearch};
use sealgate_envelope::layout::{commit_region_length, sealed_length};
use sealgate_envelope::object::Body;
use sealgate_fuzz::object;

fuzz_target!(|input: (bool, u64, &[u8])| {
    let (multipart, plaintext_length, suffix) = input;
    let body = if multipart {
        Body::Multipart
    } else {
        Body::Single { plaintext_length }
    };
    let object = object(body);
    let sealed_length = sealed_length(plaintext_length).unwrap_or(plaintext_length);
    match CommitRecord::open_suffix(&object, suffix, sealed_length) {
        Err(_) => {}
        Ok(CommitSearch::NeedMore { suffix_length }) => {
            assert!(suffix_length > suffix.len() as u64);
            assert!(suffix_length <= commit_region_length(plaintext_length).min(1_280_256));
        }
        Ok(CommitSearch::Found(record)) => {
            let region = record
                .seal_region(&object)
                .expect("an opened record can be sealed");
            assert!(region.ends_with(suffix) || suffix.ends_with(&region));
        }
    }
});
