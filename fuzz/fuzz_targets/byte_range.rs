//! A range that resolves lies within the object, and the header that asks for exactly it resolves to it again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::byte_range::{ByteRange, ByteRangeSpec};

fuzz_target!(|input: (u64, &str)| {
    let (size, header) = input;
    let range = ByteRangeSpec::parse(header).and_then(|spec| spec.resolve(size).ok());
    let copied = ByteRange::parse_copy_source(header, size).ok();
    assert!(
        copied.is_none() || copied == range,
        "both headers mean the same bytes"
    );
    if let Some(range) = range {
        assert!(range.start <= range.end_inclusive && range.end_inclusive < size);
        assert!((1..=size).contains(&range.length()));
        let written = range.request_header();
        assert_eq!(
            ByteRangeSpec::parse(&written).map(|spec| spec.resolve(size)),
            Some(Ok(range))
        );
        assert_eq!(ByteRange::parse_copy_source(&written, size), Ok(range));
    }
});
