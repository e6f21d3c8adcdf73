//! A header that parses is kept byte for byte, and its text reads back as the same header.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate_envelope::header::{Header, MAXIMUM_HEADER_TEXT_LENGTH};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(header) = Header::parse(bytes) {
        assert_eq!(header.as_bytes(), bytes);
        let text = header.to_text();
        if text.len() <= MAXIMUM_HEADER_TEXT_LENGTH {
            assert_eq!(Header::from_text(&text).ok(), Some(header));
        }
    }
    if let Some(header) = str::from_utf8(bytes)
        .ok()
        .and_then(|text| Header::from_text(text).ok())
    {
        assert_eq!(header.to_text().as_bytes(), bytes);
    }
});
