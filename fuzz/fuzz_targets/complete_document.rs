//! The parts of a CompleteMultipartUpload are ascending, and the same after they were written for the upstream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealgate::xml::requests::CompleteMultipartUpload;

fuzz_target!(|document: &[u8]| {
    if let Ok(request) = CompleteMultipartUpload::parse(document) {
        assert!(
            request
                .parts()
                .is_sorted_by(|one, next| one.number < next.number)
        );
        let written = CompleteMultipartUpload::to_document(request.parts()).into_bytes();
        assert_eq!(CompleteMultipartUpload::parse(&written), Ok(request));
    }
});
