//! A copy source that parses is the same after it was written for the upstream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::copy_source::CopySource;

fuzz_target!(|header: &str| {
    if let Ok(source) = CopySource::parse(header) {
        let written = source.to_header();
        assert_eq!(CopySource::parse(&written).as_ref(), Ok(&source));
    }
});
